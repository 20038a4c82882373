from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_sr.read.body_parts import LIMB, PARTS, other_parts, parts_in, parts_named, side_in, side_named
from dicom_sr.read.headers import coded


@pytest.mark.parametrize(
    ("text", "part", "side"),
    [
        ("HAND", "hand", None),
        ("LEFT HAND", "hand", "L"),
        ("HAND_R", "hand", "R"),
        ("HandLt", "hand", "L"),
        ("LTHAND", "hand", "L"),
        ("RT HAND", "hand", "R"),
        ("FINGERS", "finger", None),
        ("LMCP", "finger", "L"),
        ("2nd finger, mcp_2", "finger", None),
        ("Hände beide", "hand", None),
        ("HAENDE DP", "hand", None),
        ("Handgelenk re.", "wrist", "R"),
        ("Röntgen der Hand li", "hand", "L"),
        ("Vorfuß links", "foot", "L"),
        ("Füße", "foot", None),
        ("Großzehe rechts", "toe", "R"),
        ("MAIN", "hand", None),
        ("Main G face", "hand", "L"),
        ("poignet droit", "wrist", "R"),
        ("avant-pied D", "foot", "R"),
        ("orteils", "toe", None),
        ("MANO DX", "hand", "R"),
        ("mano sx AP", "hand", "L"),
        ("Polso sinistro", "wrist", "L"),
        ("piedi", "foot", None),
        ("Mano izquierda", "hand", "L"),
        ("Muñeca der", "wrist", "R"),
        ("Mão direita", "hand", "R"),
        ("Punho esq", "wrist", "L"),
        ("pé direito", "foot", "R"),
        ("linkerhand", "hand", "L"),
        ("Handen", "hand", None),
        ("Voet re", "foot", "R"),
        ("polsgewricht", "wrist", None),
        ("KNEE", "knee", None),
        ("MRT Knie rechts", "knee", "R"),
        ("genoux", "knee", None),
        ("Ginocchio sx", "knee", "L"),
        ("UPPER EXTREMITY", LIMB, None),
        ("CHESTAP", "chest", None),
        ("T-SPINE", "spine", None),
        ("L-SPINE", "spine", None),
        ("HAND-R", "hand", "R"),
        ("R-HAND", "hand", "R"),
        ("HANDS L/R", "hand", None),
        ("HAND R/O FX", "hand", None),
        ("RE-EXAM HAND", "hand", None),
        ("PIED D'ENFANT", "foot", None),
        ("MAIN F+3/4 D", "hand", None),
        ("DOIGT D 2", "finger", None),
        ("L 12-5 FINGER", "finger", None),
        ("HAND POST SX", "hand", None),
        ("Hand L'Hopital", "hand", None),
        ("Hand L\u2019Hopital", "hand", None),
        ("ULNAR", "arm", None),
        ("RX PIE", "foot", None),
        ("IRM de la main", "hand", None),
    ],
)
def test_a_part_and_a_side_are_known_as_devices_write_them(text: str, part: str, side: str | None) -> None:
    assert parts_in([text]) == {part}
    assert side_in(text) == side


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Behandlung",
        "nicht vorhanden",
        "handout",
        "L12-5 MSK",
        "long axis",
        "UNKNOWN",
        "PIEL",
        "PIER",
        "DIPL",
        "COUR",
        "3D PE COR",
        "SAG PD FS MAIN",
    ],
)
def test_what_only_looks_like_a_part_or_a_side_is_none(text: str) -> None:
    assert parts_in([text]) == frozenset()
    assert side_in(text) is None


@pytest.mark.parametrize("text", ["HANDS L+R", "left and right", "DX HAND", "mano sin contraste"])
def test_a_side_that_may_be_either_is_none(text: str) -> None:
    assert side_in(text) is None


@given(st.text(max_size=64))
def test_any_text_is_read(text: str) -> None:
    assert parts_in([text]) <= set(PARTS)
    assert side_in(text) in ("L", "R", None)


def header(**texts: str) -> Dataset:
    ds = Dataset()
    for keyword, text in texts.items():
        setattr(ds, keyword, text)
    return ds


@pytest.mark.parametrize(
    ("value", "scheme", "meaning", "part"),
    [
        ("85562004", "SCT", "Hand", "hand"),
        ("T-D8700", "SRT", "手", "hand"),
        ("29707007", "SCT", "", "toe"),
        ("1", "99HOSPITAL", "Handgelenk links", "wrist"),
    ],
)
def test_a_region_is_known_by_its_code_or_its_meaning(value: str, scheme: str, meaning: str, part: str) -> None:
    ds = Dataset()
    ds.AnatomicRegionSequence = [coded(Code(value, scheme, meaning))]
    assert parts_named(ds) == {part}


def test_the_study_is_asked_only_where_nothing_else_names_a_part() -> None:
    assert parts_named(header(BodyPartExamined="CHEST", StudyDescription="Hand")) == {"chest"}
    assert parts_named(header(BodyPartExamined="EXTREMITY", StudyDescription="Hand")) == {LIMB, "hand"}
    assert parts_named(header(SeriesDescription="Mano", StudyDescription="RX torace")) == {"hand"}


def test_another_part_is_said_as_it_is_written() -> None:
    assert other_parts(header(BodyPartExamined="LIVER"), ["hand"]) == "LIVER"
    assert other_parts(header(BodyPartExamined="XYZ", SeriesDescription="Fegato"), ["hand"]) == "abdomen"
    assert other_parts(header(BodyPartExamined="CHEST", SeriesDescription="Hand li"), ["hand"]) == ""
    assert other_parts(header(BodyPartExamined="XYZ"), ["hand"]) == ""


def test_the_side_of_the_header_goes_before_words() -> None:
    assert side_named(header(Laterality="R", SeriesDescription="left hand")) == "R"
    assert side_named(header(ImageLaterality="LEFT")) == "L"
    assert side_named(header(ImageLaterality="B", SeriesDescription="left hand")) is None
    assert side_named(header(BodyPartExamined="LEFT HAND", SeriesDescription="HAND R")) == "L"
    assert side_named(header(SeriesDescription="Hand re")) == "R"
    assert side_named(header(SeriesDescription="L+R Hand", ProtocolName="Hand R")) is None


def test_the_words_of_the_image_go_before_those_of_its_series() -> None:
    assert side_named(header(SeriesDescription="HANDS R", ImageComments="MCP 2 LEFT")) == "L"
    assert side_named(header(SeriesDescription="HANDS R", AcquisitionDeviceProcessingDescription="LEFT MCP2")) == "L"
