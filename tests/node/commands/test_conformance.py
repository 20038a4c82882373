"""The conformance statement is what the code offers."""

from __future__ import annotations

from pathlib import Path

import pytest
from pynetdicom.presentation import build_context

from dicom_sr.profile import EncodedObject
from node.commands.conformance import conformance, storage
from node.commands.exit_codes import OK
from node.receive.dimse.presentation_contexts import supported
from pipelines import examples
from tests.dicom_sr.example_digests import written_in

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "conformance.md"


def test_the_command_writes_what_the_document_says(
    examples_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_examples(folder: Path) -> dict[str, tuple[EncodedObject, ...]]:
        assert folder.is_dir()
        return written_in(examples_folder)  # they take 12 s to make

    monkeypatch.setattr(examples, "write_examples", write_examples)
    output = tmp_path / "conformance.md"
    assert conformance(output) == OK
    told = output.read_text(encoding="utf-8")
    assert conformance(None) == OK
    assert capsys.readouterr().out == told
    assert DOCUMENT.read_text(encoding="utf-8") == told, "write it with: condyle conformance docs/conformance.md"


def test_every_storage_class_of_the_statement_is_accepted_in_every_transfer_syntax_of_it() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for context in storage():
        assert f"| {context.abstract_syntax} |" in text
        assert context.abstract_syntax is not None
        for syntax in context.transfer_syntax or ():
            (accepted,) = supported([build_context(context.abstract_syntax, syntax)])
            assert accepted.transfer_syntax == [syntax]
            assert f"| {syntax} |" in text


def test_what_the_statement_does_not_name_is_not_offered() -> None:
    contexts = [
        build_context(uid) for uid in ("1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.31", "1.2.840.10008.5.1.1.1")
    ]  # query, worklist, film session
    assert supported(contexts) == []
