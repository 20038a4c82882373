"""HL7 v2 messages: every shared one, demographics, diagnoses, values, merges."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dicom_sr.errors import UnsuitableInput
from pipelines.records.code_systems import family
from pipelines.records.hl7 import acknowledgement, read_message
from pipelines.records.record import DAY_UNKNOWN, Identity

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "emr"
AUTHORITIES = ("ADT1", "BCBS")  # of the messages that merge patients
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
    merges = "MRG|" in text
    incoming = read_message(text, dict.fromkeys(AUTHORITIES, "") if merges else {})
    assert len(incoming.records) == 1
    assert incoming.event.split("^")[0] in text.replace("\n", "\r").split("\r")[0]
    segments = [line[:3] for line in text.replace("\n", "\r").split("\r")]
    conditions = [event for event in incoming.records[0].events if event.kind == "condition"]
    assert len(conditions) >= (segments.count("DG1") > 0)
    assert bool(incoming.change.merged) == merges
    assert bool(read_message(text, {}).change.refused) == merges  # of an authority that nobody has named


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
    assert read_message(text, {"H": "HOME"}).change.merged == ((("old", "HOME"), ("new", "HOME")),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin with MSH"),
        ("PID|1||4711", "does not begin with MSH"),
        ("MSH|^~\\&|A|B|C|D|20240102||ADT^A08|1|P|2.5\r", "no PID segment"),
        ("MSH|^~\\&|A|B|C|D|20240102||ADT^A08|1|P|9.9\rPID|1||4711\r", "MSH-12 does not name version 2"),
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


# ---- versions, delimiters and dates as senders write them
@pytest.mark.parametrize("version", ["2.1", "2.5", "2.5.2", "2.9", "", "2.5.1^USA", "2", "v2.3"])
@pytest.mark.parametrize("marks", ["^~\\&", "^~\\&#", "^~\\", "^"])
def test_every_version_2_is_read_with_as_many_delimiters_as_it_names(version: str, marks: str) -> None:
    text = f"MSH|{marks}|R|H|N|X|20240501||ADT^A08|1|P|{version}\rPID|1||V^^^^MR||Test^Anna||19610214|F\r"
    incoming = read_message(text, {})
    assert incoming.records[0].identity == Identity("V", "", "Test", "Anna", date(1961, 2, 14), "F")
    assert incoming.version == version.split("^")[0]


@pytest.mark.parametrize(
    ("told", "start", "precision"),
    [
        ("2018", date(2018, 1, 1), "year"),
        ("201803", date(2018, 3, 1), "month"),
        ("20180305", date(2018, 3, 5), "day"),
        ("201803051200", date(2018, 3, 5), "day"),
        ("20180305235959.1234-0800", date(2018, 3, 5), "day"),
        ("2018-0500", date(2018, 1, 1), "year"),  # a zone, not a month
        ("201803+0100", date(2018, 3, 1), "month"),
        ("20180300", date(2018, 3, 1), "month"),
        ("20180000", date(2018, 1, 1), "year"),
        ("2018-03-05", date(2018, 3, 5), "day"),
    ],
)
@pytest.mark.parametrize(
    "segment", ["DG1|1||M54.5^x^I10||{}", "PR1|1||P^x^L||{}", "OBR|1|||x|||{}|||||" + "|" * 19 + "M54.5^x^I10"]
)
def test_dates_keep_their_precision(segment: str, told: str, start: date, precision: str) -> None:
    (record,) = read_message(HEAD.format("ADT^A08") + segment.format(told) + "\r", {}).records
    (event,) = [event for event in record.events if event.kind != "encounter"]
    assert (event.start, event.precision) == (start, precision)


@pytest.mark.parametrize(
    "segment", ["DG1|1||M54.5^x^I10||{}", "PR1|1||P^x^L||{}", "OBX|1|NM|39156-5^x^LN||27||||||||{}|{}"]
)
@pytest.mark.parametrize("told", ["unknown", "20181332", "05.03.18"])
def test_a_date_that_cannot_be_read_never_becomes_the_messages_day(segment: str, told: str) -> None:
    incoming = read_message(HEAD.format("ADT^A08") + segment.replace("{}", told) + "\r", {})
    assert {event.kind for event in incoming.records[0].events} == {"encounter"}
    assert incoming.refused == {f"{segment[:3]}: its date cannot be read": 1}


def test_what_is_left_empty_is_of_the_day_of_the_order_the_admission_or_the_message() -> None:
    text = HEAD.format("ORM^O01") + (
        "PV1|1|O" + "|" * 42 + "20230601\rPV2|||M54.5^x^I10\r"
        "ORC|NW||||||||20230702\rRXO|M01AE01^Ibuprofen^WC\rRXE|^^^20230803|M01AE01^Ibuprofen^WC\r"
        'DG1|1||I10^x^I10||""|F\rDG1|2||E11^x^I10\r'
    )
    (record,) = read_message(text, {}).records
    days = [(event.code, event.start) for event in record.events if event.kind != "encounter"]
    assert days == [
        ("M54.5", date(2023, 6, 1)),
        ("M01AE01", date(2023, 7, 2)),
        ("M01AE01", date(2023, 8, 3)),
        ("I10", date(2025, 1, 1)),
        ("E11", date(2025, 1, 1)),
    ]


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        ("DG1|1||||20240101\r", "DG1: no code and no text"),
        ("OBX|1|ST|1988-5^CRP^LN||much\r", "OBX: not a number"),
        ("OBX|1|NM|3084-1^Urate^LN||9.9|mg/dL|||||X\r", "OBX: could not be had"),
        ("DG1|1||I10^Hypertension^I10||20240101|F|||||||||||||||D\r", "DG1: marked as not true"),
        ("ORC|CA|1\rRXE|1|M01AE01^Ibuprofen^WC|1\r", "RXE: marked as not true"),
    ],
)
def test_what_is_left_out_is_counted_by_its_reason(segments: str, reason: str) -> None:
    assert read_message(HEAD.format("ADT^A08") + segments, {}).refused == {reason: 1}


@pytest.mark.parametrize(
    ("told", "other", "why"),
    [
        ("1961", date(1961, 2, 14), None),
        ("196102", date(1961, 2, 14), None),
        ("196103", date(1961, 2, 14), "birth date"),
        ("1960", date(1961, 2, 14), "birth date"),
        ("", date(1961, 2, 14), None),
    ],
)
def test_a_birth_date_counts_as_far_as_it_is_known(told: str, other: date, why: str | None) -> None:
    text = HEAD.format("ADT^A08").replace("19600101", told)
    who = read_message(text, {}).records[0].identity
    assert who.mismatch(Identity("X", "", "Doe", "Jane", other, "F")) == why


def test_the_legal_name_counts_before_the_one_before_marriage() -> None:
    text = HEAD.format("ADT^A08").replace("Doe^Jane", "Maiden^Jane^^^^^M~Doe^Jane^^^^^L")
    assert read_message(text, {}).records[0].identity.family_name == "Doe"


def test_editions_of_icd_10_are_known_by_the_names_that_messages_have_for_them() -> None:
    names = ["I10", "ICD10", "I10G2004", "ICD-10-GM", "ICD10GM2024", "I10AM", "CIM-10", "2.16.840.1.113883.6.90"]
    text = HEAD.format("ADT^A08") + "".join(f"DG1|1||X^x^L^M17.1^x^{name}||20240101\r" for name in names)
    (record,) = read_message(text, {}).records
    found = [event for event in record.events if event.kind == "condition"]
    assert [event.code for event in found] == ["M17.1"] * len(names)
    assert {family(event.system, event.code) for event in found} == {"icd10"}


def test_the_coding_method_of_old_versions_names_the_system() -> None:
    (record,) = read_message(HEAD.format("ADT^A08") + "DG1|1|I9|715.96|OA|20240101\r", {}).records
    assert [(e.system, e.code) for e in record.events if e.kind == "condition"] == [
        ("http://hl7.org/fhir/sid/icd-9-cm", "715.96")
    ]


def test_a_field_of_twenty_thousand_repetitions_is_read_at_once() -> None:
    (record,) = read_message(HEAD.format("ADT^A08") + "DG1|1||" + "~".join(["I10^x^I10"] * 20_000) + "\r", {}).records
    assert len(record.events) == 20_001


@pytest.mark.parametrize(
    ("segments", "says"),
    [
        ("PID|1||1" + "|a" * 250_001, "250000 fields"),
        ("PID|1||1" + "~a" * 50_001, "50000 repetitions of fields"),
        ("PID|1||1" + "^a" * 500_001, "500000 components"),
        ("PID|1||1" + "&a" * 500_001, "500000 subcomponents"),
        ("\r" * 20_000 + "PID|1||1", "5000 segments"),
    ],
    ids=["fields", "repetitions", "components", "subcomponents", "segments"],
)
def test_a_message_of_more_parts_than_any_real_one_is_refused_before_it_is_cut(segments: str, says: str) -> None:
    with pytest.raises(UnsuitableInput, match=f"the message has more than {says}"):
        read_message(HEAD.format("ADT^A08") + segments + "\r", {})


def test_a_patient_with_more_ids_than_any_real_one_is_refused_and_the_same_one_twice_is_one() -> None:
    message = HEAD.format("ADT^A08").partition("PID")[0] + "PID|1||{}||Doe^Jane|||\r"
    with pytest.raises(UnsuitableInput, match="a patient has more than 50 patient IDs"):
        read_message(message.format("~".join(f"{n}^^^H^MR" for n in range(51))), {})
    assert len(read_message(message.format("~".join(["7^^^H^MR"] * 51)), {}).records) == 1


def test_an_acknowledgement_repeats_no_separator_and_no_segment_of_the_sender() -> None:
    text = ADT.replace("SENDER", "A\\F\\B\\X0D\\MSA").replace("|42|", "|4\\T\\2|").replace("SITE|CON", "Klinik Süd|CON")
    header, answer = acknowledgement(text, "AA").rstrip("\r").split("\r")
    assert header.split("|")[4:6] == ["A\\F\\BMSA", "Klinik Süd"]
    assert header.split("|")[17] == "UNICODE UTF-8"
    assert answer == "MSA|AA|4\\T\\2"
