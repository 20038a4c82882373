"""The conformance statement is what the code offers."""

from __future__ import annotations

from pathlib import Path

from pynetdicom.presentation import build_context

from node.commands.conformance import statement, storage
from node.receive.dimse.presentation_contexts import supported
from tests.dicom_sr.example_digests import written_in

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "conformance.md"


def test_the_document_is_up_to_date(examples_folder: Path) -> None:
    text = statement(written_in(examples_folder))
    assert DOCUMENT.read_text(encoding="utf-8") == text, "write it with: condyle conformance docs/conformance.md"


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
