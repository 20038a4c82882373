"""HL7 v2 messages: every shared one, demographics, diagnoses, values, merges."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from dicom_sr.errors import UnsuitableInput
from pipelines.records.hl7 import acknowledgement, read_message

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
def test_every_shared_message_is_read(shared_data, name):
    text = (shared_data / "emr" / name).read_bytes().decode("utf-8-sig")
    incoming = read_message(text, {})
    assert len(incoming.records) == 1
    assert incoming.event.split("^")[0] in text.replace("\n", "\r").split("\r")[0]
    segments = [line[:3] for line in text.replace("\n", "\r").split("\r")]
    conditions = [event for event in incoming.records[0].events if event.kind == "condition"]
    assert len(conditions) >= (segments.count("DG1") > 0)
    assert bool(incoming.merged) == ("MRG" in segments)


def test_all_shared_messages_were_found(shared_data):
    assert len(list((shared_data / "emr").glob("hl7v2*/*.hl7"))) == len(FILES) == 28


def test_demographics_and_diagnoses_are_read():
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


def test_values_have_their_own_date_or_that_of_their_request_and_withdrawn_ones_are_left_out():
    (record,) = read_message(ORU, {}).records
    values = {e.code: (e.value, e.unit, e.start) for e in record.events if e.kind == "observation"}
    assert values == {
        "39156-5": (31.5, "kg/m2", date(2023, 12, 24)),
        "4548-4": (6.1, "%", date(2023, 11, 11)),
    }


def test_the_reason_of_an_order_is_a_diagnosis():
    order = (
        "MSH|^~\\&|HIS|S|CONDYLE|S|20240102||ORM^O01|44|P|2.3\rPID|1||4711||Doe^Jane||19600504|F\r"
        "ORC|NW|1\rOBR|1|1||24725-4^CT Head^LN|||20240102||||||||||||||||||||||||M25.561^Pain in right knee^I10C\r"
    )
    (record,) = read_message(order, {}).records
    assert [e.code for e in record.events if e.kind == "condition"] == ["M25.561"]


def test_assigning_authorities_become_issuers():
    (record,) = read_message(ADT, {"HOSP": "HOSPITAL"}).records
    assert (record.identity.patient_id, record.identity.issuer) == ("4711", "HOSPITAL")
    with pytest.raises(UnsuitableInput, match="PID-3"):
        read_message(ADT, {"ELSEWHERE": "X"})


def test_a_merge_names_the_old_and_the_new_number():
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
def test_what_cannot_be_read_is_refused_with_the_part_that_is_missing(text, why):
    with pytest.raises(UnsuitableInput, match=why):
        read_message(text, {})


def test_an_acknowledgement_goes_back_to_the_sender_and_names_the_message():
    header, answer = acknowledgement(ADT, "AE", "no PID").rstrip("\r").split("\r")
    fields = header.split("|")
    assert fields[2:6] == ["CONDYLE", "SITE", "SENDER", "SITE"]
    assert fields[8] == "ACK^A08^ACK"
    assert answer == "MSA|AE|42|no PID"
