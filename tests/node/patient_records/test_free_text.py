"""What a sender of records may write anywhere never becomes a crash, a path, another message or a log line.

Every field of every HL7 segment and every FHIR element that is read, through the real server, intake and store. The
lists come from the code, so that they stay whole.
"""

from __future__ import annotations

import ast
import copy
import inspect
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dicom_sr.errors import UnsuitableInput
from node.config import RecordSettings
from node.patient_records.intake import Intake
from node.patient_records.mllp import MllpServer
from node.patient_records.store import PatientRecords
from node.reading import HERE
from pipelines.records import fhir, hl7, hl7_patients
from pipelines.records.record import IdentityMismatch
from tests.properties import SECRET, STABLE, hostile

FIELDS = 45  # the last field that is read is DG1-21
ECHOED = {3, 4, 5, 6, 9, 10, 12}  # of MSH, which an acknowledgement repeats

free_text = st.one_of(
    hostile,
    st.text(max_size=40).map(lambda text: text + SECRET),
    st.text(alphabet='|^~\\&\r\n\x0b\x1c"0129.-+TZ', max_size=30),
    st.sampled_from(
        ["9" * 400, "1e400", "nan", "-inf", "99991231", "00010101", "20241331", "2024-02-30", '""', "\ud800"]
    ),
)


def read_segments() -> list[str]:
    """The names of the segments that `hl7` and `hl7_patients` ask for."""
    compared = [
        constant.value
        for module in (hl7, hl7_patients)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith(".name")
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant)
    ]
    return sorted({"MSH", *hl7.CODED, *(name for name in compared if isinstance(name, str))})


SEGMENTS = read_segments()


def test_the_segments_are_those_that_are_read() -> None:
    patient, order = {"MSH", "EVN", "PID", "MRG", "PV1", "PV2"}, {"ORC", "OBR", "OBX", "RXE", "RXO"}
    assert patient | order | {"DG1", "PR1", "PRB"} == set(SEGMENTS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MllpServer]:
    """Answers; it is asked without a connection."""
    store = PatientRecords(tmp_path_factory.mktemp("free-text") / "records")
    server = MllpServer("127.0.0.1", 0, Intake(store, RecordSettings(), HERE))
    yield server
    server.server_close()


def folder_of(server: MllpServer) -> Path:
    return server._intake._records._folder


def check_nothing_became_of(server: MllpServer, caplog: pytest.LogCaptureFixture) -> None:
    """No text of the sender is in the log or a file name, and every record can be read again."""
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert SECRET not in logged
    names = {path.name for path in folder_of(server).parent.rglob("*") if path.is_file()}
    assert all(re.fullmatch(r"[0-9a-f]{64}\.record|names\.key|lock", name) for name in names)
    for path in folder_of(server).glob("*.record"):
        json.loads(path.read_bytes())
        path.unlink()  # the next message may be of anybody
    caplog.clear()


def line_of(name: str, changes: dict[tuple[int, int], str]) -> str:
    usual = {
        "MSH": {2: "^~\\&", 9: "ADT^A08", 10: "1", 12: "2.5"},
        "PID": {3: "4711^^^H^MR", 5: "Doe^Jane", 7: "19600504", 8: "F"},
        "MRG": {1: "4712^^^H^MR"},
        "DG1": {3: "M17.1^x^I10", 5: "20230101"},
        "OBX": {2: "NM", 3: "39156-5^BMI^LN", 5: "27"},
    }.get(name, {3: "X^x^L"})
    fields = [usual.get(number, "") for number in range(FIELDS + 1)]
    for (number, component), text in changes.items():
        parts = fields[number].split("^") + [""] * component
        parts[component] = text
        fields[number] = "^".join(parts)
    return name + "|" + "|".join(fields[2:] if name == "MSH" else fields[1:])


@st.composite
def hl7_messages(draw: st.DrawFn) -> tuple[str, bool]:
    """A message with free text in a few of its fields, and whether an acknowledgement repeats some of it."""
    names = ["MSH", "PID", *draw(st.lists(st.sampled_from([n for n in SEGMENTS if n != "MSH"]), max_size=5))]
    changes: list[dict[tuple[int, int], str]] = [{} for _ in names]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(names) - 1))
        place = (draw(st.integers(2 if names[at] == "MSH" else 1, FIELDS)), draw(st.integers(0, 6)))
        changes[at][place] = draw(free_text)
    text = "\r".join(line_of(name, changed) for name, changed in zip(names, changes, strict=True)) + "\r"
    echoed = any(number in ECHOED or "|" in told for (number, _), told in changes[0].items())
    return text, echoed or (2, 0) in changes[0]


