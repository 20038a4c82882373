from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts as _concepts
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.codes import CONDYLE, CodingScheme, register, scheme_of
from dicom_sr.errors import CodeConflict, EncodingError
from pipelines import svh_sites
from pipelines.hand_foot_scoring import codes as hands
from pipelines.joint_classification import codes as joints
from pipelines.knee_oa_risk import codes as risk
from pipelines.knee_super_resolution import codes as thin_slices
from pipelines.monai_bundle import codes as bundles

CONCEPTS: dict[str, dict[str, dict[str, object]]] = dict(_concepts)  # type: ignore[arg-type]
IN_DICOM = {value for rows in CONCEPTS["SCT"].values() for value in rows}
MODULES = (codes, hands, joints, risk, thin_slices, bundles)


def snomed_codes() -> set[str]:
    """Every SNOMED CT code that the modules of codes can emit."""
    named = [value for module in MODULES for value in vars(module).values() if isinstance(value, Code)]
    named += [*codes.LATERALITY.values(), *(site.region for site in svh_sites.SVH_SITES)]
    named += [row.snomed for row in CONDYLE.rows if row.snomed is not None]
    named += [row.code for row in codes.reviewed_snomed()]
    return {code.value for code in named if code.scheme_designator == "SCT"}


def test_private_values_are_unique_short_and_upper_case() -> None:
    values = [row.value for row in CONDYLE.rows]
    assert len(values) == len(set(values)) == 187
    assert all(0 < len(value) <= 16 and value == value.upper() for value in values)


def test_private_meanings_fit_a_long_string_and_say_something() -> None:
    assert all(0 < len(row.meaning) <= 64 and "\\" not in row.meaning for row in CONDYLE.rows)
    assert all(row.definition.endswith(".") and row.since == "1" for row in CONDYLE.rows)


def test_a_value_that_is_not_in_the_table_is_no_code() -> None:
    with pytest.raises(KeyError):
        codes.private("SVH-NOTHING")


def test_every_number_with_an_uncertainty_has_names_for_it_that_say_whose_it_is() -> None:
    assert codes.spread_of(hands.SVH_ERO).meaning == "Erosion score, standard deviation"
    low, high = codes.interval_of(joints.PROB_RA)
    assert (low.value, high.value) == ("PROB-RA-LO", "PROB-RA-HI")
    assert low.meaning == "Probability of rheumatoid arthritis, lower end of interval"


def test_a_number_whose_scheme_has_no_name_for_its_uncertainty_gets_the_general_one() -> None:
    standard = Code("112031", "DCM", "Attenuation Coefficient")
    assert codes.spread_of(standard) == codes.VALUE_SD
    assert codes.interval_of(standard) == (codes.VALUE_LOW, codes.VALUE_HIGH)


# ---- schemes
def test_a_value_never_gets_a_second_meaning() -> None:
    scheme = CodingScheme("99TEST", "2.25.1", "Test", "1")
    tear = scheme.add("TEAR", "Tendon tear", "A torn tendon.")
    assert scheme.add("TEAR", "Tendon tear", "A torn tendon.") == tear  # a module may be imported again
    with pytest.raises(CodeConflict, match=r"TEAR of coding scheme 99TEST means 'Tendon tear'.*'Muscle tear'"):
        scheme.add("TEAR", "Muscle tear", "A torn muscle.")
    assert scheme.code("TEAR").meaning == "Tendon tear"


@pytest.mark.parametrize(("value", "meaning"), [("lower", "M"), ("", "M"), ("A" * 17, "M"), ("A", "M" * 65), ("A", "")])
def test_a_code_that_no_data_set_can_hold_is_refused(value: str, meaning: str) -> None:
    with pytest.raises(ValueError, match="of coding scheme 99TEST"):
        CodingScheme("99TEST", "2.25.1", "Test", "1").add(value, meaning, "Something.")


def test_a_designator_and_a_uid_are_of_one_scheme() -> None:
    with pytest.raises(CodeConflict, match="99MSKAI is there already"):
        register(CodingScheme(CONDYLE.designator, "2.25.1", "Another", "1"))
    with pytest.raises(CodeConflict, match="is that of coding scheme 99MSKAI"):
        register(CodingScheme("99TEST", CONDYLE.uid, "Another", "1"))
    assert codes.schemes().count(CONDYLE) == 1


def test_a_private_scheme_has_a_private_designator() -> None:
    with pytest.raises(ValueError, match="starts with 99"):
        register(CodingScheme("SCT", "2.25.1", "Mine", "1"))


def test_the_scheme_of_a_code_is_found_or_the_error_says_what_to_do() -> None:
    assert scheme_of(codes.WHY) is CONDYLE
    assert scheme_of(codes.HAND) is None
    with pytest.raises(EncodingError, match="99NOBODY of code TEAR is not known"):
        scheme_of(Code("TEAR", "99NOBODY", "Tendon tear"))
    with pytest.raises(EncodingError, match="99MSKAI has no code TEAR"):
        scheme_of(Code("TEAR", CONDYLE.designator, "Tendon tear"))


# ---- SNOMED CT
def test_every_snomed_code_is_in_dicoms_content_or_was_reviewed() -> None:
    reviewed = {row.code.value for row in codes.reviewed_snomed()}
    assert snomed_codes() - IN_DICOM == reviewed
    assert all(row.seen and row.reviewed for row in codes.reviewed_snomed())


def test_every_snomed_code_has_its_check_digit() -> None:
    assert len(snomed_codes()) > 20
    assert [value for value in snomed_codes() if not codes.verhoeff(value)] == []


def test_a_mistyped_digit_is_noticed() -> None:
    assert codes.verhoeff("363679005")
    assert not codes.verhoeff("363679006")
    assert not codes.verhoeff("363697005")  # two digits swapped


def test_a_code_is_reviewed_once() -> None:
    with pytest.raises(CodeConflict, match="69896004 was reviewed as 'Rheumatoid arthritis'"):
        codes.review_snomed(Code("69896004", "SCT", "Arthritis"), "nobody", "2026-11-28")


def test_the_alternatives_of_a_code_are_those_of_its_family() -> None:
    found = codes.alternatives(codes.WHY_OOD)
    assert codes.WHY_CROPPED in found
    assert all(str(one.value).startswith("WHY-") for one in found)
    assert codes.alternatives(codes.OOD) == ()
    assert codes.alternatives(codes.HAND) == ()
