"""Conditions on images, written as those of a route."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_sr.read.conditions import WrongCondition
from pipelines.monai_bundle.conditions import conditions


def header(**elements: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


HEADERS = [
    header(Modality="MR", SeriesDescription="SAG T2 FS", EchoTime="10", ImageType=["ORIGINAL", "PRIMARY"]),
    header(Modality="MR", SeriesDescription="SAG T2 FS", EchoTime="20", ImageType=["ORIGINAL", "PRIMARY"]),
]


@pytest.mark.parametrize(
    ("clauses", "holds"),
    [
        ({}, True),
        ({"Modality": "mr"}, True),
        ({"Modality": ["CT", "MR"]}, True),
        ({"SeriesDescription": "*t2*", "EchoTime": {"min": 15}}, True),
        ({"EchoTime": {"min": 25}}, False),
        ({"ImageType": {"not": "LOCALIZER"}}, True),
        ({"ContrastBolusAgent": {"absent": True}}, True),
        ({"ContrastBolusAgent": {"present": True}}, False),
        ({"not": {"Modality": "CT"}}, True),
        ({"any_of": [{"Modality": "CT"}, {"SeriesDescription": "*FS"}]}, True),
        ({"all_of": [{"Modality": "MR"}, {"Modality": "CT"}]}, False),
    ],
)
def test_conditions_hold_as_those_of_a_route(clauses: dict[str, Any], holds: bool) -> None:
    assert conditions(clauses).holds(HEADERS) is holds


def test_a_clause_goes_into_sequences() -> None:
    item = header(CodeMeaning="Knee")
    outer = Dataset()
    outer.AnatomicRegionSequence = [item]
    assert conditions({"AnatomicRegionSequence.CodeMeaning": "knee"}).holds([outer])


def test_clauses_are_told_in_words() -> None:
    clause = conditions({"Modality": ["CT", "MR"], "not": {"EchoTime": {"max": 5}}})
    assert clause.words == "Modality CT or MR and not (EchoTime at most 5)"


@pytest.mark.parametrize("clauses", [{"Modalities": "CT"}, {"Modality": None}, {"Modality": []}, {"any_of": "CT"}])
def test_what_is_no_condition_is_told(clauses: dict[str, Any]) -> None:
    with pytest.raises(WrongCondition):
        conditions(clauses)
