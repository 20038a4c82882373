"""`condyle record`: files are taken in, what is refused is told in words, and one bad file costs the others nothing."""

from __future__ import annotations

import json
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
    files = [tmp_path / "missing.json", tmp_path / "picture.bin", tmp_path / "folder", bundle]
    assert record(files, config) == 1
    told = capsys.readouterr().out
    assert "cannot be read or stored: No such file or directory" in told
    assert "neither FHIR JSON nor HL7 v2 nor OMOP tables" in told
    assert "no table PERSON in it" in told
    assert open_patient_records(read(config)).get("P-1") is not None
