"""HL7 v2 messages: every shared one, demographics, diagnoses, values, merges."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dicom_sr.errors import UnsuitableInput
from pipelines.records.hl7 import acknowledgement, read_message
from pipelines.records.record import DAY_UNKNOWN

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "emr"
FILES = [str(path.relative_to(SHARED)) for path in sorted(SHARED.glob("hl7v2*/*.hl7"))]

ADT = (
    "MSH|^~\\&|SENDER|SITE|CONDYLE|SITE|20240102030405||ADT^A08^ADT_A01|42|P|2.5.1\r"
    "EVN|A08|20240102\r"
    "PID|1||4711^^^HOSP&1.2.3&ISO^MR~99^^^STATE^SS||Doe^Jane^Q||19600504|F\r"
    "PV1|1|O\r"
    "DG1|1||M17.1^Gonarthrosis^I10||20230203|F\r"
    "DG1|2||X1^local^L^38341003^Hypertension^SCT||20230304|F\r"
)
ORU = (
    "MSH|^~\\&|LAB|SITE|CONDYLE|SITE|20240102||ORU^R01^ORU_R01|43|P|2.5\r"
    "PID|1||4711^^^HOSP^MR||Doe^Jane||19600504|F\r"
    "OBR|1|||24331-1^Lipids^LN|||20231224\r"
    "OBX|1|NM|39156-5^BMI^LN||31.5|kg/m2|||||F\r"
    "OBX|2|NM|4548-4^HbA1c^LN||6.1|%|||||F|||20231111\r"
    "OBX|3|NM|3084-1^Urate^LN||9.9|mg/dL|||||X\r"
    "OBX|4|ST|1988-5^CRP^LN||much|mg/L|||||F\r"
)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", FILES)
def test_every_shared_message_is_read(shared_data: Path, name: Any) -> None:
    text = (shared_data / "emr" / name).read_bytes().decode("utf-8-sig")
    incoming = read_message(text, {})
    assert len(incoming.records) == 1
    assert incoming.event.split("^")[0] in text.replace("\n", "\r").split("\r")[0]
    segments = [line[:3] for line in text.replace("\n", "\r").split("\r")]
    conditions = [event for event in incoming.records[0].events if event.kind == "condition"]
    assert len(conditions) >= (segments.count("DG1") > 0)
    assert bool(incoming.merged) == ("MRG" in segments)


def test_all_shared_messages_were_found(shared_data: Path) -> None:
    assert len(list((shared_data / "emr").glob("hl7v2*/*.hl7"))) == len(FILES) == 28


def test_demographics_and_diagnoses_are_read() -> None:
    incoming = read_message(ADT, {})
    (record,) = incoming.records
    who = record.identity
    assert (who.patient_id, who.family_name, who.given_name, who.birth_date, who.sex) == (
        "4711",
        "Doe",
        "Jane",
        date(1960, 5, 4),
        "F",
    )
    conditions = [(e.system, e.code, e.start) for e in record.events if e.kind == "condition"]
    assert conditions == [
        ("http://hl7.org/fhir/sid/icd-10", "M17.1", date(2023, 2, 3)),
        ("http://snomed.info/sct", "38341003", date(2023, 3, 4)),  # the triplet whose system is known
    ]
    assert (incoming.control_id, incoming.event) == ("42", "ADT^A08")


def test_values_have_their_own_date_or_that_of_their_request_and_withdrawn_ones_are_left_out() -> None:
    (record,) = read_message(ORU, {}).records
    values = {e.code: (e.value, e.unit, e.start) for e in record.events if e.kind == "observation"}
    assert values == {
        "39156-5": (31.5, "kg/m2", date(2023, 12, 24)),
        "4548-4": (6.1, "%", date(2023, 11, 11)),
    }


def test_the_reason_of_an_order_is_a_diagnosis() -> None:
    order = (
        "MSH|^~\\&|HIS|S|CONDYLE|S|20240102||ORM^O01|44|P|2.3\rPID|1||4711||Doe^Jane||19600504|F\r"
        "ORC|NW|1\rOBR|1|1||24725-4^CT Head^LN|||20240102||||||||||||||||||||||||M25.561^Pain in right knee^I10C\r"
    )
    (record,) = read_message(order, {}).records
    assert [e.code for e in record.events if e.kind == "condition"] == ["M25.561"]


def test_assigning_authorities_become_issuers() -> None:
    (record,) = read_message(ADT, {"HOSP": "HOSPITAL"}).records
    assert (record.identity.patient_id, record.identity.issuer) == ("4711", "HOSPITAL")
    with pytest.raises(UnsuitableInput, match="PID-3"):
        read_message(ADT, {"ELSEWHERE": "X"})


def test_a_merge_names_the_old_and_the_new_number() -> None:
    text = (
        "MSH|^~\\&|A|B|C|D|20240102||ADT^A40^ADT_A39|45|P|2.5\rEVN|A40|20240102\r"
        "PID|1||new^^^H^MR||Doe^Jane||19600504|F\rMRG|old^^^H^MR\r"
    )
    assert read_message(text, {}, "HOME").merged == ((("old", "HOME"), ("new", "HOME")),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin with MSH"),
        ("PID|1||4711", "does not begin with MSH"),
        ("MSH|^~\\&|A|B|C|D|20240102||ADT^A08|1|P|2.5\r", "no PID segment"),
        ("MSH|^~\\&|A|B|C|D|20240102||ADT^A08|1|P|9.9\rPID|1||4711\r", "not a readable HL7 v2 message"),
        ("MSH|^~\\&|A|B|C|D|20240102||ADT^A08|1|P|2.5\rPID|1||\r", "no patient identifier"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_part_that_is_missing(text: str, why: str) -> None:
    with pytest.raises(UnsuitableInput, match=why):
        read_message(text, {})


def test_an_acknowledgement_goes_back_to_the_sender_and_names_the_message() -> None:
    header, answer = acknowledgement(ADT, "AE", "no PID").rstrip("\r").split("\r")
    fields = header.split("|")
    assert fields[2:6] == ["CONDYLE", "SITE", "SENDER", "SITE"]
    assert fields[8] == "ACK^A08^ACK"
    assert answer == "MSA|AE|42|no PID"


# ---- several patients, other separators, what is taken back
HEAD = "MSH|^~\\&|A|B|C|D|20250101||{}|1|P|2.5\rPID|1||X^^^H^MR||Doe^Jane||19600101|F\r"


def test_each_patient_of_a_message_gets_their_own_values() -> None:
    text = HEAD.format("ORU^R01") + (
        "OBR|1||2|x|||20240101\rOBX|1|NM|39156-5^BMI^LN||27|kg/m2|||||F\r"
        "PID|2||Y^^^H^MR||Roe^Rick||19700101|M\rOBR|1||2|x|||20240202\rOBX|1|NM|39156-5^BMI^LN||35|kg/m2|||||F\r"
    )
    records = read_message(text, {}).records
    values = {
        record.identity.patient_id: [(e.value, e.start) for e in record.events if e.kind == "observation"]
        for record in records
    }
    assert values == {"X": [(27.0, date(2024, 1, 1))], "Y": [(35.0, date(2024, 2, 2))]}
    assert records[1].identity.birth_date == date(1970, 1, 1)


def test_a_message_may_bring_its_own_separators() -> None:
    usual = read_message(ADT, {}).records[0]
    table = str.maketrans({"|": "#", "^": "*", "~": "!", "&": "%"})
    other = read_message(ADT.translate(table), {}).records[0]
    assert other == usual


@pytest.mark.parametrize(
    ("kind", "segments", "code"),
    [
        ("PPR^PC1", "PRB|DE|20250101|I10^Hypertension^I10|1\r", "I10"),
        ("PPR^PC3", "PRB|UC|20250101|I10^Hypertension^I10|1\r", "I10"),
        ("ADT^A08", "DG1|1||I10^Hypertension^I10||20240101|F|||||||||||||||D\r", "I10"),
        ("ORU^R01", "OBX|1|NM|39156-5^BMI^LN||27|kg/m2|||||D\r", "39156-5"),
        ("ORU^R01", "OBX|1|NM|39156-5^BMI^LN||27|kg/m2|||||W\r", "39156-5"),
        ("RDE^O11", "ORC|CA|1\rRXE|1|M01AE01^Ibuprofen^WC|1\r", "M01AE01"),
    ],
)
def test_what_is_deleted_or_cancelled_is_taken_back(kind: str, segments: str, code: str) -> None:
    (record,) = read_message(HEAD.format(kind) + segments, {}).records
    assert [event.code for event in record.retracted] == [code]
    assert {event.kind for event in record.events} == {"encounter"}


def test_a_cancelled_admission_adds_nothing() -> None:
    text = HEAD.format("ADT^A11") + "DG1|1||I10^Hypertension^I10||20240101|F\r"
    (record,) = read_message(text, {}).records
    assert (record.events, record.retracted) == ((), ())


def test_a_death_without_its_day_is_a_death() -> None:
    text = HEAD.format("ADT^A08").rstrip("\r")
    died = read_message(text + "|" * 22 + "Y\r", {}).records[0]
    assert died.died == DAY_UNKNOWN
    assert read_message(text + "|" * 22 + "N\r", {}).records[0].died is None


@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "-inf"])
def test_values_that_are_no_numbers_are_left_out(value: str) -> None:
    text = HEAD.format("ORU^R01") + f"OBX|1|NM|39156-5^BMI^LN||{value}|kg/m2|||||F\r"
    assert {event.kind for event in read_message(text, {}).records[0].events} == {"encounter"}


def test_a_message_of_endless_segments_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(UnsuitableInput, match="more than 5000 segments"):
        read_message(HEAD.format("ORU^R01") + "OBX|1|NM|39156-5^BMI^LN||27|kg/m2|||||F\r" * 5000, {})
