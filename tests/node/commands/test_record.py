"""`condyle record`: files are taken in, what is refused is told in words, and one bad file costs the others nothing."""

from __future__ import annotations

import gzip
import json
import os
from datetime import date
from pathlib import Path

import pytest

from node.commands.record import record
from node.config import read
from node.patient_records.look_up import open_patient_records
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.simulation.sample import patient_bundle


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(f"node: {{data: {tmp_path / 'data'}}}\n")
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(patient_bundle(simulate(20, 3), 0, "P-1", "Doe", "Jane", date(2026, 1, 5))))
    return path


def test_a_bundle_is_taken_in(config: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record([bundle], config) == 0
    kept = open_patient_records(read(config)).get("P-1")
    assert kept is not None
    assert str(len(kept.events)) in capsys.readouterr().out


def test_what_cannot_be_read_is_told_and_the_rest_is_taken_in(
    config: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "picture.bin").write_bytes(b"\x00\xff\xfe")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    files = [tmp_path / name for name in ("missing.json", "picture.bin", "folder", "pipe")] + [bundle]
    assert record(files, config) == 1
    told = capsys.readouterr().out
    assert "cannot be read or stored: No such file or directory" in told
    assert "the file begins neither as FHIR JSON ({) nor as HL7 v2 (MSH, FHS, BHS); should be FHIR JSON" in told
    assert "no table PERSON in it" in told
    assert "is a pipe, and only files are read" in told
    assert open_patient_records(read(config)).get("P-1") is not None


PATIENT = '{"resourceType": "Bundle", "entry": [%s]}'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty; should be FHIR JSON"),
        (gzip.compress(b"{}", mtime=0), "the file is packed by gzip; unpack it first"),
        (bytes(128) + b"DICM", "a DICOM file; images come in by condyle import"),
        (b'{"resourceType": "Bundle",\n "entry": x}', "line 2, column 11: the file is not JSON: Expecting value"),
        (b'{"entry": ' + b"9" * 5000 + b"}", "the file has a number of more than 4,300 digits"),
        (b"[" * 100_000, "the file is nested more than 64 deep"),
        (b"[]", "the file holds a list; should be one FHIR bundle"),
        (b'{"a": "\xfc"}', "the file is not JSON: byte 7 is not UTF-8"),
        (b"{}", "not a FHIR bundle"),
        (PATIENT % "", "the bundle has no patient: should have an entry with a resource of resourceType Patient"),
        (
            PATIENT % '{"resource": {"resourceType": "Patient", "birthDate": "x"}}',
            "entry 0 (from 0) is no Patient of FHIR R4: birthDate: ",
        ),
        (
            PATIENT % '{"resource": {"resourceType": "Patient"}}',
            "no patient with an identifier that counts: should have an identifier with a value",
        ),
        (
            b"MSH|^~\\&|A\x1b[31m|B|C|D|2026||ADT^A01|1|P|2.5\r",
            "MSH-3 has an escape to a character set that is not known",
        ),
        (
            b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5||||||UNICODE UTF-8\rPID|1||7||M\xfcller\r",
            "PID-5 is not in the character set that MSH-18 names",
        ),
    ],
)
def test_what_is_wrong_with_a_file_and_where_is_told(
    content: bytes | str,
    why: str,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    (tmp_path / "file").write_bytes(content.encode() if isinstance(content, str) else content)
    assert record([tmp_path / "file"], config) == 1
    assert why in capsys.readouterr().out


HL7 = "MSH|^~\\&|R|H|N|X|20260601||ADT^A08|1|P|2.5||||||8859/1\rPID|1||{number}^^^^MR||Müller^Jörg||1961|M\r"


def test_a_file_is_decoded_as_a_message_over_mllp_is(config: Path, tmp_path: Path) -> None:
    (tmp_path / "latin.hl7").write_bytes(HL7.format(number="4711").encode("latin-1"))
    assert record([tmp_path / "latin.hl7"], config) == 0
    kept = open_patient_records(read(config)).get("4711")
    assert kept is not None
    who = kept.identity
    assert (who.family_name, who.birth_date, who.birth_precision) == ("Müller", date(1961, 7, 1), "year")


def test_each_message_of_a_batch_is_taken_and_one_that_cannot_be_used_costs_the_others_nothing(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    nobody = HL7.format(number="").replace("^^^^MR", "")
    batch = "BHS|^~\\&|R\r" + HL7.format(number="4711") + nobody + HL7.format(number="4712") + "BTS|3\r"
    (tmp_path / "batch.hl7").write_bytes(batch.encode("latin-1"))
    assert record([tmp_path / "batch.hl7"], config) == 0
    assert len(open_patient_records(read(config))) == 2
    assert "1 x message: PID-3 holds no patient identifier that counts" in capsys.readouterr().out


def test_a_batch_of_which_nothing_can_be_used_is_refused_with_every_reason(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    batch = HL7.format(number="").replace("^^^^MR", "") + HL7.format(number="4711").replace("2.5", "3.0")
    (tmp_path / "batch.hl7").write_bytes(batch.encode("latin-1"))
    assert record([tmp_path / "batch.hl7"], config) == 1
    told = capsys.readouterr().out
    assert "refused: PID-3 holds no patient identifier that counts" in told
    assert "MSH-12" in told


def test_a_bundle_may_be_utf_16_and_no_other_character_set_is_guessed(config: Path, bundle: Path) -> None:
    text = bundle.read_text(encoding="utf-8").replace("Doe", "Müller")
    bundle.write_bytes(text.encode("latin-1"))
    assert record([bundle], config) == 1
    bundle.write_bytes(text.encode("utf-16"))
    assert record([bundle], config) == 0
    kept = open_patient_records(read(config)).get("P-1")
    assert kept is not None
    assert kept.identity.family_name == "Müller"