@STABLE
@given(message=hl7_messages(), encoding=st.sampled_from(["utf-8", "utf-16", "latin-1", "gb18030"]))
@example(message=(line_of("MSH", {(3, 0): "A\\X0D\\B"}) + "\r" + line_of("PID", {}) + "\r", True), encoding="utf-8")
def test_no_hl7_field_becomes_a_crash_a_path_a_segment_or_a_log_line(
    server: MllpServer, caplog: pytest.LogCaptureFixture, message: tuple[str, bool], encoding: str
) -> None:
    text, echoed = message
    caplog.set_level(logging.DEBUG)
    answer = server.answer(text.encode(encoding, errors="replace"))
    assert re.fullmatch(r"MSH\|[^\r]*\rMSA\|A[AER](\|[^\r]*)*\r", answer)
    assert answer.isprintable() or set(filter(lambda c: not c.isprintable(), answer)) == {"\r"}
    assert echoed or SECRET not in answer
    check_nothing_became_of(server, caplog)


@STABLE
@given(raw=st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda raw: b"MSH|^~\\&|" + raw)))
def test_no_bytes_at_all_become_a_crash(server: MllpServer, caplog: pytest.LogCaptureFixture, raw: bytes) -> None:
    assert re.search(r"\rMSA\|A[AER]", server.answer(raw))
    check_nothing_became_of(server, caplog)


# ---- FHIR
def _coded(code: str = "38341003") -> dict[str, Any]:
    return {"coding": [{"system": "http://snomed.info/sct", "code": code, "display": "x"}], "text": "x"}


_QUANTITY = {"value": 53, "unit": "a", "code": "a", "system": "http://unitsofmeasure.org"}
_PERIOD = {"start": "2019-01-01", "end": "2020-01-01"}
_DAY = "2019-01-02"
_CERTAINTY = {"url": "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"}
SUBJECT = {"reference": "Patient/p", "identifier": {"system": "urn:h", "value": "4711"}}
DRUG = {"medicationCodeableConcept": _coded(), "status": "active", "subject": SUBJECT}


