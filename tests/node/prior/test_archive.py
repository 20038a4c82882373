"""What an archive answers is not believed further than it must be."""

from __future__ import annotations

from datetime import date

import pytest

from node.prior.archive import EarlierStudy, earlier
from node.prior.report import Moment, Wanted
from pipelines.records.record import Identity

WHO = Identity("K4711", "", "Muster", "Erika", date(1960, 2, 29), "F")
WANTED = Wanted("trial", "1.9", Moment("20260505", "080000"), WHO)


def test_the_latest_of_the_earlier_studies_comes_first() -> None:
    answers = [
        ("K4711", "19600229", "1.1", Moment("20240101")),
        ("K4711", "19600229", "1.2", Moment("20260505", "070000")),
        ("", "", "1.3", Moment("20250101")),  # what an answer does not say does not count against it
    ]
    studies, mismatches = earlier(answers, WANTED)
    assert [study.study_instance_uid for study in studies] == ["1.2", "1.3", "1.1"]
    assert mismatches == []


@pytest.mark.parametrize(
    "answer",
    [
        ("K4712", "19600229", "1.1", Moment("20240101")),  # another patient ID
        ("K4711", "19600229", "1.9", Moment("20240101")),  # the study that is being read
        ("K4711", "19600229", "", Moment("20240101")),
        ("K4711", "19600229", "1.1", Moment("20260505", "080000")),  # not earlier
        ("K4711", "19600229", "1.1", Moment("")),  # nobody knows when
    ],
)
def test_what_is_no_earlier_study_of_the_patient_is_left_out(answer: tuple[str, str, str, Moment]) -> None:
    assert earlier([answer], WANTED) == ([], [])


def test_another_birth_date_is_another_person_and_is_reported() -> None:
    assert earlier([("K4711", "19610101", "1.1", Moment("20240101"))], WANTED) == ([], ["birth date"])


def test_a_study_twice_in_the_answers_is_one() -> None:
    answer = ("K4711", "", "1.1", Moment("20240101"))
    assert earlier([answer, answer], WANTED)[0] == [EarlierStudy("1.1", Moment("20240101"))]
