from __future__ import annotations

import hashlib
import json
import pickle
import stat
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Result
from dicom_sr.profile import EncodedObject
from dicom_sr.series import Study
from node.files import digest_of
from node.run.job_folder import KEY_FILE, Damaged, JobFolder, ready_key
from node.run.notes import CheckNote, ContextNote, ObjectsNote, ResultNote, StudyNote
from node.run.plain_form import packed
from tests.factories import knee_result, knee_study
from tests.node.run.test_plain_form import CONTEXT, Harmful
from tests.node.run.trial import mr_instances


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path / "job")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return knee_study(tmp_path / "knee")


@pytest.fixture
def result(study: Study) -> Result:
    return knee_result(study)


def test_a_file_is_read_only_as_it_was_written(folder: JobFolder) -> None:
    sha256 = folder.write("result.plain", b"whole")
    assert folder.read("result.plain", sha256) == b"whole"
    (folder.path / "result.plain").write_bytes(b"who")
    with pytest.raises(Damaged, match=r"result\.plain of the job is not what was written"):
        folder.read("result.plain", sha256)
    (folder.path / "result.plain").unlink()
    with pytest.raises(Damaged, match=r"result\.plain of the job cannot be read: No such file"):
        folder.read("result.plain", sha256)


def test_a_note_that_was_cut_short_is_none(folder: JobFolder) -> None:
    assert folder.read_note(CheckNote) is None
    folder.write_note(CheckNote("1.0"))
    assert folder.read_note(CheckNote) == CheckNote("1.0")
    (folder.path / CheckNote.FILE).write_bytes(b'{"version"')
    assert folder.read_note(CheckNote) is None


def test_the_study_comes_back_with_the_associations_of_its_series(folder: JobFolder, tmp_path: Path) -> None:
    (ds,) = mr_instances(1)
    pydicom.dcmwrite(tmp_path / "1.dcm", ds, enforce_file_format=True)
    attributes = {str(ds.SeriesInstanceUID): {"calling_ae_title": "MR1"}}
    folder.write_note(StudyNote(ds.StudyInstanceUID, (tmp_path / "1.dcm",), attributes))
    study = folder.read_study()
    assert study.study_instance_uid == ds.StudyInstanceUID
    assert [dict(series.attributes) for series in study.series] == [{"calling_ae_title": "MR1"}]
    folder.write_note(StudyNote("1.2.3", (tmp_path / "1.dcm",)))
    with pytest.raises(UnsuitableInput, match="do not belong to the study"):
        folder.read_study()


def test_a_result_comes_back_and_counts_only_while_its_file_is_whole(folder: JobFolder, result: Result) -> None:
    note = folder.write_result(result, "1.0", 0.5)
    assert folder.finished_result() == note
    back = folder.read_result(note.sha256)
    assert [finding.tracking_id for finding in back.findings] == [finding.tracking_id for finding in result.findings]
    (folder.path / "result.plain").write_bytes(b"")
    assert folder.finished_result() is None


def test_a_result_does_not_hold_the_headers_of_its_series(folder: JobFolder, result: Result) -> None:
    for series in result.evidence:
        assert series.headers, "read and remembered"
    folder.write_result(result, "1.0", 0.5)
    name = str(result.evidence[0].headers[0].PatientName).encode()
    assert name not in (folder.path / "result.plain").read_bytes()


def test_objects_count_for_what_they_follow_from_and_while_every_file_is_whole(folder: JobFolder) -> None:
    path = folder.objects / "new" / "1.dcm"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"object")
    digest = digest_of(path)
    assert digest is not None
    made = EncodedObject("1.2", "1.1", "1.3", "1.4", path, "secondary_capture", 1, digest, 6)
    note = ObjectsNote("key", (made,), {"new": {"1.1": None}})
    folder.write_note(note)
    assert folder.finished_objects("key") == note
    assert folder.finished_objects("other") is None
    folder.write_note(replace(note, objects=(replace(made, sha256="0" * 64),)))
    assert folder.finished_objects("key") is None


def test_what_an_earlier_version_pickled_is_not_opened(folder: JobFolder, tmp_path: Path) -> None:
    harmful = pickle.dumps(Harmful(tmp_path / "made"))
    for name, note in (("result.pickle", "result.json"), ("context.pickle", "context.json")):
        sha256 = folder.write(name, harmful)
        folder.write(note, json.dumps({"sha256": sha256, "version": "1.0", "key_file": None}).encode())
    assert folder.finished_result() is None
    assert folder.has_older_context
    with pytest.raises(Damaged, match="in a form that is no longer read"):
        folder.read_context()
    for name, read in (("result.plain", folder.read_result), ("context.plain", lambda _: folder.read_context())):
        sha256 = folder.write(name, harmful)
        folder.write("context.json", json.dumps({"sha256": sha256}).encode())
        with pytest.raises(Damaged, match="of the job cannot be used"):
            read(sha256)
    assert not (tmp_path / "made").exists()


