"""A verdict that is given on the page is written, stored, and sent to whoever takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pydicom
import pytest

from dicom_sr import codes
from dicom_sr.assessment import Answer, Assessment, Change
from dicom_sr.profile import EncodedObject
from dicom_sr.read.assessments import Vocabulary, assessments_in
from dicom_sr.read.statements import document_in
from node.errors import JobNotFound
from node.send.outbox import Sender
from node.verdicts.giving import CannotBeJudged, PageVerdicts
from node.verdicts.questions import Questions
from tests.node.verdicts.assessed_node import made_result
from tests.node.verdicts.judged_node import TAKES, TAKES_NOT, JudgedNode
from tests.waiting import until

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[EncodedObject, ...]]:
    return made_result(tmp_path_factory.mktemp("result"))


@pytest.fixture
def node(tmp_path: Path, result: tuple[Path, tuple[EncodedObject, ...]]) -> Iterator[JudgedNode]:
    made = JudgedNode(tmp_path, *result)
    yield made
    made.here.close()


@pytest.fixture
def page(node: JudgedNode) -> PageVerdicts:
    return PageVerdicts(node.configuration, node.database, Clock())


def said_of(asked: Questions) -> list[Assessment]:
    first, second, _ = asked.findings
    number = first.numbers[0]
    return [
        Assessment(
            Answer.MODIFY,
            first.tracking_uid,
            tracking_id=first.tracking_id,
            finding=first.finding,
            site=first.site,
            reason=codes.WRONG_VALUE,
            changes=(Change(number.name, number.value, 4.0, number.unit),),
        ),
        Assessment(Answer.ACCEPT, second.tracking_uid, tracking_id=second.tracking_id),
        Assessment(Answer.MODIFY, comment="Roe has one joint that is worse."),
    ]


def test_it_is_sent_to_the_destination_that_takes_it_as_an_object_that_the_reader_of_such_understands(
    node: JudgedNode, page: PageVerdicts
) -> None:
    asked = page.questions("1")
    given = page.give("1", asked.report_uid, "Dr. Jane Roe", said_of(asked))
    assert given.destinations == (TAKES,)
    sender = Sender(node.configuration, node.database)
    sender.start()
    try:
        until(lambda: node.lines()[0].state == "delivered", "the assessment is delivered")
    finally:
        sender.stop()
    assert not list((node.folder / TAKES_NOT).rglob("*.dcm"))
    (sent,) = (node.folder / TAKES).rglob("*.dcm")
    ds = pydicom.dcmread(sent)
    assert (ds.PatientID, ds.StudyInstanceUID) == (node.report.PatientID, node.report.StudyInstanceUID)
    read = assessments_in(document_in(sent.read_bytes(), (codes.VERDICT,)), Vocabulary())
    assert (read.person, read.not_understood) == ("Dr. Jane Roe", ())
    assert [
        (one.answer, one.tracking_uid) for one in sorted(read.assessments, key=lambda one: one.tracking_uid == "")
    ] == [
        (Answer.MODIFY, asked.findings[0].tracking_uid),
        (Answer.ACCEPT, asked.findings[1].tracking_uid),
        (Answer.MODIFY, ""),
    ]
    (change,) = next(one.changes for one in read.assessments if one.changes)
    assert (change.name, change.after) == (asked.findings[0].numbers[0].name, 4.0)


def test_it_is_stored_as_one_that_came_in_and_names_nobody(node: JudgedNode, page: PageVerdicts) -> None:
    asked = page.questions("1")
    page.give("1", asked.report_uid, "Jane Roe", said_of(asked))
    rows = node.standing()
    assert {name: row.answer for name, row in rows.items()} == {
        "SvH L MCP2": Answer.MODIFY,
        "SvH L MCP3": Answer.ACCEPT,
        "": Answer.MODIFY,
    }
    modified = rows["SvH L MCP2"]
    assert (modified.changes[0]["before"], modified.changes[0]["after"]) == (2.4, 4.0)
    assert (modified.sender, modified.device, modified.comment) == ("page", "Condyle", "")
    assert modified.object_uid == asked.report_uid
    assert modified.observer
    assert "Roe" not in repr([vars(row) for row in rows.values()])


def test_comments_are_stored_without_names_where_the_configuration_says_so(
    tmp_path: Path, result: tuple[Path, tuple[EncodedObject, ...]]
) -> None:
    node = JudgedNode(tmp_path, *result, comments=True)
    page = PageVerdicts(node.configuration, node.database, Clock())
    asked = page.questions("1")
    page.give("1", asked.report_uid, "Roe", said_of(asked))
    assert node.standing()[""].comment == "*** has one joint that is worse."
    node.here.close()


def test_the_very_same_word_again_changes_nothing_and_another_takes_its_place(
    node: JudgedNode, page: PageVerdicts
) -> None:
    asked = page.questions("1")
    said = [one for one in said_of(asked) if not one.comment]
    assert page.give("1", asked.report_uid, "Jane Roe", said).new
    assert not page.give("1", asked.report_uid, "jane  roe", said).new
    assert (len(node.lines()), len(node.verdicts())) == (1, 2)
    other = [replace(said[1], answer=Answer.REJECT, reason=codes.NOT_THERE)]
    assert page.give("1", asked.report_uid, "Jane Roe", other).new
    assert node.standing()["SvH L MCP3"].answer == Answer.REJECT
    assert (len(node.lines()), len(node.verdicts())) == (2, 3)


def test_a_shadows_result_is_judged_and_nothing_of_it_is_sent(node: JudgedNode, page: PageVerdicts) -> None:
    node.change(shadow=True)
    asked = page.questions("1")
    assert page.give("1", asked.report_uid, "Roe", said_of(asked)).destinations == ()
    assert node.lines() == []
    assert len(node.standing()) == 3


def test_what_has_no_result_cannot_be_judged(node: JudgedNode, page: PageVerdicts) -> None:
    asked = page.questions("1")
    with pytest.raises(JobNotFound):
        page.questions("2")
    with pytest.raises(CannotBeJudged, match="another one than when this page was opened"):
        page.give("1", "1.2.3", "Roe", said_of(asked))
    node.change(state="failed")
    with pytest.raises(CannotBeJudged, match="failed"):
        page.questions("1")
    node.change(state="done", withdrawn=NOW)
    with pytest.raises(CannotBeJudged, match="withdrawn"):
        page.give("1", asked.report_uid, "Roe", said_of(asked))
    node.change(withdrawn=None)
    for file in (node.here.data / "jobs" / "1").glob("*.dcm"):
        file.unlink()
    with pytest.raises(CannotBeJudged, match="does not keep the report"):
        page.questions("1")
    assert node.verdicts() == []
