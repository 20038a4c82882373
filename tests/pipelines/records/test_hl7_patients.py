"""Merges and corrections in messages: whose they are, when they were told, and which cannot be followed."""

from __future__ import annotations

import pytest

from dicom_sr.current_patient import CurrentPatient
from pipelines.records.hl7 import read_message
from pipelines.records.hl7_patients import PatientChange, moment
from tests.node.patient_records.adt import adt, incoming


@pytest.mark.parametrize("trigger", ["A40", "A47"])
def test_a_merge_names_prior_and_surviving_patient_ids_and_who_the_patient_is(trigger: str) -> None:
    name = "von Muster&von&Muster^Erika^Anna^jr^Dr^^L"
    change = incoming(trigger, "NEW", "OLD1", "OLD2", name=name, at="20260102030405.12+0200").change
    assert change.merged == ((("OLD1", ""), ("NEW", "")), (("OLD2", ""), ("NEW", "")))
    assert change.patients == (CurrentPatient("NEW", "", "von Muster^Erika^Anna^Dr^jr", "19600229", "F"),)
    assert change.told == "20260102010405"
    assert "Muster" not in repr(change)
    assert "OLD1" not in repr(change)


def test_a_correction_names_the_patient_and_other_messages_change_nothing() -> None:
    assert incoming("A31", "NEW").change.patients[0].patient_id == "NEW"
    assert incoming("A35", "NEW", "OLD").change == PatientChange()  # two accounts of one patient


@pytest.mark.parametrize(
    ("issuers", "default", "authority", "prior", "why"),
    [
        ({"HOSP": "H"}, "", "CLINIC", "CLINIC", "PID-3 holds no patient ID of an assigning authority that is known"),
        ({"HOSP": "H"}, "", "HOSP", "CLINIC", "MRG-1 holds no patient ID of an assigning authority that is known"),
        ({"HOSP": "H", "CLINIC": "C"}, "", "HOSP", "CLINIC", "no patient IDs of the same assigning authority"),
        ({}, "", "HOSP", "HOSP", "PID-3 holds no patient ID of an assigning authority that is known"),
        ({}, "H", "HOSP", "HOSP", "PID-3 holds no patient ID of an assigning authority that is known"),
        ({}, "H", "H", "HOSP", "MRG-1 holds no patient ID of an assigning authority that is known"),
        ({}, "HOSP", "HOSP", "HOSP", ""),
        ({}, "HOSP", "HOSP", "", ""),
        ({}, "", "", "", ""),
    ],
)
def test_a_merge_counts_only_for_an_assigning_authority_that_is_known(
    issuers: dict[str, str], default: str, authority: str, prior: str, why: str
) -> None:
    text = adt("A40", "4711", "4712", authority=authority, prior_authority=prior)
    change = read_message(text, issuers, default).change
    assert why in change.refused
    assert bool(change.merged) == (not why)
    assert change.refused == "" or change.refused.endswith("; nothing was merged")
    assert not change.refused or not change.patients


def test_two_patient_ids_are_not_swapped_and_one_that_dicom_cannot_hold_is_no_patients() -> None:
    groups = "PID|1||A^^^H^MR||Muster^Erika\rMRG|B^^^H^MR\rPID|1||B^^^H^MR||Meier^Max\rMRG|A^^^H^MR\r"
    header = "MSH|^~\\&|A|B|C|D|20240102||ADT^A40^ADT_A39|45|P|2.5\rEVN|A40|20240102\r"
    assert "into each other" in read_message(header + groups, {"H": ""}).change.refused
    assert "longer than DICOM's 64 characters" in incoming("A40", "NEW", "9" * 65).change.refused
    without = header + "PID|1||A^^^H^MR||Muster^Erika\r"
    assert "no MRG segment" in read_message(without, {"H": ""}).change.refused


@pytest.mark.parametrize(
    ("text", "when"),
    [("20260102", "20260102000000"), ("202601020304-0130", "20260102043400"), ("2026", ""), ("20261345", ""), ("", "")],
)
def test_a_time_stamp_is_read_to_the_second_and_in_utc_where_it_has_a_zone(text: str, when: str) -> None:
    assert moment(text) == when
