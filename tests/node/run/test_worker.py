from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pydicom
import pytest

from dicom_sr.profile import DEFAULT_KINDS, EncodingProfile, Kind
from node.run.job_folder import JobFolder
from node.run.messages import Check, Checked, Encode, Encoded, Failed, Infer, Inferred, Unsuitable
from node.run.notes import ObjectsNote, StudyNote
from node.run.warm import Warm
from node.run.worker import answer, without_identity
from tests.factories import as_written
from tests.node.run.trial import CREATED, mr_instances

A = TypeVar("A", Check, Infer)


class Bed:
    """A job's folder with a stored series, and requests about it that are done in this process."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal.txt"
        self.folder = JobFolder(folder / "job")
        self.warm = Warm()
        instances = mr_instances()
        paths = [folder / f"{ds.SOPInstanceUID}.dcm" for ds in instances]
        for ds, path in zip(instances, paths, strict=True):
            pydicom.dcmwrite(path, ds, enforce_file_format=True)
        self.paths = tuple(paths)
        self.folder.write_note(StudyNote(instances[0].StudyInstanceUID, self.paths))

    def settings(self, **more: object) -> dict[str, object]:
        return {"journal": str(self.journal), **more}

    def request(self, kind: type[A], **settings: object) -> A:
        return kind(self.folder.path, "trial", self.settings(**settings))

    def encode(
        self, result: str | None, not_run: str | None = None, revision: str = "", created: datetime = CREATED
    ) -> ObjectsNote:
        """The objects of two destinations, one of which wants an older form of report."""
        profiles = {
            "new": EncodingProfile(not_run_reports=True),
            "old": EncodingProfile(not_run_reports=True, measurement_report="comprehensive"),
        }
        request = Encode(
            self.folder.path, "trial", self.settings(), result, not_run, {}, profiles, created, revision, "key"
        )
        encoded = answer(request, self.warm)
        note = self.folder.finished_objects("key")
        assert note is not None
        assert encoded == Encoded(len(note.objects))
        return note

    def journal_lines(self, what: str) -> int:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return sum(line.startswith(f"{what} ") for line in lines)


BROKE = "the pipeline broke while it ran; the log says where"


@pytest.fixture
def bed(tmp_path: Path, trial_installed: None) -> Bed:
    return Bed(tmp_path)


def inferred(bed: Bed) -> Inferred:
    done = answer(bed.request(Infer), bed.warm)
    assert isinstance(done, Inferred)
    return done


def test_a_study_is_checked_without_loading_weights(bed: Bed) -> None:
    assert answer(bed.request(Check), bed.warm) == Checked("1.0", "0" * 64)
    assert (bed.journal_lines("check"), bed.journal_lines("load")) == (1, 0)


def test_what_the_pipeline_refuses_and_what_it_breaks_on_are_answers(
    bed: Bed, caplog: pytest.LogCaptureFixture
) -> None:
    refused = answer(bed.request(Check, behaviour="refuse"), bed.warm)
    assert refused == Unsuitable("needs a knee, found a phantom")
    failed = answer(bed.request(Infer, behaviour="raise", quote="it"), bed.warm)
    assert failed == Failed(BROKE)
    assert "ValueError: cannot use it" in caplog.text


def test_neither_an_answer_nor_the_log_names_the_patient(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    failed = answer(bed.request(Infer, behaviour="raise", quote="Muster, K4711"), bed.warm)
    assert failed == Failed(BROKE)
    assert "ValueError: cannot use ***, ***" in caplog.text


def test_nothing_is_quoted_where_the_images_cannot_be_read(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.write_note(StudyNote("1.2", (tmp_path / "gone.dcm",)))
    assert without_identity("cannot use Muster", JobFolder(tmp_path)) == "the images or the record cannot be read"


def test_the_result_is_the_one_that_the_answer_names(bed: Bed) -> None:
    done = inferred(bed)
    note = bed.folder.finished_result()
    assert note is not None
    assert (note.sha256, note.version) == (done.sha256, "1.0")
    assert [finding.tracking_id for finding in bed.folder.read_result(done.sha256).findings] == ["Trial 1"]


def test_each_profile_lists_its_objects_and_shares_the_files_that_are_the_same(bed: Bed) -> None:
    note = bed.encode(inferred(bed).sha256)
    classes = {item.sop_instance_uid: item.sop_class_uid for item in note.objects}
    assert len(classes) == len(note.objects), "an object of two profiles is there once"
    reports = {
        name: [item.sop_class_uid for item in note.of_profile(name) if item.kind == "report"] for name in ("new", "old")
    }
    assert reports == {"new": ["1.2.840.10008.5.1.4.1.1.88.34"], "old": ["1.2.840.10008.5.1.4.1.1.88.33"]}


def test_the_report_of_each_destination_refers_to_what_that_destination_gets(bed: Bed) -> None:
    kinds: dict[str, tuple[Kind, ...]] = {
        "all": DEFAULT_KINDS,
        "without states": tuple(kind for kind in DEFAULT_KINDS if kind != "presentation_state"),
        "only the report": ("report",),
    }
    profiles = {name: EncodingProfile(kinds=of) for name, of in kinds.items()}
    sha256 = inferred(bed).sha256
    request = Encode(bed.folder.path, "trial", bed.settings(), sha256, None, {}, profiles, CREATED, "", "key")
    assert isinstance(answer(request, bed.warm), Encoded)
    note = bed.folder.finished_objects("key")
    assert note is not None
    sources = {path.stem for path in bed.paths}
    for name in profiles:
        (report,) = (item for item in note.of_profile(name) if item.kind == "report")
        others = {item.sop_instance_uid for item in note.of_profile(name) if item.kind != "report"}
        (study,) = pydicom.dcmread(report.path).CurrentRequestedProcedureEvidenceSequence
        evidence = {
            item.ReferencedSOPInstanceUID
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        }
        assert evidence == sources | others, name


def test_the_same_request_makes_the_same_bytes_and_replaced_images_make_others(bed: Bed) -> None:
    sha256 = inferred(bed).sha256
    first, again, revised = bed.encode(sha256), bed.encode(sha256), bed.encode(sha256, revision="ab")
    assert first == again
    assert not {item.sop_instance_uid for item in first.objects} & {item.sop_instance_uid for item in revised.objects}


def test_values_that_dicom_does_not_allow_are_logged_once_by_keyword(
    bed: Bed, caplog: pytest.LogCaptureFixture
) -> None:
    for path in bed.paths:
        ds = pydicom.dcmread(path)
        as_written(ds, "PatientID", "SECRET\x07")
        as_written(ds, "StudyDate", "SECRET")
        ds.save_as(path)
    bed.encode(inferred(bed).sha256)
    (told,) = [one.getMessage() for one in caplog.records if "not valid DICOM" in one.getMessage()]
    assert told.endswith(": PatientID, StudyDate")
    assert "SECRET" not in caplog.text


def test_an_object_that_cannot_be_made_is_noted_and_the_others_are_written(bed: Bed) -> None:
    done = answer(bed.request(Infer, behaviour="map_beside"), bed.warm)
    assert isinstance(done, Inferred)
    note = bed.encode(done.sha256)
    assert {item.kind for item in note.objects} == {"secondary_capture", "report", "presentation_state"}
    kinds = ["binary segmentation", "fractional segmentation"]  # once, although two destinations ask for them
    assert [sentence.partition(": ")[0] for sentence in note.left_out] == kinds


@pytest.mark.parametrize("dated", [True, False])
def test_objects_carry_the_time_of_their_images_and_that_of_the_job_only_where_these_have_none(
    bed: Bed, dated: bool
) -> None:
    if not dated:
        for path in bed.paths:
            ds = pydicom.dcmread(path)
            ds.StudyDate = ds.StudyTime = ""
            ds.save_as(path)
    sha256, later = inferred(bed).sha256, datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    first, second = bed.encode(sha256), bed.encode(sha256, created=later)
    assert ([item.sha256 for item in first.objects] == [item.sha256 for item in second.objects]) is dated
    report = pydicom.dcmread(second.objects[-1].path)
    expected = ("20260102", "030405") if dated else ("20310203", "040506")
    assert (report.ContentDate, report.ContentTime) == (report.InstanceCreationDate, report.InstanceCreationTime)
    assert (report.ContentDate, report.ContentTime) == expected


def test_a_missing_result_becomes_a_picture_and_a_report(bed: Bed) -> None:
    note = bed.encode(None, not_run="the images are empty")
    assert {item.kind for item in note.of_profile("new")} == {"secondary_capture", "report"}


def test_no_name_is_quoted_where_the_images_have_more_than_one(bed: Bed) -> None:
    ds = pydicom.dcmread(bed.paths[1])
    ds.PatientName = "Sonderfall^Erika"
    ds.save_as(bed.paths[1])
    note = bed.folder.read_note(StudyNote)
    assert note is not None
    bed.folder.write_note(replace(note, remark="two names"))
    assert without_identity("cannot use Sonderfall^Erika", bed.folder) == "cannot use ***"


def test_a_changed_result_fails_its_job_with_a_sentence_and_costs_no_worker(bed: Bed) -> None:
    done = inferred(bed)
    path = bed.folder.path / "result.plain"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    request = Encode(
        bed.folder.path, "trial", bed.settings(), done.sha256, None, {}, {"new": EncodingProfile()}, CREATED, "", "key"
    )
    assert answer(request, bed.warm) == Failed("result.plain of the job is not what was written")
