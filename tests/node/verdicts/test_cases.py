"""Results that readers took over become cases for a training: what they left in them, and nobody's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_sr import codes
from dicom_sr.assessment import Answer, Assessment, Change
from dicom_sr.profile import EncodedObject
from node.run.job_folder import SUMMARY
from node.verdicts.cases import cases
from node.verdicts.giving import PageVerdicts
from pipelines.hand_foot_scoring.codes import SVH_ERO
from tests.node.verdicts.assessed_node import NOW, made_result
from tests.node.verdicts.judged_node import JudgedNode

EROSION = f"99MSKAI:{SVH_ERO.value}"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[EncodedObject, ...]]:
    return made_result(tmp_path_factory.mktemp("result"))


@pytest.fixture
def node(tmp_path: Path, result: tuple[Path, tuple[EncodedObject, ...]]) -> Iterator[JudgedNode]:
    made = JudgedNode(tmp_path, *result)
    yield made
    made.here.close()


def give(node: JudgedNode, reader: str, *answers: Answer | float | None) -> None:
    """Have a reader answer for the three findings in turn: with an answer, a new score, or nothing."""
    page = PageVerdicts(node.configuration, node.database)
    asked = page.questions("1")
    said = []
    for finding, answer in zip(asked.findings, answers, strict=False):
        if answer is None:
            continue
        number = finding.numbers[0]
        changes = (Change(number.name, number.value, answer, number.unit),) if not isinstance(answer, Answer) else ()
        kind = answer if isinstance(answer, Answer) else Answer.MODIFY
        reason = codes.NOT_THERE if kind is Answer.REJECT else None
        said.append(
            Assessment(kind, finding.tracking_uid, tracking_id=finding.tracking_id, reason=reason, changes=changes)
        )
    page.give("1", asked.report_uid, reader, said)


def test_accepted_and_changed_findings_are_there_and_rejected_ones_are_not(node: JudgedNode) -> None:
    give(node, "Roe", Answer.ACCEPT, 4.0, Answer.REJECT)
    (case,) = cases(node.database, node.configuration)["trial"]
    found = {one.tracking_id: (one.values[EROSION], EROSION in one.changed) for one in case.findings}
    assert found == {"SvH L MCP2": (2.4, False), "SvH L MCP3": (4.0, True)}
    assert [path.is_file() for path in (*case.images.values(), case.report)] == [True, True]
    assert str(node.report.PatientID) not in repr((case.name, case.patient))
    assert node.report.StudyInstanceUID not in repr((case.name, case.patient))


def test_the_word_of_the_last_reader_counts(node: JudgedNode) -> None:
    give(node, "Roe", 4.0, Answer.ACCEPT)
    give(node, "Doe", 3.0, Answer.REJECT)
    (case,) = cases(node.database, node.configuration, "trial")["trial"]
    assert {one.tracking_id: one.values[EROSION] for one in case.findings} == {"SvH L MCP2": 3.0}


def test_a_result_that_is_kept_no_longer_makes_no_case(node: JudgedNode) -> None:
    give(node, "Roe", Answer.ACCEPT)
    assert cases(node.database, node.configuration, "another") == {}
    (node.here.data / "jobs" / "1" / SUMMARY).unlink()
    assert cases(node.database, node.configuration) == {}


@pytest.mark.parametrize("gone", [{"withdrawn": NOW}, {"rejected": "images were rejected"}], ids=str)
def test_a_result_that_was_withdrawn_or_rejected_makes_no_case(node: JudgedNode, gone: dict[str, object]) -> None:
    give(node, "Roe", Answer.ACCEPT)
    node.change(**gone)
    assert cases(node.database, node.configuration) == {}
