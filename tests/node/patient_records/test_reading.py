"""What is read in a reader process: it comes back whole, and odd values are an answer that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dicom_sr.errors import UnsuitableInput
from node.patient_records import reading
from node.reading import HERE, Readers
from tests.pipelines.records.test_hl7 import ADT

PATIENT = {"resourceType": "Patient", "id": "p", "identifier": [{"value": "N1"}], "name": [{"family": "Doe"}]}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "subject": {"reference": "Patient/p"},
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "39156-5"}]},
    "effectiveDateTime": "2024-01-01",
    "valueQuantity": {"value": 27.5},
}


def bundle(*resources: dict[str, Any]) -> bytes:
    entries = [{"resource": resource} for resource in resources]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers(1) as running:
        yield running


def test_what_a_reader_process_says_is_what_was_read(readers: Readers) -> None:
    for frame, ended in ((ADT.encode(), True), (ADT.encode(), False), (b"hello", True)):
        arguments = (frame, ended, {"HOSP": "H"}, "")
        assert readers.call(reading.read_hl7, *arguments) == HERE.call(reading.read_hl7, *arguments)
    body = bundle(PATIENT, OBSERVATION)
    assert readers.call(reading.read_fhir, body, {}, "X") == HERE.call(reading.read_fhir, body, {}, "X")
    with pytest.raises(reading.NotJson, match="not JSON"):
        readers.call(reading.read_fhir, b"<Bundle/>", {}, "")


@pytest.mark.parametrize("value", [b"NaN", b"1e999", b"-Infinity", b"1e-999", b"null", b'"x"', b"[]", b"{}"])
def test_a_value_that_is_no_number_costs_its_observation_and_nothing_else(value: bytes, readers: Readers) -> None:
    body = bundle(PATIENT, OBSERVATION).replace(b"27.5", value)
    (record,) = readers.call(reading.read_fhir, body, {}, "").records
    assert [event.value for event in record.events] in ([], [None], [0.0])


MALFORMED = {
    "a number of 5 million digits": (
        b'{"resourceType": "Bundle", "x": ' + b"9" * 5_000_000 + b"}",
        "a number of more than 4,300 digits",
    ),
    "200,000 brackets": (b'{"resourceType": "Bundle", "entry": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "deep"),
    "100 brackets": (b'{"entry": ' + b"[" * 100 + b"]" * 100 + b"}", "nested more than 64 deep"),
    "objects without end": (b'{"entry": [' + b"{}," * 1_100_000 + b"{}]}", "has more than 1,000,000 values"),
    "entries without end": (b'{"resourceType": "Bundle", "entry": [' + b"0," * 100_001 + b"0]}", "100000 entries"),
    "entry that is no list": (b'{"resourceType": "Bundle", "entry": {"a": 1}}', "not a FHIR bundle"),
    "entries that are none": (
        b'{"resourceType": "Bundle", "entry": [null, 1, [], "\\ud800", {"resource": []}]}',
        "no patient",
    ),
    "half a character": (b'"\\ud800"', "not a JSON object"),
    "NUL": (b"\0", "not JSON"),
    "nothing": (b"", "not a JSON object"),
}


@pytest.mark.parametrize(("body", "says"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_bundle_is_refused_with_a_sentence(body: bytes, says: str) -> None:
    with pytest.raises(UnsuitableInput, match=says):
        reading.read_fhir(body, {}, "")


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "../../x", "x" * 100_000], ids=["half", "NUL", "path", "long"])
def test_odd_texts_come_through_or_are_left_out(text: str, readers: Readers) -> None:
    drug = {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/p"},
        "code": {"text": text},
        "onsetDateTime": "2024-01-01",
    }
    read = readers.call(reading.read_fhir, bundle(PATIENT, drug), {}, "")
    assert [event.display for event in read.records[0].events] == [text] or read.refused


def test_a_delivery_is_about_so_many_patient_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_PATIENT_IDS", 10)
    patients = [{**PATIENT, "id": f"p{n}", "identifier": [{"value": f"N{n}"}]} for n in range(11)]
    assert len(reading.read_fhir(bundle(*patients[:10]), {}, "").records) == 10
    with pytest.raises(UnsuitableInput, match="it is about more than 10 patient IDs; send parts"):
        reading.read_fhir(bundle(*patients), {}, "")
    merge = ADT.replace("ADT^A08", "ADT^A40") + "".join(f"MRG|{n}^^^HOSP\r" for n in range(10))
    read = reading.read_hl7(merge.encode(), True, {"HOSP": ""}, "")
    assert read.refused == "it is about more than 10 patient IDs; send parts"


def test_what_is_told_counts_for_each_patient_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_EVENTS", 10)
    many = ADT.replace("4711^^^HOSP&1.2.3&ISO^MR", "~".join(f"{n}^^^HOSP^MR" for n in range(20)))
    read = reading.read_hl7(many.encode(), True, {}, "")
    assert read.incoming is None
    assert read.refused.startswith("it has more than 10 entries")
