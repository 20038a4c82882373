"""Verdicts are read as they were written, by the node's own codes and by those that are named; none is guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.assessment import Answer, Assessment, Change
from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.read.assessments import Vocabulary, assessments_in, with_values_before
from dicom_sr.read.statements import document_in
from dicom_sr.write.encode import encode
from pipelines.example import CREATED
from pipelines.hand_foot_scoring.codes import SVH_ERO
from tests.dicom_sr import assessed
from tests.factories import joint_result, radiograph_study
from tests.workstation import add_code, content_of, edited, groups

KNOWN = Vocabulary()
ASSESSMENT, AGREED, UNSURE = (Code(value, "99ACME", value.title()) for value in ("ASSESSMENT", "AGREED", "UNSURE"))
ACME = KNOWN.more((ASSESSMENT,), (), ((AGREED, Answer.ACCEPT),))


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> tuple[EncodedObject, ...]:
    folder = tmp_path_factory.mktemp("result")
    result = joint_result(radiograph_study(folder / "in"))
    sites = ("MCP2", "MCP3", "MCP4")
    result = replace(result, findings=tuple(replace(result.findings[0], tracking_id=f"SvH L {site}") for site in sites))
    return encode(result, EncodingProfile(kinds=("report",)), CREATED, folder / "out")


@pytest.fixture(scope="module")
def report(objects: tuple[EncodedObject, ...]) -> Dataset:
    return pydicom.dcmread(objects[0].path)


def test_an_assessment_sr_is_read_as_it_was_written(
    objects: tuple[EncodedObject, ...], report: Dataset, tmp_path: Path
) -> None:
    findings = joint_result(radiograph_study(tmp_path / "in")).findings
    named = tuple(replace(findings[0], tracking_id=f"SvH L {site}") for site in ("MCP2", "MCP3", "MCP4"))
    written = assessed.assessment_of(named, objects, EncodingProfile(), tmp_path)
    document = document_in(written.path.read_bytes(), KNOWN.concepts)
    read = assessments_in(document, KNOWN)
    wanted = assessed.said_of(named, report)
    assert [one.answer for one in read.assessments[:3]] == [one.answer for one in wanted[:3]]
    by_uid = {one.tracking_uid: one for one in read.assessments}
    modified = by_uid[wanted[1].tracking_uid]
    assert (modified.tracking_id, modified.reason) == ("SvH L MCP3", codes.WRONG_VALUE)
    assert [(change.before, change.after) for change in modified.changes] == [(None, 3.0)]
    assert by_uid[wanted[2].tracking_uid].comment == "An old fracture."
    assert by_uid[""].comment == "One score is too low."
    assert {one.sop_instance_uid for one in objects} <= set(by_uid[""].object_uids)
    assert read.person == str(assessed.READER.name)
    assert read.not_understood == ()
    (before,) = (g for g in document_in(content_of(report), ()).groups if g.tracking_uid == modified.tracking_uid)
    assert [(change.before, change.after) for change in with_values_before(modified, before).changes] == [(2.4, 3.0)]


def test_a_report_without_an_answer_has_no_verdict(report: Dataset) -> None:
    read = assessments_in(document_in(content_of(report), KNOWN.concepts), KNOWN)
    assert (read.assessments, read.not_understood) == ((), ())


def test_codes_of_others_count_once_they_are_named_and_an_unknown_answer_is_left_alone(report: Dataset) -> None:
    def answer(copy: Dataset) -> None:
        first, second, third = groups(copy)
        add_code(first, ASSESSMENT, AGREED)
        add_code(second, ASSESSMENT, UNSURE)
        add_code(third, ASSESSMENT, AGREED)
        add_code(third, ASSESSMENT, UNSURE)

    content = content_of(edited(report, answer))
    assert assessments_in(document_in(content, KNOWN.concepts), KNOWN).assessments == ()
    read = assessments_in(document_in(content, ACME.concepts), ACME)
    assert [(one.tracking_id, one.answer) for one in read.assessments] == [("SvH L MCP2", Answer.ACCEPT)]
    unknown, several = read.not_understood
    assert unknown.endswith("(UNSURE, 99ACME) is no answer that is known")
    assert several.endswith("has several answers")


def test_a_number_that_our_report_does_not_have_stays_a_change_without_a_value_before(report: Dataset) -> None:
    (ours, *_) = document_in(content_of(report), ()).groups
    new, unitless = Change(codes.WHY, None, 7.0, codes.POINTS), Change(SVH_ERO, None, 3.0)
    said = Assessment(Answer.MODIFY, ours.tracking_uid, changes=(new, unitless))
    assert with_values_before(said, ours).changes == (new, unitless)
