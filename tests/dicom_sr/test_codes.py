from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code

from dicom_sr import codes

IN_DICOM = {value for rows in concepts["SCT"].values() for value in rows}


def snomed_codes() -> set[str]:
    """Every SNOMED CT code that the module can emit."""
    named = [value for value in vars(codes).values() if isinstance(value, Code)]
    named += [*codes.LATERALITY.values(), *codes.SNOMED_EQUIVALENT.values(), *(site.region for site in codes.SVH_SITES)]
    named += [row.code for row in codes.ALLOWED_SNOMED]
    return {code.value for code in named if code.scheme_designator == "SCT"}


def test_private_values_are_unique_short_and_upper_case():
    values = [row.value for row in codes.TABLE]
    assert len(values) == len(set(values))
    assert all(0 < len(value) <= 16 and value == value.upper() for value in values)


def test_private_meanings_fit_a_long_string_and_say_something():
    assert all(0 < len(row.meaning) <= 64 and "\\" not in row.meaning for row in codes.TABLE)
    assert all(row.definition.endswith(".") and row.since == "1" for row in codes.TABLE)


def test_a_value_that_is_not_in_the_table_is_no_code():
    with pytest.raises(KeyError):
        codes.private("SVH-NOTHING")


def test_the_score_has_16_15_6_and_6_sites_and_448_points():
    hand = [site for site in codes.SVH_SITES if site.limb == "hand"]
    foot = [site for site in codes.SVH_SITES if site.limb == "foot"]
    assert (len(hand), len(foot)) == (22, 6)
    assert [sum(site.erosion_maximum > 0 for site in limb) for limb in (hand, foot)] == [16, 6]
    assert [sum(site.jsn_maximum > 0 for site in limb) for limb in (hand, foot)] == [15, 6]
    # the published maxima: hands 160, feet 120, narrowing 168
    assert 2 * sum(site.erosion_maximum for site in hand) == 160
    assert 2 * sum(site.erosion_maximum for site in foot) == 120
    assert 2 * sum(site.jsn_maximum for site in codes.SVH_SITES) == 168
    assert codes.SVH_MAXIMUM == 448


def test_the_thumb_is_no_finger_and_the_hands_navicular_is_the_scaphoid():
    assert codes.svh_site("hand", "MCP1").region.meaning == "Thumb"
    navicular = codes.svh_site("hand", "NAV").region
    assert (navicular.value, navicular.meaning) == ("30518006", "Scaphoid")
    assert codes.svh_site("hand", "IP1").modifier_value != codes.svh_site("foot", "IP1").modifier_value


def test_every_snomed_code_is_in_dicoms_content_or_was_reviewed():
    reviewed = {row.code.value for row in codes.ALLOWED_SNOMED}
    assert snomed_codes() - IN_DICOM == reviewed
    assert all(row.seen and row.reviewed for row in codes.ALLOWED_SNOMED)


def test_every_snomed_code_has_its_check_digit():
    assert len(snomed_codes()) > 20
    assert [value for value in snomed_codes() if not codes.verhoeff(value)] == []


def test_a_mistyped_digit_is_noticed():
    assert codes.verhoeff("363679005")
    assert not codes.verhoeff("363679006")
    assert not codes.verhoeff("363697005")  # two digits swapped


def test_the_page_of_codes_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "codes.md"
    assert page.read_text(encoding="utf-8") == codes.as_markdown(), (
        "write dicom_sr.codes.as_markdown() to docs/codes.md"
    )
