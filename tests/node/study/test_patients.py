from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from node.study.patients import (
    Person,
    differing_names,
    marking_key,
    patient_numbers,
    series_of_several_studies,
    several_patients,
)
from pipelines.records.record import Identity

ANNA = Identity("4711", "HOSPITAL", "Müller", "Anna Maria", date(1960, 2, 29), "F")


def person(**changes: object) -> Person:
    return Person.of(Identity(**{**vars(ANNA), **changes}))


@pytest.mark.parametrize(
    ("changes", "attribute"),
    [
        ({"patient_id": "4712"}, "PatientID"),
        ({"patient_id": ""}, "PatientID"),
        ({"issuer": "ELSEWHERE"}, "IssuerOfPatientID"),
        ({"birth_date": date(1960, 3, 1)}, "PatientBirthDate"),
        ({"sex": "M"}, "PatientSex"),
        ({"issuer": ""}, None),
        ({"birth_date": None}, None),
        ({"sex": "U"}, None),
        ({"family_name": "Meier"}, None),  # a name may change
    ],
)
def test_two_are_one_patient_unless_an_attribute_contradicts_it(
    changes: dict[str, object], attribute: str | None
) -> None:
    assert person().contradiction(person(**changes)) == attribute
    assert person(**changes).contradiction(person()) == attribute


def test_where_neither_has_an_id_the_names_must_not_differ() -> None:
    nameless = person(patient_id="")
    assert nameless.contradiction(person(patient_id="", family_name="Meier")) == "PatientName"
    assert nameless.contradiction(person(patient_id="", family_name="MULLER", given_name="anna")) is None
    assert nameless.contradiction(person(patient_id="", family_name="", given_name="")) is None


def test_patients_are_numbered_as_they_come_and_what_one_image_lacks_another_may_have() -> None:
    people = [
        person(birth_date=None),
        person(patient_id="4712"),
        person(),
        person(birth_date=date(1970, 1, 1)),  # not the first one, whose birth date the third image told
        person(sex="U"),
    ]
    assert patient_numbers(people) == [1, 2, 1, 3, 1]
    assert patient_numbers([]) == []


def test_marks_tell_patients_apart_as_their_headers_do_and_name_nobody(tmp_path: Path) -> None:
    key = marking_key(tmp_path)
    marks = [who.marked(key) for who in (person(), person(birth_date=None), person(birth_date=date(1970, 1, 1)))]
    assert patient_numbers(Person.of_mark(mark) for mark in marks) == [1, 1, 2]
    assert Person.of_mark(person(patient_id="", issuer="").marked(key)).patient_id == ""
    assert all(len(mark) <= 80 and "4711" not in mark for mark in marks)
    assert marks[0] != person().marked(b"another key")


def test_the_key_of_a_data_folder_is_made_once_and_is_private(tmp_path: Path) -> None:
    assert marking_key(tmp_path) == marking_key(tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_several_patients_are_told_by_the_attribute_and_an_image_of_each_and_names_nobody() -> None:
    people = [person(), person(patient_id="4712"), person()]
    told = several_patients(people, patient_numbers(people), ["1.1", "1.2", "1.3"])
    assert "of 2 patients, for PatientID differs: 2 such as 1.1 and 1 such as 1.2" in told
    assert not [name for name in ("4711", "4712", "Müller", "Anna") if name in told]


def test_one_patient_under_two_names_is_said() -> None:
    assert differing_names([person(), person()]) == ""
    assert "more than one way" in differing_names([person(), person(family_name="Meier")])


def test_a_series_of_many_studies_names_the_first_few() -> None:
    told = series_of_several_studies("1.9", [f"1.{number}" for number in range(6)])
    assert "is of 7 studies" in told
    assert "1.0, 1.1, 1.2, 1.3 and 2 more too" in told
