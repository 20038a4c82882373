"""Lists of studies for `condyle run-study`: a CSV file that is read, and a report of what became of each line."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from node.files import PRIVATE_FILE

ACCESSION_NUMBER, STUDY = "accession_number", "study_instance_uid"
NAMES = {"accession": ACCESSION_NUMBER, "accessionnumber": ACCESSION_NUMBER, "study": STUDY, "studyinstanceuid": STUDY}
COLUMNS = (ACCESSION_NUMBER, STUDY, "outcome", "jobs", "reason", "at")
LARGEST = 64 * 2**20  # bytes
RUN, NOT_RUN = "run", "not run"


class NoList(Exception):
    """The file is no such list; the message says what is wrong with it."""


@dataclass(frozen=True)
class Wanted:
    """A study, by one of the two."""

    accession_number: str = ""
    study: str = ""  # Study Instance UID

    def __str__(self) -> str:
        return f"study {self.study}" if self.study else f"accession number {self.accession_number}"


def read_list(path: Path) -> list[Wanted]:
    """The studies that a CSV file lists, each once, in its order.

    A first line that names a column `accession_number` or `study_instance_uid` says where they are; without one, the
    first column holds accession numbers. Columns are divided by commas, semicolons or tabs.

    Raises
    ------
    NoList
        If it cannot be read, or lists nothing.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise NoList(f"{path}: is larger than {LARGEST // 2**20} MB")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NoList(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise NoList(f"{path}: is not text in UTF-8") from error
    head = text.partition("\n")[0]
    divider = max(",;\t", key=head.count)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=divider)]
    except csv.Error as error:
        raise NoList(f"{path}: is no CSV file: {error}") from error
    rows = [row for row in rows if any(row)]
    named = {NAMES[name]: at for at, cell in enumerate(rows[0] if rows else ()) if (name := _plain(cell)) in NAMES}
    columns, rows = (named, rows[1:]) if named else ({ACCESSION_NUMBER: 0}, rows)
    found = dict.fromkeys(one for row in rows if (one := _wanted(row, columns)) is not None)
    if not found:
        raise NoList(f"{path}: lists no study; should have a column {ACCESSION_NUMBER} or {STUDY}")
    return list(found)


def _plain(cell: str) -> str:
    return re.sub(r"[\s_-]", "", cell).casefold()


def _wanted(row: Sequence[str], columns: dict[str, int]) -> Wanted | None:
    cells = {name: row[at] for name, at in columns.items() if at < len(row)}
    if study := cells.get(STUDY, ""):
        return Wanted(study=study)
    number = cells.get(ACCESSION_NUMBER, "")
    return Wanted(number) if number else None


class Report:
    """A CSV file with a line for each study that was dealt with; what it says was run is not asked for again.

    Parameters
    ----------
    path
        The file; None: there is none.

    Raises
    ------
    NoList
        If there is a file that is no such report, or it cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.run = frozenset[Wanted]()
        if path is None:
            return
        if path.exists():
            self.run = self._read(path)
        try:
            self._write(() if path.exists() else COLUMNS)
        except OSError as error:
            raise NoList(f"{path}: cannot be written: {error.strerror}") from error

    @staticmethod
    def _read(path: Path) -> frozenset[Wanted]:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = csv.DictReader(file)
                if tuple(rows.fieldnames or ()) != COLUMNS:
                    raise NoList(f"{path}: is another file; should be a new one, or an earlier report")
                return frozenset(
                    one for row in rows if row["outcome"] == RUN for one in _both(row[ACCESSION_NUMBER], row[STUDY])
                )
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise NoList(f"{path}: cannot be read") from error

    def add(self, wanted: Wanted, study: str, jobs: Sequence[str], reason: str) -> None:
        """Write down what became of one, at once."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        outcome = RUN if jobs else NOT_RUN
        self._write((wanted.accession_number, wanted.study or study, outcome, " ".join(jobs), reason, at))

    def _write(self, line: Sequence[str]) -> None:
        if self._path is not None:
            with open(self._path, "a", encoding="utf-8", newline="", opener=_private) as file:
                csv.writer(file).writerows([line] if line else [])


def _both(number: str, study: str) -> tuple[Wanted, ...]:
    return (Wanted(number), Wanted(study=study)) if number else (Wanted(study=study),)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE)
