"""Records on their way into the store, wherever they come from: parsed, stored and counted, never named."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dicom_sr.errors import UnsuitableInput
from node.config import RecordSettings
from node.network.fhir_client import FhirRecord
from node.network.http_answer import why_not_read
from node.patient_records.after_changes import AfterChanges
from node.patient_records.patient_changes import ChangeRefused, PatientChanges
from node.patient_records.reading import ReadMessage, read_fhir, read_fhir_record, read_hl7
from node.patient_records.store import PatientRecords
from node.reading import Reader
from pipelines.records.fhir import read_bundle
from pipelines.records.hl7 import Incoming, read_message
from pipelines.records.hl7_text import decoded, is_hl7, messages
from pipelines.records.omop import read_tables
from pipelines.records.record import IdentityMismatch, Record

log = logging.getLogger(__name__)

MOST_REASONS = 10  # that an answer and a line of the log name
LONGEST_REASON = 200  # characters


@dataclass(frozen=True)
class IntakeSummary:
    """What came of one delivery, in numbers."""

    source: str  # fhir, hl7 or omop
    records: int
    events: int
    refused: Mapping[str, int] = field(default_factory=dict)  # how often by reason

    @property
    def left_out(self) -> str:
        """What was refused, the most frequent reasons first: so many of them, and so long, whatever was sent."""
        told = sorted(self.refused.items(), key=lambda entry: -entry[1])
        words = [f"{count} x {_short(reason)}" for reason, count in told[:MOST_REASONS]]
        if rest := told[MOST_REASONS:]:
            words.append(f"{sum(count for _, count in rest)} x {len(rest)} other reasons")
        return "; ".join(words)


def _short(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…"


def _of_another_kind(content: bytes) -> str | None:
    """What a file is that holds no JSON, in words; None where it begins as JSON does, in any of its encodings."""
    if not content.strip():
        return "the file is empty"
    if content.startswith(b"\x1f\x8b"):
        return "the file is packed by gzip; unpack it first (gunzip)"
    if content[128:132] == b"DICM":
        return "a DICOM file; images come in by condyle import"
    begins = content.lstrip(b"\xef\xbb\xbf\xff\xfe\0\r\n\t ")[:1]
    return None if begins in (b"{", b"[") else "the file begins neither as FHIR JSON ({) nor as HL7 v2 (MSH, FHS, BHS)"


def _json_object(content: bytes) -> dict[str, object]:
    """The JSON object that a file is; UTF-8, -16 or -32, as JSON may be."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}, column {error.colno}: " if isinstance(error, json.JSONDecodeError) else ""
        how = f": {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
        raise UnsuitableInput(f"{where}the file {why_not_read(error)}{how}") from error
    if not isinstance(found, dict):
        raise UnsuitableInput('the file holds a list; should be one FHIR bundle: {"resourceType": "Bundle", ...}')
    return found


def _events(records: Iterable[Record]) -> int:
    return sum(len(record.events) for record in records)


