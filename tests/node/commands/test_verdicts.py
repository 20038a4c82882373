"""What readers send to a running node by C-STORE is listed, exported and shown beside the result it is about."""

from __future__ import annotations

import csv
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr import codes
from dicom_sr.assessment import Answer, Assessment
from dicom_sr.profile import EncodingProfile, ObjectFile
from dicom_sr.write.assessment import encode_assessment
from dicom_sr.write.sr_document import container
from node.database.tables import VERDICT_NOT_READ, AuditRow, InstanceRow, VerdictRow
from tests.command_line import Condyle
from tests.dicom_sr import assessed
from tests.running import RunningNode
from tests.test_flow import folder_node, fresh, knee, results
from tests.waiting import until
from tests.workstation import READER, add_code, edited, groups, named

__all__ = ["knee"]

FORMULA = "=HYPERLINK(1)"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    out = {"kind": "folder", "path": "out", "profile": {"kinds": ["secondary_capture", "report", "assessment"]}}
    settings = {"destinations": {"out": out}, "verdicts": {"form": True}}
    with folder_node(tmp_path_factory.mktemp("node"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def report(node: RunningNode, knee: list[Path]) -> Dataset:
    """The measurement report on a knee, as it went out."""
    sent = fresh(knee)
    node.send(sent.images)
    node.ended_jobs(1, seconds=120, study=sent.study)
    (found,) = (ds for ds in results(node, sent.study).values() if ds.Modality == "SR")
    return found


def other_number(copy: Dataset) -> None:
    number = next(item for item in groups(copy)[0].ContentSequence if item.ValueType == "NUM")
    number.MeasuredValueSequence[0].NumericValue = "77"
    copy.Manufacturer = FORMULA


def unknown(copy: Dataset) -> None:
    add_code(groups(copy)[0], codes.VERDICT, codes.WHY)


def stored(node: RunningNode, count: int) -> list[VerdictRow]:
    def found() -> list[VerdictRow]:
        rows = node.all(select(VerdictRow))
        return rows if len({row.source_uid for row in rows}) >= count else []

    return until(found, f"the verdicts of {count} objects are stored")


def test_an_edited_report_sent_by_c_store_is_listed_exported_and_shown(
    node: RunningNode, report: Dataset, condyle: Condyle, tmp_path: Path
) -> None:
    assert node.send([edited(report, other_number), edited(report, unknown)]) == [0, 0]
    (job,) = node.jobs(report.StudyInstanceUID)
    rows = stored(node, 1)
    assert {row.job_id for row in rows} == {job.id}
    until(
        lambda: node.all(select(AuditRow).where(AuditRow.what == VERDICT_NOT_READ)), "what is not known is in the audit"
    )

    table = tmp_path / "verdicts.csv"
    listed = condyle("verdicts", "--config", str(node.config), "--export", str(table), "--json")
    assert listed.returncode == 0, listed.stderr
    (modified,) = (one for one in json.loads(listed.stdout) if one["answer"] == "modify")
    assert (modified["job"], modified["pipeline"]) == (job.id, "knee_super_resolution")
    assert modified["changes"][0]["after"] == 77.0
    with table.open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["answer"] == "modify"]
    assert (lines[0]["after"], lines[0]["device"]) == ("77.0", f"'{FORMULA} Viewer")
    assert "modify" in condyle("verdicts", "--config", str(node.config), "--pipeline", job.pipeline).stdout
    assert condyle("verdicts", "--config", str(node.config), "--pipeline", "other", "--json").stdout.strip() == "[]"

    page = f"http://127.0.0.1:{node.page}/studies/{report.StudyInstanceUID}"
    shown = urllib.request.urlopen(page, timeout=10).read().decode()
    assert f'id="verdicts-{job.id}"' in shown
    assert "→ 77" in shown
    assert "is no answer that is known" in shown
    assert [one.id for one in node.jobs()] == [job.id]  # nobody takes it for an image
    reader, patient = READER.split("^")[0], str(report.PatientName).split("^")[0]
    assert reader not in listed.stdout + shown + node.log_text()
    assert patient not in listed.stdout + node.log_text()  # the page shows it to those who see patients


def nested(copy: Dataset) -> None:
    inner = named(copy, "126010")[0]
    for _ in range(60):
        inner = container(standard.DCM.ImagingMeasurements, [inner])
    copy.ContentSequence.append(inner)


def test_an_assessment_sr_is_stored_by_its_answers_and_a_hostile_one_costs_nobody_else_anything(
    node: RunningNode, report: Dataset, tmp_path: Path
) -> None:
    tracked = [str(named(group, "112040")[0].UID) for group in groups(report)]
    answers = (Answer.ACCEPT, Answer.REJECT)
    said = [Assessment(answer, uid) for answer, uid in zip(answers, tracked, strict=False)]
    whole = Assessment(Answer.MODIFY, reason=codes.POOR_IMAGES)
    series, study = str(report.SeriesInstanceUID), str(report.StudyInstanceUID)
    about = [ObjectFile(str(report.SOPClassUID), str(report.SOPInstanceUID), series, study, tmp_path)]
    written = encode_assessment(report, about, [*said, whole], assessed.READER, EncodingProfile(), tmp_path)
    assessment = pydicom.dcmread(written.path)
    assert node.send([edited(report, nested), assessment]) == [0, 0]

    def found() -> list[VerdictRow]:
        return node.all(select(VerdictRow).where(VerdictRow.source_uid == written.sop_instance_uid))

    rows = {row.tracking_uid: row for row in until(found, "the assessment has been read")}
    assert {uid: row.answer for uid, row in rows.items()} == {
        **{one.tracking_uid: one.answer for one in said},
        "": Answer.MODIFY,
    }
    assert {row.kind for row in rows.values()} == {"assessment"}
    assert rows[""].reason == [codes.POOR_IMAGES.value, "99MSKAI", codes.POOR_IMAGES.meaning]
    refused = node.all(select(AuditRow).where(AuditRow.what == VERDICT_NOT_READ))
    assert ["its content is nested too deep"] in [row.detail["reasons"] for row in refused]
    assert node.get("/health/ready")["ready"]


def test_what_came_before_is_looked_into_when_that_is_asked_for(
    node: RunningNode, report: Dataset, condyle: Condyle
) -> None:
    before = len(stored(node, 1))
    with Session(node.database) as session, session.begin():
        session.execute(update(VerdictRow).values(source_uid="1.2.3"))
        count = len(session.scalars(select(InstanceRow.sop_instance_uid).where(InstanceRow.looks_left == 0)).all())
    assert count
    answer = condyle("verdicts", "--read-all", "--config", str(node.config))
    assert answer.stdout.endswith("to look into.\n")
    waiting = select(InstanceRow).where(InstanceRow.looks_left > 0)
    until(lambda: not node.all(waiting), "all of it has been looked into")
    rows = node.all(select(VerdictRow))
    assert (len(rows), "1.2.3" in {row.source_uid for row in rows}) == (before, False)


def test_a_verdict_that_is_given_on_the_page_goes_to_the_destination_and_into_the_report(
    node: RunningNode, report: Dataset, condyle: Condyle, tmp_path: Path
) -> None:
    (job,) = node.jobs(report.StudyInstanceUID)
    with httpx.Client(base_url=f"http://127.0.0.1:{node.page}", headers={"accept": "text/html"}, timeout=30) as client:
        form = client.get(f"/jobs/{job.id}/verdict")
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form.text))
        given = client.post(f"/jobs/{job.id}/verdict", data={**hidden, "name": "Grace Hopper", "whole": "reject"})
    assert given.status_code == 303, given.text

    def arrived() -> list[Dataset]:
        found = results(node, report.StudyInstanceUID).values()
        return [ds for ds in found if ds.get("SeriesDescription") == "AI assessment by a reader"]

    (sent,) = until(arrived, "the assessment is in the folder of the destination")
    assert str(sent.AuthorObserverSequence[0].PersonName) == "Grace Hopper"
    assert (sent.PatientID, sent.StudyDate) == (report.PatientID, report.StudyDate)
    written = condyle("verdicts", "--report", str(tmp_path / "page"), "--config", str(node.config))
    assert written.returncode == 0, written.stderr
    assert "1 rejected" in written.stdout
    assert (tmp_path / "page" / "knee_super_resolution-accepted.png").is_file()
    assert "Hopper" not in node.log_text() + written.stdout + (tmp_path / "page" / "report.html").read_text()