def test_a_file_of_another_kind_is_not_taken_for_a_result(folder: JobFolder) -> None:
    sha256 = folder.write("result.plain", packed((1, 2), folder.data))
    with pytest.raises(Damaged, match="holds something else"):
        folder.read_result(sha256)


def test_a_jobs_files_name_no_place_and_are_for_the_nodes_account_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    stored = data / "instances" / "a" / "1.dcm"
    folder = JobFolder(data / "jobs" / "ab")
    stored.parent.mkdir(parents=True)
    note = StudyNote("1.2.3", (stored,))
    folder.write_note(note)
    made = EncodedObject("1.2", "1.1", "1.3", "1.4", folder.objects / "new" / "1.dcm", "report", 1, "ab", 6)
    objects = ObjectsNote("key", (made,), {})
    folder.write_note(objects)
    folder.write_result(knee_result(knee_study(data / "instances")), "1.0", 0.5)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert not [path.name for path in folder.path.iterdir() if str(tmp_path).encode() in path.read_bytes()]
    data.rename(tmp_path / "moved")
    moved = JobFolder(tmp_path / "moved" / "jobs" / "ab")
    assert moved.read_note(StudyNote) == replace(note, paths=(tmp_path / "moved" / "instances" / "a" / "1.dcm",))
    read = moved.read_note(ObjectsNote)
    assert read is not None
    assert [item.path for item in read.objects] == [moved.objects / "new" / "1.dcm"]


def test_a_result_that_another_account_slips_in_is_never_read(tmp_path: Path, result: Result) -> None:
    ours, theirs = JobFolder(tmp_path / "data" / "jobs" / "ab"), JobFolder(tmp_path / "other" / "jobs" / "ab")
    note = ours.write_result(result, "1.0", 0.5)
    theirs.write_result(result, "2.0", 0.5)
    for name in ("result.plain", "result.json"):
        (ours.path / name).write_bytes((theirs.path / name).read_bytes())
    assert ours.finished_result() is None
    with pytest.raises(Damaged, match=r"result\.plain of the job is not what was written"):
        ours.read_result(str(theirs.read_note(ResultNote)))
    plain = (ours.path / "result.plain").read_bytes()
    ours.write_note(replace(note, sha256=hashlib.sha256(plain).hexdigest()))
    assert ours.finished_result() is None, "a digest that anybody can work out vouches for nothing"


def test_the_result_of_one_job_is_not_taken_for_anothers(tmp_path: Path, result: Result) -> None:
    one, other = (JobFolder(tmp_path / "data" / "jobs" / name) for name in ("ab", "cd"))
    one.write_result(result, "1.0", 0.5)
    other.path.mkdir()
    for path in one.path.iterdir():
        (other.path / path.name).write_bytes(path.read_bytes())
    assert one.finished_result() is not None
    assert other.finished_result() is None


def test_a_record_that_was_changed_is_not_read_and_one_without_a_key_is_looked_up_again(folder: JobFolder) -> None:
    folder.write_context(CONTEXT)
    assert folder.read_context() == CONTEXT
    content = (folder.path / "context.plain").read_bytes()
    (folder.path / "context.plain").write_bytes(content.replace(b"2026", b"2025"))
    with pytest.raises(Damaged, match=r"context\.plain of the job is not what was written"):
        folder.read_context()
    assert not folder.has_older_context
    folder.write_note(ContextNote(hashlib.sha256(content).hexdigest()))
    assert folder.has_older_context


def test_a_key_that_is_made_where_files_are_is_a_word_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    ready_key(data)
    JobFolder(data / "jobs" / "ab").write_context(CONTEXT)
    ready_key(data)
    assert caplog.messages == []
    (data / KEY_FILE).unlink()
    ready_key(data)
    assert caplog.messages == ["the key of the jobs' files is not there and is made anew"]
    assert JobFolder(data / "jobs" / "ab").lacks_its_context


def test_the_key_of_the_digests_is_the_node_accounts_alone(tmp_path: Path) -> None:
    JobFolder(tmp_path / "data" / "jobs" / "ab").write("a", b"")
    assert stat.S_IMODE((tmp_path / "data" / "job-files.key").stat().st_mode) == 0o600
