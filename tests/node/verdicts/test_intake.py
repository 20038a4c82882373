"""What comes in is looked into once: verdicts are stored with their job, and what is left alone has its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr import codes
from dicom_sr.assessment import Answer
from dicom_sr.findings import Segment
from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.write.encode import encode
from node.database import job_patients, verdicts
from node.database.tables import InstanceRow
from node.errors import ReaderDied, StorageAway
from node.reading import HERE
from pipelines.example import CREATED
from tests.dicom_sr import assessed
from tests.factories import joint_result, knee_result, knee_study, radiograph_study
from tests.node.verdicts.assessed_node import SITES, AssessedNode, made_result, one_worse_one_gone
from tests.workstation import READER, add_code, content_of, edited, groups, named, redrawn


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[EncodedObject, ...]]:
    return made_result(tmp_path_factory.mktemp("result"))


@pytest.fixture
def node(tmp_path: Path, result: tuple[Path, tuple[EncodedObject, ...]]) -> Iterator[AssessedNode]:
    made = AssessedNode(tmp_path, *result)
    yield made
    made.here.close()


def test_an_assessment_sr_is_stored_with_the_values_before_and_no_name(node: AssessedNode) -> None:
    (finding,) = joint_result(radiograph_study(node.folder / "in")).findings
    findings = [replace(finding, tracking_id=f"SvH L {site}") for site in SITES]
    written = assessed.assessment_of(findings, node.objects, EncodingProfile(), node.folder / "said")
    node.take(written.path.read_bytes())
    whole, accepted, modified, rejected = node.verdicts()
    assert [row.answer for row in (accepted, modified, rejected)] == [Answer.ACCEPT, Answer.MODIFY, Answer.REJECT]
    assert {row.job_id for row in node.verdicts()} == {"1"}
    assert (modified.changes[0]["before"], modified.changes[0]["after"]) == (2.4, 3.0)
    assert rejected.reason == [codes.NOT_THERE.value, "99MSKAI", codes.NOT_THERE.meaning]
    assert (whole.tracking_uid, whole.object_uid) == ("", node.objects[0].sop_instance_uid)
    assert accepted.observer
    assert "Wilhelm" not in str([vars(row) for row in node.verdicts()])
    assert {row.comment for row in node.verdicts()} == {""}
    assert node.reasons() == []


def test_an_edited_copy_is_a_verdict_with_values_and_what_comes_twice_counts_once(node: AssessedNode) -> None:
    node.intake = node.intake_with(comments=True)
    copy = edited(node.report, one_worse_one_gone)
    node.take(copy, deepcopy(copy))
    worse, same, gone = node.verdicts()
    assert [row.answer for row in (worse, same, gone)] == [Answer.MODIFY, Answer.ACCEPT, Answer.REJECT]
    assert worse.comment == "*** has a new erosion"
    assert (worse.device, worse.kind, worse.site and worse.site[0]) == ("ACME Viewer", "edited report", "SITE-MCP2")
    assert worse.observed == datetime(2026, 12, 1, 10, 15, 30, tzinfo=UTC)
    node.take(edited(node.report, one_worse_one_gone, person="Other^Reader"))  # somebody else says the same
    assert len(node.verdicts()) == 6
    assert not any(row.superseded for row in node.verdicts())
    later = edited(node.report)
    later.VerifyingObserverSequence[0].VerificationDateTime = "20261201120000+0000"
    node.take(later)  # the first reader takes it back
    assert [row.answer for row in node.verdicts() if row.superseded] == [Answer.MODIFY, Answer.ACCEPT, Answer.REJECT]


def test_an_edited_segmentation_is_a_verdict_apart_from_what_is_said_of_values(tmp_path: Path) -> None:
    study = knee_study(tmp_path / "in")
    volume = read_stack(stacks(study.series[0])[0])
    mask = np.zeros(volume.array.shape, bool)
    mask[1:4, 4:12, 5:11] = True
    bone = Segment("Quality 0", standard.SCT.AnatomicalStructure, codes.KNEE, volume.with_array(mask))
    profile = EncodingProfile(kinds=("report", "segmentation_binary"), segmented_regions="outline")
    made = replace(knee_result(study), segments=(bone,), derived=())
    objects = sorted(encode(made, profile, CREATED, tmp_path / "out"), key=lambda one: one.kind != "report")
    node = AssessedNode(tmp_path, study.instances[0].path, tuple(objects))
    segmentation = pydicom.dcmread(next(one.path for one in objects if one.kind == "segmentation_binary"))

    def half(frames: np.ndarray) -> None:
        frames[:, 8:, :] = 0

    node.take(edited(node.report), redrawn(segmentation, half), redrawn(segmentation, person=""))
    values, outline = sorted(node.verdicts(), key=lambda row: row.kind)
    assert outline.tracking_uid == values.tracking_uid
    assert (values.answer, outline.answer) == (Answer.ACCEPT, Answer.MODIFY)
    assert {values.superseded, outline.superseded} == {False}
    assert outline.object_uid == segmentation.SOPInstanceUID
    assert outline.changes[0]["after"] == 0.666667
    assert node.reasons() == [
        "it is no edited copy that counts: it names no person, and no segment of it was made by hand"
    ]
    node.here.close()


def test_what_is_no_verdict_is_passed_over_without_a_word(node: AssessedNode) -> None:
    def of_another_system(copy: Dataset) -> None:
        copy.StudyInstanceUID = generate_uid()

    def untracked(copy: Dataset) -> None:
        for group in groups(copy):
            named(group, "112040")[0].UID = generate_uid()

    node.take(
        node.objects[0].path.read_bytes(),  # ours comes back
        edited(node.report, of_another_system),
        edited(node.report, untracked, succeeds=False),
    )
    assert (node.verdicts(), node.reasons()) == ([], [])


def another_patient(copy: Dataset) -> None:
    one_worse_one_gone(copy)
    copy.PatientID = "SOMEBODY-ELSE"


def unknown_answer(copy: Dataset) -> None:
    add_code(groups(copy)[0], codes.VERDICT, codes.WHY)


def unknown_finding(copy: Dataset) -> None:
    group = groups(copy)[0]
    named(group, "112040")[0].UID = generate_uid()
    add_code(group, codes.VERDICT, codes.ACCEPTED)


def nobody(copy: Dataset) -> None:
    del copy.VerifyingObserverSequence


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (unknown_answer, "(WHY, 99MSKAI) is no answer that is known"),
        (unknown_finding, "is of no result of this study"),
        (nobody, "nothing in it is changed, and it names no person"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_not_understood_is_left_alone_and_says_why(
    node: AssessedNode, change: Callable[[Dataset], None], reason: str
) -> None:
    node.take(edited(node.report, change))
    (said,) = node.reasons()
    assert reason in said
    assert READER.split("^")[0] not in said
    assert node.verdicts() == []


def test_a_copy_of_another_patient_is_about_no_result(node: AssessedNode) -> None:
    node.take(edited(node.report, another_patient))
    assert node.verdicts() == []


def test_a_copy_may_name_the_patient_as_the_result_did_after_a_merge(node: AssessedNode) -> None:
    copy = edited(node.report, another_patient)
    node.take(copy)
    before = len(node.verdicts())
    with Session(node.here.database) as session, session.begin():
        row = session.scalars(select(InstanceRow).where(InstanceRow.sop_instance_uid == copy.SOPInstanceUID)).one()
        job_patients.note_written(session, "1", row.patient)
        row.looks_left = 1
    node.look()
    assert len(node.verdicts()) > before
    with Session(node.here.database) as session, session.begin():
        job_patients.note_written(session, "1", None)


def test_a_copy_that_is_cut_off_rejects_nothing(node: AssessedNode) -> None:
    copy = edited(node.report, one_worse_one_gone)
    node.take(content_of(copy))
    before = len(node.verdicts())
    with Session(node.here.database) as session, session.begin():
        row = session.scalar(select(InstanceRow).where(InstanceRow.sop_instance_uid == copy.SOPInstanceUID))
        assert row is not None
        path = node.here.data / "instances" / row.path
        row.looks_left = 1
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    node.look()
    assert node.reasons() == ["it is cut off"]
    assert len(node.verdicts()) == before


class Broken:
    """A reader that ends, or that cannot read now."""

    def __init__(self, error: Exception) -> None:
        self.error, self.calls = error, 0

    def call(self, *_: object) -> object:
        self.calls += 1
        raise self.error


def test_what_ends_its_reader_is_given_up_after_a_few_attempts_and_the_next_one_is_read(
    node: AssessedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(ReaderDied("what was received ended what reads it"))
    monkeypatch.setattr(node.intake, "_reader", broken)
    node.take(edited(node.report))
    assert broken.calls == 3
    assert node.reasons() == ["what was received ended what reads it"]
    monkeypatch.setattr(node.intake, "_reader", HERE)
    node.take(edited(node.report))
    assert len(node.verdicts()) == 3


def test_an_attempt_that_could_not_be_made_does_not_count(node: AssessedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as away:
        away.setattr(node.intake, "_reader", Broken(StorageAway("the storage is away")))
        for _ in range(5):
            with pytest.raises(StorageAway):
                node.take(edited(node.report))
    node.look()
    assert len({row.source_uid for row in node.verdicts()}) == 5


def test_what_came_before_is_left_alone_until_it_is_asked_for(node: AssessedNode) -> None:
    copy = edited(node.report, one_worse_one_gone)
    node.here.take([_file(node, copy)])
    with Session(node.here.database) as session, session.begin():
        session.execute(update(InstanceRow).values(looks_left=0))
    node.look()
    assert node.verdicts() == []
    with Session(node.here.database) as session, session.begin():
        assert verdicts.look_into_all(session) == 1
    node.look()
    assert len(node.verdicts()) == 3


ASSESSMENT, AGREED = Code("ASSESSMENT", "99ACME", "Assessment"), Code("AGREED", "99ACME", "Agreed")


def test_codes_of_others_count_once_the_configuration_names_them(node: AssessedNode) -> None:
    def agreed(copy: Dataset) -> None:
        add_code(groups(copy)[0], ASSESSMENT, AGREED)

    copy = edited(node.report, agreed, person="", succeeds=False)
    node.take(copy)
    assert node.verdicts() == []
    node.intake = node.intake_with(concepts=["99ACME:ASSESSMENT"], accept=["99ACME:AGREED"])
    with Session(node.here.database) as session, session.begin():
        verdicts.look_into_all(session)
    node.look()
    assert [(row.tracking_id, row.answer) for row in node.verdicts()] == [("SvH L MCP2", Answer.ACCEPT)]


def _file(node: AssessedNode, ds: Dataset) -> Path:
    file = node.folder / "later.dcm"
    file.write_bytes(content_of(ds))
    return file
