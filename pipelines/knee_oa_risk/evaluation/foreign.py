"""What the pipeline says of records that it was not made for: files of others, each asked about when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Result
from dicom_sr.series import Study
from pipelines.knee_oa_risk import KneeOaRisk, KneeOaRiskSettings
from pipelines.knee_oa_risk.training.register import read_folders
from pipelines.knee_oa_risk.vocabulary import Coverage, translate
from pipelines.knee_oa_risk.window import GAP
from pipelines.records.hl7 import read_message
from pipelines.records.hl7_text import decoded
from pipelines.records.record import IdentityMismatch, Record

AFTER_THE_END = timedelta(weeks=GAP + 1)  # so that the wash-out takes nothing away


@dataclass(frozen=True)
class RecordAnswer:
    """What came of one record; it is named by its place in the folder, never by who it is about."""

    source: str
    number: int
    entries: int
    coverage: Coverage
    asked: str  # for which day
    kind: str  # risk, no risk, or refused
    text: str


def answers(paths: Iterable[Path]) -> list[RecordAnswer]:
    """The answers to all records in folders, zips of OMOP tables among them.

    Raises
    ------
    UnsuitableInput
        If a folder holds no records.
    """
    pipeline = KneeOaRisk(KneeOaRiskSettings())
    pipeline.load()
    found = []
    for path in paths:
        for number, record in enumerate(_records(path), 1):
            coverage = translate(record.events)[1]
            for asked, day in _days(record):
                kind, text = _answer(pipeline, record, day)
                found.append(RecordAnswer(path.stem, number, len(record.events), coverage, asked, kind, text))
    return found


def _records(path: Path) -> Iterator[Record]:
    messages = sorted(path.glob("*.hl7"))
    if not messages:
        yield from read_folders([path])
        return
    known: dict[tuple[str, str], Record] = {}  # as the node would keep them, one message after another
    for file in messages:
        for record in read_message(decoded(file.read_bytes()), {}).records:
            key = (record.identity.patient_id, record.identity.issuer)
            try:
                known[key] = known[key].merged(record) if key in known else record
            except IdentityMismatch:
                known[(f"{key[0]} of {file.name}", key[1])] = record
    yield from known.values()


def _days(record: Record) -> Iterator[tuple[str, date]]:
    """The days that a record is asked about: after its end and, where the disease is in it, before that."""
    mapped, _ = translate(record.events)
    last = max((event.start for event in record.events), default=date.today())
    yield "after its last entry", last + AFTER_THE_END
    diagnoses = [found.event.start for found in mapped if found.concept.role == "outcome"]
    if diagnoses:
        yield "the day before the diagnosis", min(diagnoses) - timedelta(days=1)


def _answer(pipeline: KneeOaRisk, record: Record, day: date) -> tuple[str, str]:
    try:
        result: Result = pipeline.run(Study("", ()), record.context(day))
    except UnsuitableInput as error:
        return "refused", str(error)
    if result.not_evaluable:
        return "no risk", result.not_evaluable[0].sentence
    risk = next(m for f in result.findings for m in f.measurements if m.name.value == "OA-RISK-5Y")
    assert risk.interval is not None
    low, high = risk.interval
    return "risk", f"5 years: {risk.value:.1f} % ({low:.1f} to {high:.1f} %)"


def summary(found: Iterable[RecordAnswer]) -> list[list[str]]:
    """Per source: records, unknown codes of their diagnoses and drugs, and how many got which answer at their end."""
    rows = []
    at_the_end = [answer for answer in found if answer.asked == "after its last entry"]
    for source in dict.fromkeys(answer.source for answer in at_the_end):
        mine = [answer for answer in at_the_end if answer.source == source]
        unknown = sum(answer.coverage.unknown for answer in mine)
        coded = sum(answer.coverage.diagnoses_and_drugs for answer in mine)
        kinds = Counter(answer.kind for answer in mine)
        share = f"{unknown} of {coded} ({unknown / coded:.0%})" if coded else "0 of 0"
        rows.append([source, str(len(mine)), share, *(str(kinds[kind]) for kind in ("risk", "no risk", "refused"))])
    return rows


def details(found: Iterable[RecordAnswer]) -> list[list[str]]:
    """One row per record and day."""
    return [
        [
            f"{answer.source} {answer.number}",
            str(answer.entries),
            f"{answer.coverage.unknown} of {answer.coverage.diagnoses_and_drugs}",
            answer.asked,
            f"**{answer.text}**" if answer.kind == "risk" else answer.text,
        ]
        for answer in found
    ]
