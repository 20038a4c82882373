"""The model's vocabulary, and the versioned tables that bring other code systems into it.

The tables hold only the codes that the conditions, drugs and observations of this model need, written for this project;
they are no copy of a terminology. A pattern is an exact code, a prefix (`250*`) or a range of three-character
categories (`401-405`); the most specific one wins.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pipelines.context import CodedEvent
from pipelines.records.code_systems import family

TABLES = Path(__file__).parent / "tables"

OWN_SYSTEM = "urn:condyle:knee-oa-risk"  # what no code system names: Kellgren-Lawrence grade and the like

KNEE = re.compile(r"\b(knees?|gonarthro\w*|tibiofemoral|patellofemoral|tkr|tka)\b", re.IGNORECASE)
NAMED_OUTCOMES = (
    (re.compile(r"osteoarthr|gonarthro|arthrosis", re.IGNORECASE), "KNEE_OA"),
    (re.compile(r"replacement|arthroplasty|prosthe|\btk[ar]\b", re.IGNORECASE), "KNEE_REPLACEMENT"),
)

Role = Literal["input", "leak", "outcome", "static", "known"]


@dataclass(frozen=True)
class Concept:
    """One row of the model's vocabulary."""

    code: str
    kind: str  # condition, medication, procedure or observation
    role: Role
    group: str  # a word that a clinician would use, for what drove a risk
    name: str


@dataclass(frozen=True)
class MappedEvent:
    """An event of the record in the model's vocabulary."""

    concept: Concept
    event: CodedEvent


@dataclass(frozen=True)
class Coverage:
    """How much of a record the tables knew."""

    diagnoses_and_drugs: int
    unknown: int
    by_name: int  # drugs known by their ingredient's name only
    systems: tuple[tuple[str, int], ...]  # unknown codes per code system

    @property
    def unknown_share(self) -> float:
        """Share of diagnoses and medications that no table knows, 0..1; 0 for an empty record."""
        return self.unknown / self.diagnoses_and_drugs if self.diagnoses_and_drugs else 0.0


@cache
def version() -> str:
    """Version of all tables together."""
    text = (TABLES / "version.json").read_text(encoding="utf-8")
    return str(json.loads(text)["version"])


@cache
def concepts() -> dict[str, Concept]:
    """The vocabulary, by code, in the order of the file: that order is the order of the matrix rows."""
    return {
        row["code"]: Concept(row["code"], row["kind"], row["role"], row["group"], row["name"])  # type: ignore[arg-type]
        for row in table_rows("vocabulary")
    }


@cache
def matrix_codes(with_leaks: bool = False) -> tuple[str, ...]:
    """The codes of the matrix rows; those that give the diagnosis away are left out unless asked for."""
    roles = ("input", "leak") if with_leaks else ("input",)
    return tuple(code for code, concept in concepts().items() if concept.role in roles)


def concept_of(event: CodedEvent) -> tuple[Concept, bool] | None:
    """The concept of an event, and whether only its name told it; None if no table knows it.

    A drug may be known by its ingredient, and the disease itself by its name: where that is on record under a code that
    no table has, a risk of getting it would be wrong.
    """
    table = "condyle" if event.system == OWN_SYSTEM else family(event.system, event.code)
    code = _lookup(table, event.code.strip().upper()) if table else None
    if code is not None:
        return concepts()[code], False
    if event.kind == "medication":
        named = _ingredient(event.display)
        if named is not None:
            return concepts()[named], True
    if event.kind in ("condition", "procedure") and KNEE.search(event.display):
        for words, outcome in NAMED_OUTCOMES:
            if words.search(event.display):
                return concepts()[outcome], True
    return None


def translate(events: Iterable[CodedEvent]) -> tuple[tuple[MappedEvent, ...], Coverage]:
    """The events that the tables know, and how many diagnoses and drugs they do not."""
    mapped: list[MappedEvent] = []
    unknown: Counter[str] = Counter()
    counted = by_name = 0
    for event in events:
        found = concept_of(event)
        if event.kind in ("condition", "medication"):
            counted += 1
            if found is None:
                unknown[event.system or "no code system"] += 1
        if found is not None:
            mapped.append(MappedEvent(found[0], event))
            by_name += found[1]
    return tuple(mapped), Coverage(counted, sum(unknown.values()), by_name, tuple(sorted(unknown.items())))


def table_rows(table: str) -> list[dict[str, str]]:
    """The rows of one of the shipped tables."""
    with (TABLES / f"{table}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@dataclass(frozen=True)
class _Table:
    exact: dict[str, str]
    prefixes: dict[str, str]
    ranges: tuple[tuple[str, str, str], ...]  # first category, last category, code; narrow ones first


@cache
def _table(name: str) -> _Table:
    exact: dict[str, str] = {}
    prefixes: dict[str, str] = {}
    ranges: list[tuple[str, str, str]] = []
    for row in table_rows(name):
        pattern, code = row["pattern"], row["code"]
        if pattern.endswith("*"):
            prefixes[pattern[:-1]] = code
        elif name in ("icd9cm", "icd10") and "-" in pattern:
            first, last = pattern.split("-")
            ranges.append((first, last, code))
        else:
            exact[pattern] = code
    order = {entry: number for number, entry in enumerate(ranges)}
    ranges.sort(key=lambda entry: (_width(entry[0], entry[1]), order[entry]))
    return _Table(exact, prefixes, tuple(ranges))


def _width(first: str, last: str) -> int:
    """Number of categories from `first` to `last`, counting letters as hundreds."""

    def place(category: str) -> int:
        head = ord(category[0]) * 100 if category[0].isalpha() else 0
        return head + int(re.sub(r"\D", "", category) or 0)

    return place(last) - place(first)


@cache
def _lookup(table_name: str, code: str) -> str | None:
    table = _table(table_name)
    if table_name in ("icd9cm", "icd10"):
        code = _with_point(table_name, code)
    if code in table.exact:
        return table.exact[code]
    for length in range(len(code), 0, -1):
        if code[:length] in table.prefixes:
            return table.prefixes[code[:length]]
    category = code.split(".")[0]
    for first, last, target in table.ranges:
        if len(category) == len(first) and first <= category <= last:
            return target
    return None


def _with_point(table_name: str, code: str) -> str:
    """ICD codes travel with and without their point; the tables have it, and none of the marks (M17.1+, M17.1-)."""
    code = code.rstrip("+*!†#-. ")
    if "." in code:
        return code
    place = 4 if table_name == "icd9cm" and code.startswith("E") else 3
    return f"{code[:place]}.{code[place:]}" if len(code) > place else code


def _ingredient(display: str) -> str | None:
    words = set(re.findall(r"[a-z]+", display.lower()))
    for word, code in _ingredients():
        if word in words:
            return code
    return None


@cache
def _ingredients() -> tuple[tuple[str, str], ...]:
    return tuple((row["word"], row["code"]) for row in table_rows("ingredients"))
