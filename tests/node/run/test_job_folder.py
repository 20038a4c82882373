"""A job's folder keeps what tells of the patient to itself: sealed where the records are, and for one account alone."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from dicom_sr.findings import Subject
from node.patient_records.store import new_key
from node.run.job_folder import JobFolder
from pipelines.context import ClinicalContext, CodedEvent

CONTEXT = ClinicalContext(
    date(2026, 1, 5),
    date(1960, 2, 29),
    "F",
    (CodedEvent("condition", "http://snomed.info/sct", "73211009", date(2020, 1, 1)),),
    "a source that can be searched for",
)
SUBJECT = Subject("P-4711", "Muster^Erika", "19600229", "F", "HOSPITAL")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "key").write_bytes(new_key())
    return tmp_path / "key"


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_record_in_a_jobs_folder_is_encrypted_when_records_are(tmp_path: Path, key: Path, encrypted: bool) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.write_context(CONTEXT, key if encrypted else None)
    assert (b"a source that can be searched for" in (folder.path / "context.pickle").read_bytes()) != encrypted
    assert folder.read_context() == CONTEXT
    assert folder.key_file == (key if encrypted else None)


@pytest.mark.parametrize("encrypted", [False, True])
def test_whose_record_it_is_is_kept_as_the_record_is(tmp_path: Path, key: Path, encrypted: bool) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.write_subject(SUBJECT, key if encrypted else None)
    assert (b"P-4711" in (folder.path / "subject.json").read_bytes()) != encrypted
    assert folder.read_subject() == SUBJECT
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert (folder.path / "subject.json").stat().st_mode & 0o077 == 0


def test_the_same_record_is_kept_as_the_same_bytes(tmp_path: Path, key: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.write_context(CONTEXT, key)
    before = (folder.path / "context.pickle").read_bytes()
    folder.write_context(replace(CONTEXT), key)
    assert (folder.path / "context.pickle").read_bytes() == before


def test_a_record_that_an_earlier_version_kept_is_read(tmp_path: Path, key: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    sha256 = folder.write("context.pickle", Fernet(key.read_bytes()).encrypt(pickle.dumps(CONTEXT)))
    folder.write_json("context.json", {"sha256": sha256, "key_file": str(key)})
    assert folder.read_context() == CONTEXT


def test_a_job_on_images_has_no_subject_of_its_own(tmp_path: Path) -> None:
    assert JobFolder(tmp_path / "job").read_subject() is None
