"""Where records come together, whatever way they came: parsed, put into the store, and counted, never named."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicom_sr.errors import UnsuitableInput
from node.config import RecordSettings
from node.patient_records.store import Records
from pipelines.records.fhir import read_bundle
from pipelines.records.hl7 import Incoming, read_message
from pipelines.records.omop import read_tables
from pipelines.records.record import IdentityMismatch, Record

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """What came of one delivery, in numbers."""

    way: str
    records: int
    events: int
    refused: Mapping[str, int] = field(default_factory=dict)


def _events(records: Iterable[Record]) -> int:
    return sum(len(record.events) for record in records)


class Intake:
    """Takes records in.

    Parameters
    ----------
    settings
        Whose identifiers count.
    """

    def __init__(self, records: Records, settings: RecordSettings) -> None:
        self._records, self._settings = records, settings

    @property
    def issuers(self) -> tuple[Mapping[str, str], str]:
        """Which systems' identifiers are patient IDs, and the issuer of those that name none."""
        return self._settings.issuers, self._settings.default_issuer

    def bundle(self, bundle: Mapping[str, Any]) -> Taken:
        """A FHIR R4 bundle.

        Raises
        ------
        UnsuitableInput, IdentityMismatch
        """
        imported = read_bundle(bundle, *self.issuers)
        kept, refused = self._kept(imported.records)
        return self._told(Taken("fhir", len(kept), _events(kept), {**imported.refused, **refused}))

    def message(self, incoming: Incoming) -> Taken:
        """An HL7 v2 message; a merge or a change of patient ID moves what is known.

        Raises
        ------
        IdentityMismatch
        """
        for old, new in incoming.merged:
            self._records.rename(old, new)
        kept, refused = self._kept(incoming.records)
        return self._told(Taken("hl7", len(kept), _events(kept), refused))

    def tables(self, path: Path) -> Taken:
        """OMOP CDM tables, in a folder or a zip.

        Raises
        ------
        UnsuitableInput, IdentityMismatch
        """
        kept, refused = self._kept(read_tables(path, self._settings.default_issuer))
        return self._told(Taken("omop", len(kept), _events(kept), refused))

    def file(self, path: Path) -> Taken:
        """Any of these, told apart by what it is.

        Raises
        ------
        UnsuitableInput
            If it is none of them.
        """
        if path.is_dir() or path.suffix.lower() == ".zip":
            return self.tables(path)
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        if text.lstrip().startswith("MSH"):
            return self.message(read_message(text, *self.issuers))
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UnsuitableInput("neither FHIR JSON nor HL7 v2 nor OMOP tables") from error
        return self.bundle(content if isinstance(content, dict) else {})

    def _kept(self, records: Iterable[Record]) -> tuple[list[Record], dict[str, int]]:
        """Keep each record; one that is of somebody else than the one kept under its ID costs the others nothing.

        Raises
        ------
        IdentityMismatch
            If none could be kept.
        """
        kept: list[Record] = []
        refused: Counter[str] = Counter()
        mismatch: IdentityMismatch | None = None
        for record in records:
            try:
                self._records.add(record)
                kept.append(record)
            except IdentityMismatch as error:
                mismatch = error
                refused[f"record: {error}"] += 1
        if mismatch is not None and not kept:
            raise mismatch
        return kept, dict(refused)

    def _told(self, taken: Taken) -> Taken:
        facts = {
            "way": taken.way,
            "records": taken.records,
            "events": taken.events,
            "refused": sum(taken.refused.values()),
        }
        log.info("record received", extra=facts)
        return taken
