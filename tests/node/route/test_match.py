"""Matchers: what each test says of which values, what a mistake is told, and what a trace hides."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from node.errors import ConfigurationError
from node.route.facts import Facts
from node.route.match import is_identifying, matcher, problems


def facts(**values: object) -> Facts:
    """Facts with these values; ``series__spacing_mm`` stands for ``series.spacing_mm``."""
    plain = {k.replace("__", "."): v if isinstance(v, tuple) else (v,) for k, v in values.items()}
    return Facts("1.2.3.4", "MR", plain, made_by_node=False)


def holds(when: dict[str, object], level: str = "study", **values: object) -> bool:
    return matcher(when, "when", level).trace(facts(**values)).holds


@pytest.mark.parametrize(
    ("when", "values", "expected"),
    [
        # equals
        ({"Modality": "MR"}, {"Modality": "MR"}, True),
        ({"Modality": "mr"}, {"Modality": "MR "}, True),
        ({"Modality": "MR"}, {"Modality": "CT"}, False),
        ({"Modality": "MR"}, {}, False),
        ({"ImageType": "PRIMARY"}, {"ImageType": ("ORIGINAL", "PRIMARY")}, True),
        ({"SeriesNumber": 3}, {"SeriesNumber": 3}, True),
        ({"SeriesNumber": "3"}, {"SeriesNumber": 3}, True),
        ({"EchoTime": 6.3}, {"EchoTime": 6.3000001}, True),
        ({"EchoTime": 6.3}, {"EchoTime": 6.4}, False),
        ({"SeriesDescription": {"equals": "a*b"}}, {"SeriesDescription": "a*b"}, True),
        ({"SeriesDescription": {"equals": "a*b"}}, {"SeriesDescription": "axb"}, False),
        # glob
        ({"SeriesDescription": "*SAG*"}, {"SeriesDescription": "pd sag fs"}, True),
        ({"SeriesDescription": "sag*"}, {"SeriesDescription": "pd sag"}, False),
        ({"SeriesDescription": "T?"}, {"SeriesDescription": "t2"}, True),
        ({"SeriesDescription": "*[T2]*"}, {"SeriesDescription": "pd [t2] fs"}, True),
        ({"SeriesDescription": "*[T2]*"}, {"SeriesDescription": "t"}, False),
        # list
        ({"BodyPartExamined": ["KNEE", "LEG*"]}, {"BodyPartExamined": "LEGS"}, True),
        ({"BodyPartExamined": ["KNEE", "LEG*"]}, {"BodyPartExamined": "HAND"}, False),
        ({"BodyPartExamined": ["KNEE", {"absent": True}]}, {}, True),
        # range
        ({"EchoTime": {"min": 5, "max": 60}}, {"EchoTime": 5.0}, True),
        ({"EchoTime": {"min": 5, "max": 60}}, {"EchoTime": 60}, True),
        ({"EchoTime": {"min": 5, "max": 60}}, {"EchoTime": 60.1}, False),
        ({"EchoTime": {"min": 5}}, {"EchoTime": (1.0, 9.0)}, True),
        ({"EchoTime": {"max": 5}}, {}, False),
        ({"PatientAge": {"min": 18}}, {"PatientAge": "066Y"}, True),
        ({"PatientAge": {"min": 18}}, {"PatientAge": "200M"}, False),
        ({"PatientAge": {"max": 1}}, {"PatientAge": "020W"}, True),
        ({"StudyDate": {"min": 20260101}}, {"StudyDate": "20261122"}, True),
        ({"StudyDate": {"max": 20260101}}, {"StudyDate": "20261122"}, False),
        # present, absent, not
        ({"ContrastBolusAgent": {"present": True}}, {"ContrastBolusAgent": "Gd"}, True),
        ({"ContrastBolusAgent": {"present": False}}, {"ContrastBolusAgent": "Gd"}, False),
        ({"ContrastBolusAgent": {"absent": True}}, {}, True),
        ({"ContrastBolusAgent": {"absent": False}}, {}, False),
        ({"ImageType": {"not": "LOCALIZER"}}, {"ImageType": ("ORIGINAL", "LOCALIZER")}, False),
        ({"ImageType": {"not": "LOCALIZER"}}, {}, True),
        ({"Modality": {"not": ["CT", "MR"]}}, {"Modality": "MR"}, False),
        # together, in one test
        ({"SliceThickness": {"min": 2, "not": 3}}, {"SliceThickness": 4.0}, True),
        ({"SliceThickness": {"min": 2, "not": 3}}, {"SliceThickness": 3.0}, False),
        ({"SliceThickness": {"all_of": [{"min": 2}, {"max": 3}]}}, {"SliceThickness": 2.5}, True),
        ({"SliceThickness": {"any_of": [{"max": 1}, {"min": 5}]}}, {"SliceThickness": 2.5}, False),
        # together, of clauses
        ({"Modality": "MR", "BodyPartExamined": "KNEE"}, {"Modality": "MR"}, False),
        ({"any_of": [{"Modality": "CT"}, {"Modality": "MR"}]}, {"Modality": "MR"}, True),
        ({"any_of": [{"Modality": "CT"}, {"Modality": "US"}]}, {"Modality": "MR"}, False),
        (
            {"all_of": [{"Modality": "MR"}, {"any_of": [{"SeriesNumber": 1}]}]},
            {"Modality": "MR", "SeriesNumber": 1},
            True,
        ),
        ({"not": {"Modality": "MR", "SeriesNumber": 1}}, {"Modality": "MR", "SeriesNumber": 2}, True),
        ({"not": {"Modality": "MR"}}, {"Modality": "MR"}, False),
        ({}, {}, True),
        # the series, the study and the association
        ({"series.spacing_mm": {"min": 1.5}}, {"series__spacing_mm": 4.0}, True),
        ({"series.orientation": {"not": "mixed"}}, {"series__orientation": "sagittal"}, True),
        ({"study.modalities": "DX"}, {"study__modalities": ("MR", "DX")}, True),
        ({"association.calling_ae_title": "MR*"}, {"association__calling_ae_title": "MR1"}, True),
        ({"association.peer_address": "10.2.0.0/16"}, {"association__peer_address": "10.2.9.9"}, True),
        ({"association.peer_address": "10.2.0.0/16"}, {"association__peer_address": "::ffff:10.2.9.9"}, True),
        ({"association.peer_address": ["10.3.0.0/16", "::1"]}, {"association__peer_address": "10.2.9.9"}, False),
        ({"association.peer_address": "10.2.0.0/16"}, {"association__peer_address": "here"}, False),
    ],
)
def test_a_matcher_holds_of_what_it_describes(when: Any, values: Any, expected: bool) -> None:
    assert holds(when, **values) is expected


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ({"Modlity": "MR"}, "when.Modlity: .*did you mean 'Modality'"),
        ({"series.spacing": 3}, "when.series.spacing: .*did you mean 'series.spacing_mm'"),
        ({"Modality": True}, "when.Modality: true: .*in quotes"),
        ({"Modality": None}, "when.Modality: is empty: should be a text or number"),
        ({"Modality": []}, r"when.Modality: \[\]: an empty list"),
        ({"Modality": {}}, "when.Modality: {}: is empty"),
        ({"Modality": {"min": 3}}, "when.Modality: {'min': 3}: min and max need an element that holds a number"),
        ({"Modality": {"regex": "M."}}, "when.Modality.regex: 'M.': is not a test; there are: min, max, equals"),
        ({"Modality": {"present": "some"}}, "when.Modality.present: 'some': should be true or false"),
        ({"Modality": {"equals": ["MR"]}}, "when.Modality.equals: .*should be one text or number"),
        ({"Modality": {"any_of": "MR"}}, "when.Modality.any_of: 'MR': should be a list"),
        ({"EchoTime": {"min": "five"}}, "when.EchoTime.min: 'five': should be a number"),
        ({"EchoTime": {"min": 9, "max": 3}}, "when.EchoTime: min 9 is greater than max 3"),
        ({"EchoTime": "short"}, "when.EchoTime: 'short': should be a number, or a range such as {min: 1}"),
        ({"EchoTime": ">= 4"}, "when.EchoTime: '>= 4': should be a number"),
        ({"EchoTime": "1*"}, "when.EchoTime: '1.': should be a number, .* a pattern is for texts"),
        ({"EchoTime": [5, "short"]}, "when.EchoTime: 'short': should be a number"),
        ({"EchoTime": {"equals": "short"}}, "when.EchoTime.equals: 'short': should be a number"),
        ({"EchoTime": {"minimum": 4}}, "when.EchoTime.minimum: 4: is not a test; .* did you mean 'min'"),
        ({"series.slices": "many"}, "when.series.slices: 'many': should be a number"),
        ({"PatientAge": "old"}, "when.PatientAge: 'old': should be an age such as 045Y"),
        ({"StudyDate": "yesterday"}, "when.StudyDate: 'yesterday': should be a date such as 20260131"),
        ({"0018,0081": 4}, "when.0018,0081: is a tag; a key is a keyword: EchoTime"),
        ({"(0018,0081)": 4}, "is a tag; a key is a keyword: EchoTime"),
        ({"AnatomicRegionSequence": "knee"}, "is a sequence; ask for an element in it"),
        ({"Modality.CodeValue": "x"}, "only a sequence has elements below it"),
        ({"any_of": {"Modality": "MR"}}, "when.any_of: {'Modality': 'MR'}: should be a list of clauses"),
        ({"any_of": [{"Modality": "MR"}, {"Modalty": "CT"}]}, r"when.any_of.1.Modalty: .*did you mean 'Modality'"),
        ({"not": "LOCALIZER"}, "when.not: 'LOCALIZER': should be a mapping"),
        ({"association.peer_address": "10.2.0.0/99"}, "should be an address or network"),
        ({"study.series": 2}, "2: is known only when the study is complete; the route should have level: study"),
        ({"series.body_part": "hnad"}, r"when\.series\.body_part: 'hnad': should be one of hand, wrist, "),
    ],
)
def test_a_mistake_is_told_with_its_key_when_the_node_starts(when: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        matcher(when, "when", "series")


@pytest.mark.parametrize(
    "when",
    [
        {"EchoTime": "5.5"},
        {"PatientAge": "045Y"},
        {"PatientAge": "0*Y"},
        {"PatientAge": {"min": 18}},
        {"StudyDate": "20260131"},
        {"StudyDate": "2026*"},
        {"StudyDate": date(2026, 1, 31)},
        {"SeriesNumber": ["1", 2]},
        {"Modality": "mr"},
        {"PatientID": "4711"},
    ],
)
def test_numbers_ages_and_dates_may_be_written_as_text(when: Any) -> None:
    assert list(problems(when, "when")) == []


def test_python_in_a_matcher_is_only_text() -> None:
    assert not holds({"SeriesDescription": "__import__('os').abort()"}, SeriesDescription="x")


def test_a_trace_says_for_every_clause_what_was_expected_and_found() -> None:
    when = {
        "Modality": "MR",
        "EchoTime": {"min": 5, "max": 60},
        "any_of": [{"BodyPartExamined": "KNEE"}, {"ProtocolName": "*knee*"}],
    }
    trace = matcher(when, "when").trace(facts(Modality="MR", EchoTime=(2.0, 3.0), ProtocolName="wrist"))
    assert [clause.as_json() for clause in trace.clauses] == [
        {"key": "Modality", "expected": "MR", "found": "MR", "holds": True},
        {"key": "EchoTime", "expected": "at least 5 and at most 60", "found": "2, 3", "holds": False},
        {
            "key": "any_of",
            "expected": "any of these",
            "found": "0 of 2 hold",
            "holds": False,
            "clauses": [
                {"key": "BodyPartExamined", "expected": "KNEE", "found": "absent", "holds": False},
                {"key": "ProtocolName", "expected": "*knee*", "found": "wrist", "holds": False},
            ],
        },
    ]


def test_many_different_values_are_not_all_shown() -> None:
    trace = matcher({"SliceLocation": 3}, "when").trace(facts(SliceLocation=tuple(float(n) for n in range(100))))
    assert trace.clauses[0].found == "0, 1, 2, 3, 4, 5 and 94 more"


IDENTIFYING = ["PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "PatientAddress", "AccessionNumber"]
IDENTIFYING += ["ReferringPhysicianName", "PatientComments", "ImageComments", "ReferencedPatientSequence.PatientID"]


@pytest.mark.parametrize("keyword", IDENTIFYING)
def test_a_trace_never_shows_who_the_patient_is(keyword: Any) -> None:
    trace = matcher({keyword: {"not": "Secret*"}, "Modality": "MR"}, "when").trace(
        facts(Modality="MR", **{keyword.replace(".", "__"): "Secret^Anna"})
    )
    assert "ecret" not in json.dumps(trace.as_json())
    assert [clause.holds for clause in trace.clauses] == [False, True]  # it is still asked


@pytest.mark.parametrize("keyword", ["Modality", "PatientSex", "PatientAge", "PatientPosition", "SeriesDescription"])
def test_what_describes_the_images_is_shown(keyword: str) -> None:
    assert not is_identifying(keyword)
