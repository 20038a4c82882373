from __future__ import annotations

from pathlib import Path

from dicom_sr import phantoms
from node.study.identity_in_text import identity_of, without
from tests.factories import knee_study


def test_whatever_names_the_patient_is_taken_out_of_a_text(tmp_path: Path) -> None:
    study = knee_study(tmp_path, person=phantoms.Person("ID-4711", "Doe^Jane", "F", "19600504"))
    found = list(identity_of(instance.path for instance in study.instances[:1]))
    text = "cannot read Doe^Jane (ID-4711), born 19600504, called Jane Doe"
    assert without(text, found) == "cannot read *** (***), born ***, called *** ***"


def test_the_longest_value_goes_first_and_short_ones_stay() -> None:
    assert without("Anna-Maria and Anna in an image", ["Anna", "Anna-Maria", "an"]) == "*** and *** in an image"


def test_a_text_of_nobody_stays() -> None:
    assert without("a slice is missing", ["", "F"]) == "a slice is missing"