class Intake:
    """Takes records in.

    Parameters
    ----------
    records
        Where they go.
    settings
        Whose identifiers count.
    reader
        Reads what others sent; files of the operator are read here.
    changes
        Keeps which patients were merged or corrected; None: a merge moves the record, and that is all.
    after
        Tells the jobs that are there of it.
    """

    def __init__(
        self,
        records: PatientRecords,
        settings: RecordSettings,
        reader: Reader,
        changes: PatientChanges | None = None,
        after: AfterChanges | None = None,
    ) -> None:
        self._records, self._settings, self._reader = records, settings, reader
        self._changes, self._after = changes, after

    def reconfigure(self, settings: RecordSettings) -> None:
        """Go by these from the next message on."""
        self._settings = settings

    @property
    def _issuers(self) -> tuple[dict[str, str], str]:
        """Which systems' identifiers are patient IDs, and the issuer of those that name none."""
        return dict(self._settings.issuers), self._settings.default_issuer

    def bundle(self, body: bytes) -> IntakeSummary:
        """A FHIR R4 bundle, as it came.

        Raises
        ------
        UnsuitableInput, IdentityMismatch
        ReadingFailed
            If it ended what reads it, or broke it.
        """
        read = self._reader.call(read_fhir, body, *self._issuers)
        return self._bundle(read.records, read.refused)

    def server_record(self, record: FhirRecord) -> IntakeSummary:
        """What a FHIR server gave of a patient; raises as `bundle`."""
        parts = (record.base, record.patients, record.pages)
        read = self._reader.call(read_fhir_record, *parts, *self._issuers)
        return self._bundle(read.records, read.refused)

    def _bundle(self, records: Iterable[Record], left_out: Mapping[str, int]) -> IntakeSummary:
        stored, refused = self._stored(records)
        return self._logged(IntakeSummary("fhir", len(stored), _events(stored), {**left_out, **refused}))

    def read(self, frame: bytes, ended: bool) -> ReadMessage:
        """What an HL7 v2 message says, as it came.

        Raises
        ------
        ReadingFailed
            If it ended what reads it, or broke it.
        """
        return self._reader.call(read_hl7, frame, ended, *self._issuers)

    def message(self, incoming: Incoming, sender: str = "") -> IntakeSummary:
        """An HL7 v2 message; a merge or a change of patient ID moves what is known.

        Raises
        ------
        ChangeRefused
            If it asks for a merge that cannot be followed; nothing of it is stored.
        IdentityMismatch, UnsuitableInput
        """
        change = incoming.change
        if change.refused:
            raise ChangeRefused(change.refused)
        if self._changes is None:
            for old, new in change.merged:
                self._records.rename(old, new)
        else:
            changed = self._changes.take(change)
            if changed and self._after is not None:
                self._after.tell(changed, incoming.event, sender)
        stored, refused = self._stored(incoming.records)
        left_out = {**incoming.refused, **refused}
        return self._logged(IntakeSummary("hl7", len(stored), _events(stored), left_out))

    def tables(self, path: Path) -> IntakeSummary:
        """OMOP CDM tables, in a folder or a zip.

        Raises
        ------
        UnsuitableInput, IdentityMismatch
        """
        stored, refused = self._stored(read_tables(path, self._settings.default_issuer))
        return self._logged(IntakeSummary("omop", len(stored), _events(stored), refused))

    def file(self, path: Path) -> IntakeSummary:
        """Any of these, recognised by its content.

        Raises
        ------
        UnsuitableInput
            If it is none of them.
        """
        if path.is_dir() or path.suffix.lower() == ".zip":
            return self.tables(path)
        content = path.read_bytes()
        if is_hl7(content):
            return self._messages(decoded(content))
        if (what := _of_another_kind(content)) is not None:
            raise UnsuitableInput(f"{what}; should be FHIR JSON, HL7 v2, or OMOP tables (a folder or zip)")
        imported = read_bundle(_json_object(content), *self._issuers)
        return self._bundle(imported.records, imported.refused)

    def _messages(self, text: str) -> IntakeSummary:
        """One message, or a file of several, of which one that cannot be used costs the others nothing.

        Raises
        ------
        UnsuitableInput, IdentityMismatch
            If none could be used.
        """
        records = events = 0
        refused: Counter[str] = Counter()
        failures: list[UnsuitableInput | IdentityMismatch] = []
        found = list(messages(text))
        for message in found:
            try:
                summary = self.message(read_message(message, *self._issuers))
            except (UnsuitableInput, IdentityMismatch) as error:
                failures.append(error)
                refused[f"message: {error}"] += 1
                continue
            records, events = records + summary.records, events + summary.events
            refused.update(summary.refused)
        if failures and len(failures) == len(found):
            reasons = dict.fromkeys(str(failure) for failure in failures)
            raise failures[0] if len(reasons) == 1 else UnsuitableInput("; ".join(reasons))
        return IntakeSummary("hl7", records, events, dict(refused))

    def _stored(self, records: Iterable[Record]) -> tuple[list[Record], dict[str, int]]:
        """Store each record; one that cannot be, as it is of somebody else, costs the others nothing.

        Raises
        ------
        IdentityMismatch, UnsuitableInput
            If none could be stored.
        """
        changes = self._changes
        told = [
            record if changes is None else replace(record, identity=changes.of_current(record.identity))
            for record in records
        ]
        refusals = self._records.add_all(told)
        stored = [record for record, refusal in zip(told, refusals, strict=True) if refusal is None]
        refused = [refusal for refusal in refusals if refusal is not None]
        if refused and not stored:
            raise refused[-1]
        return stored, dict(Counter(f"record: {refusal}" for refusal in refused))

    def _logged(self, summary: IntakeSummary) -> IntakeSummary:
        facts = {
            "source": summary.source,
            "records": summary.records,
            "events": summary.events,
            "refused": sum(summary.refused.values()),
            "reasons": summary.left_out,
        }
        log.info("record received", extra=facts)
        return summary