def _resource(kind: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": kind, **elements}


RESOURCES: list[dict[str, Any]] = [
    _resource(
        "Patient",
        id="p",
        identifier=[{"system": "urn:h", "value": "4711", "type": {"coding": [{"code": "MR"}]}}],
        name=[{"use": "official", "family": "Doe", "given": ["Jane"], "period": {"end": "2090"}}],
        gender="female",
        birthDate="1960-05-04",
        deceasedBoolean=False,
    ),
    _resource("Patient", id="q", identifier=[{"value": "2"}], deceasedDateTime="2024"),
    _resource(
        "Condition",
        id="c",
        subject=SUBJECT,
        code={
            "coding": [
                {"system": "x", "code": "M17.1", "extension": [{**_CERTAINTY, "valueCoding": {"code": "G"}}]},
                {"system": "x", "code": "M17.1", "extension": [{**_CERTAINTY, "valueCode": "G"}]},
            ]
        },
        verificationStatus=_coded("confirmed"),
        onsetDateTime=_DAY,
        abatementDateTime=_DAY,
        recordedDate=_DAY,
        contained=[_resource("Patient", id="in", identifier=[{"system": "urn:h", "value": "4711"}])],
    ),
    _resource("Condition", subject=SUBJECT, code=_coded(), onsetPeriod=_PERIOD, abatementPeriod=_PERIOD),
    _resource("Condition", subject=SUBJECT, code=_coded(), onsetAge=_QUANTITY, abatementAge=_QUANTITY),
    _resource("Condition", subject=SUBJECT, code=_coded(), onsetRange={"low": _QUANTITY}),
    _resource("Condition", subject={"reference": "#in"}, code=_coded(), onsetString="since 2012"),
    _resource("Medication", id="m", code=_coded(), identifier=[{"system": "urn:m", "value": "1"}]),
    _resource(
        "MedicationRequest",
        **{key: told for key, told in DRUG.items() if key != "medicationCodeableConcept"},
        medicationReference={"reference": "Medication/m"},
        intent="order",
        doNotPerform=False,
        authoredOn=_DAY,
        dispenseRequest={"expectedSupplyDuration": _QUANTITY, "validityPeriod": _PERIOD},
    ),
    _resource("MedicationStatement", **DRUG, effectivePeriod=_PERIOD),
    _resource("MedicationStatement", **DRUG, effectiveDateTime=_DAY),
    _resource("MedicationDispense", **{**DRUG, "status": "completed"}, whenHandedOver=_DAY, daysSupply=_QUANTITY),
    _resource("MedicationDispense", **{**DRUG, "status": "completed"}, whenPrepared=_DAY),
    _resource("MedicationAdministration", **{**DRUG, "status": "completed"}, effectiveDateTime=_DAY),
    _resource(
        "Observation",
        status="final",
        subject=SUBJECT,
        code=_coded(),
        effectiveDateTime=_DAY,
        valueQuantity=_QUANTITY,
        component=[{"code": _coded(), "valueInteger": 3}, {"code": _coded(), "valueBoolean": True}],
    ),
    _resource("Observation", status="final", subject=SUBJECT, code=_coded(), effectivePeriod=_PERIOD),
    _resource("Observation", status="final", subject=SUBJECT, code=_coded(), effectiveInstant="2019-01-02T00:00:00Z"),
    _resource("Observation", status="final", subject=SUBJECT, code=_coded(), issued="2019-01-02T00:00:00Z"),
    _resource("Procedure", status="completed", subject=SUBJECT, code=_coded(), performedDateTime=_DAY),
    _resource("Procedure", status="completed", subject=SUBJECT, code=_coded(), performedPeriod=_PERIOD),
    _resource("Procedure", status="completed", subject=SUBJECT, code=_coded(), performedAge=_QUANTITY),
    _resource("Procedure", status="completed", subject=SUBJECT, code=_coded(), performedString="in 2012"),
    _resource(
        "ServiceRequest", status="active", intent="order", subject=SUBJECT, code=_coded(), occurrenceDateTime=_DAY
    ),
    _resource("ServiceRequest", status="active", intent="order", subject=SUBJECT, occurrencePeriod=_PERIOD),
    _resource(
        "Encounter", status="finished", subject=SUBJECT, **{"class": {"code": "AMB"}}, period=_PERIOD, type=[_coded()]
    ),
    _resource(
        "FamilyMemberHistory",
        status="completed",
        patient=SUBJECT,
        date=_DAY,
        relationship=_coded("MTH"),
        condition=[{"code": _coded("239873007")}],
    ),
]


def bundle_of(resources: list[dict[str, Any]]) -> dict[str, Any]:
    entries = [{"fullUrl": f"http://h/{r['resourceType']}/{n}", "resource": r} for n, r in enumerate(resources)]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every element, those that hold others too."""
    if path:
        yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from leaves(part, (*path, key))


BUNDLE = bundle_of(RESOURCES)
PLACES = list(leaves(BUNDLE))


def test_the_bundle_has_every_element_that_is_read() -> None:
    assert {resource["resourceType"] for resource in RESOURCES} == set(fhir.READ)
    tree = ast.parse(inspect.getsource(fhir))
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    from fhir.resources import R4B

    known = {
        name
        for kind in fhir.READ
        for name in getattr(__import__(f"{R4B.__name__}.{kind.lower()}", fromlist=[kind]), kind).model_fields
    }
    assert read & known - {"text", "id", "display"} <= {key for path in PLACES for key in path}


def test_the_bundle_is_taken_whole(server: MllpServer, caplog: pytest.LogCaptureFixture) -> None:
    summary = server._intake.bundle(json.dumps(BUNDLE).encode())
    assert summary.records == 2
    assert sum(summary.refused.values()) <= 3, summary.refused
    check_nothing_became_of(server, caplog)


json_values = st.recursive(
    st.one_of(free_text, st.none(), st.booleans(), st.integers(), st.floats(), st.just(10**400)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(free_text, inner, max_size=3)),
    max_leaves=5,
)


@STABLE
@given(places=st.lists(st.tuples(st.sampled_from(PLACES), json_values), min_size=1, max_size=4))
def test_no_fhir_element_becomes_a_crash_a_path_or_a_log_line(
    server: MllpServer, caplog: pytest.LogCaptureFixture, places: list[tuple[tuple[Any, ...], Any]]
) -> None:
    caplog.set_level(logging.DEBUG)
    bundle = copy.deepcopy(BUNDLE)
    for path, value in places:
        at: Any = bundle
        try:
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an element above it has been replaced
    try:
        told = str(server._intake.bundle(json.dumps(bundle).encode()).refused)
    except (UnsuitableInput, IdentityMismatch) as error:
        told = str(error)
    assert SECRET not in told
    check_nothing_became_of(server, caplog)


@STABLE
@given(place=st.sampled_from([path for path in PLACES if not isinstance(path[-1], int)]), name=hostile)
def test_no_element_that_fhir_does_not_have_is_repeated(
    server: MllpServer, caplog: pytest.LogCaptureFixture, place: tuple[Any, ...], name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    bundle = copy.deepcopy(BUNDLE)
    at: Any = bundle
    for key in place[:-1]:
        at = at[key]
    at[name] = name
    try:
        told = str(server._intake.bundle(json.dumps(bundle).encode()).refused)
    except (UnsuitableInput, IdentityMismatch) as error:
        told = str(error)
    assert SECRET not in told
    check_nothing_became_of(server, caplog)
