"""What senders of records sent, read: functions for a reader process, and what they answer."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dicom_sr.errors import UnsuitableInput
from node.network.fhir_client import record_bundle
from node.network.http_answer import UnsuitableAnswer, read_json
from pipelines.records.fhir import read_bundle
from pipelines.records.hl7 import Incoming, read_message
from pipelines.records.hl7_text import decoded
from pipelines.records.record import Record

HEADER = 2000  # characters of a message's first segment that an acknowledgement needs
MOST_EVENTS = 200_000  # of one message or bundle, under each of the patient IDs
MOST_PATIENT_IDS = 10_000  # of one message or bundle: each is a file


class NotJson(UnsuitableInput):
    """A body that is no JSON object, or one that nobody means to send."""


@dataclass(frozen=True)
class ReadMessage:
    """What an HL7 v2 message says, or why nothing was made of it."""

    header: str  # its first segment, for the acknowledgement
    incoming: Incoming | None
    refused: str = ""


@dataclass(frozen=True)
class ReadBundle:
    """What a FHIR bundle says."""

    records: tuple[Record, ...]
    refused: dict[str, int]  # how often by reason


def read_hl7(frame: bytes, ended: bool, issuers: dict[str, str], default_issuer: str) -> ReadMessage:
    """Read an HL7 v2 message as it came; without its end it may lack its last segments, and is not used."""
    header = header_of(frame)
    try:
        text = decoded(frame)
        header = text[:HEADER]
        if not ended:
            raise UnsuitableInput("the end of the message did not come (FS and CR); nothing of it is stored")
        incoming = read_message(text, issuers, default_issuer)
        _require_few(incoming.records, len(incoming.change.merged))
    except UnsuitableInput as error:
        return ReadMessage(header, None, str(error))
    return ReadMessage(header, incoming)


def header_of(frame: bytes) -> str:
    """Where a message begins, as far as that can be told without reading it."""
    return frame[:HEADER].decode("latin-1")


def read_fhir(body: bytes, issuers: dict[str, str], default_issuer: str) -> ReadBundle:
    """Read a FHIR R4 bundle, as JSON.

    Raises
    ------
    NotJson
        If it is no JSON object, or has more values or is nested deeper than any bundle.
    UnsuitableInput
        If it is no bundle, or has no patient with an identifier that counts.
    """
    with _no_search_for_cycles():
        read = read_bundle(json_object(body), issuers, default_issuer)
    _require_few(read.records)
    return ReadBundle(tuple(read.records), dict(read.refused))


def read_fhir_record(
    base: str, patients: tuple[bytes, ...], pages: tuple[bytes, ...], issuers: dict[str, str], default_issuer: str
) -> ReadBundle:
    """Read what a FHIR server gave of a patient (`node.network.fhir_client.FhirRecord`); raises as `read_fhir`."""
    with _no_search_for_cycles():
        try:
            bundle = record_bundle(base, patients, pages)
        except UnsuitableAnswer as error:
            raise NotJson(str(error).removeprefix("is ")) from None
        read = read_bundle(bundle, issuers, default_issuer)
    _require_few(read.records)
    return ReadBundle(tuple(read.records), dict(read.refused))


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Resources refer to nothing that refers to them, and Python's search for such takes a sixth of the time."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()


def json_object(body: bytes) -> dict[str, object]:
    """The JSON object that a body is.

    Raises
    ------
    NotJson
        If it is none.
    """
    try:
        content = read_json(body)
    except UnsuitableAnswer as error:
        raise NotJson(str(error).removeprefix("is ")) from None
    if not isinstance(content, dict):
        raise NotJson("not a JSON object")
    return content


def _require_few(records: Sequence[Record], merged: int = 0) -> None:
    if len(records) + merged > MOST_PATIENT_IDS:
        raise UnsuitableInput(f"it is about more than {MOST_PATIENT_IDS:,} patient IDs; send parts")
    if sum(1 + len(record.events) + len(record.retracted) for record in records) > MOST_EVENTS:
        raise UnsuitableInput(f"it has more than {MOST_EVENTS:,} entries, counted for each patient ID; send parts")
