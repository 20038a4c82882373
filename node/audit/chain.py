"""The audit trail as files whose every line holds the digest of the line before it.

A line is a JSON object with its number, the moment, the DICOM audit message, the row of the database that it came from,
the digest of the line before, and its own, which is over all of that. Who changes, removes or inserts a line breaks the
chain, unless all lines after it are written anew: against that, the number and digest of the last line stand in the
database too, the lines go to a syslog server where one is configured, and a digest can be noted elsewhere by hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from node.files import PRIVATE_FILE, flush, make_folder

FOLDER = "audit"  # in the data folder
LARGEST_BYTES = 32 * 2**20  # of a file, then another is begun
PROBLEMS_TOLD = 20


@dataclass(frozen=True)
class Link:
    """One line of the files."""

    number: int
    at: datetime
    message: str
    row: int
    previous: str
    digest: str

    @classmethod
    def after(cls, previous: Link | None, at: datetime, message: str, row: int) -> Link:
        """The next line."""
        number, before = (previous.number + 1, previous.digest) if previous else (1, "")
        return cls(number, at, message, row, before, _digest(number, at.astimezone(UTC), message, row, before))

    def text(self) -> str:
        """As it stands in a file."""
        content = {"number": self.number, "at": _moment(self.at), "row": self.row, "message": self.message}
        return json.dumps({**content, "previous": self.previous, "digest": self.digest}, ensure_ascii=False)

    @classmethod
    def read(cls, text: str) -> Link:
        """The line of a file.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            found = json.loads(text)
            return cls(
                int(found["number"]),
                datetime.fromisoformat(found["at"]),
                str(found["message"]),
                int(found["row"]),
                str(found["previous"]),
                str(found["digest"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("is no line of an audit trail") from error

    @property
    def is_whole(self) -> bool:
        """Whether its digest is of what it holds."""
        return self.digest == _digest(self.number, self.at.astimezone(UTC), self.message, self.row, self.previous)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _digest(number: int, at: datetime, message: str, row: int, previous: str) -> str:
    content: list[Any] = [number, _moment(at), row, message, previous]
    return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode("ascii")).hexdigest()


class Chain:
    """The files of one node; for one thread at a time.

    Parameters
    ----------
    data
        The data folder.
    """

    def __init__(self, data: Path) -> None:
        self._folder = data.absolute() / FOLDER
        self._place: _Place | None = None  # behind the line that `after` gave last

    def files(self) -> list[Path]:
        """The files, the oldest first."""
        return sorted(self._folder.glob("audit-*.jsonl"))

    def last(self) -> Link | None:
        """The last line that can be read; None where there is none. A write that was cut off at the end is removed."""
        for path in reversed(self.files()):
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                with path.open("r+b") as file:
                    file.truncate(len(whole))
            for line in reversed(whole.splitlines(keepends=True)):
                if (link := _read(line)) is not None:
                    return link
        return None

    def line(self, number: int, digest: str) -> Link | None:
        """The line with a number and a digest; None where there is none. Somebody may have put another beside it."""
        wanted = (number, digest)
        return next((link for link in self.after(number - 1) if (link.number, link.digest) == wanted), None)

    def append(self, links: Sequence[Link]) -> None:
        """Write further lines, and see them on the disk."""
        make_folder(self._folder)
        path = self._file_for(links[0].number)
        is_new = not path.exists()
        path.touch(PRIVATE_FILE)
        with path.open("ab") as file:
            file.write("".join(f"{link.text()}\n" for link in links).encode())
        flush(path)
        if is_new:
            flush(self._folder)

    def _file_for(self, number: int) -> Path:
        files = self.files()
        if files and files[-1].stat().st_size < LARGEST_BYTES:
            return files[-1]
        return self._folder / f"audit-{number:012d}.jsonl"

    def lines(self) -> Iterator[tuple[Path, int, str]]:
        """Every line of all files with its place: file, and number of the line in it, from 1."""
        for path in self.files():
            with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
                for place, text in enumerate(file, 1):
                    yield path, place, text

    def after(self, number: int) -> Iterator[Link]:
        """The lines with a higher number; those that cannot be read are passed over.

        Whoever goes on after the last line that they were given costs no search.
        """
        files = self.files()
        older = [path for path in files if _first_number(path) <= number + 1]
        files = files[max(0, len(older) - 1) :]
        place = self._place
        if place is not None and place.number == number and place.path in files:
            files = files[files.index(place.path) :]
        for path in files:
            with path.open("rb") as file:
                if place is not None and (place.number, place.path) == (number, path):
                    file.seek(place.offset)
                offset = file.tell()
                for content in file:
                    offset += len(content)
                    link = _read(content)
                    if link is not None and link.number > number:
                        self._place = _Place(link.number, path, offset)
                        yield link

    def remove_before(self, moment: datetime) -> int:
        """Delete files whose last line is older; the last file stays. How many were deleted."""
        gone = 0
        for path in self.files()[:-1]:
            if path.stat().st_mtime >= moment.timestamp():
                break
            path.unlink()
            gone += 1
        return gone


def _read(content: bytes) -> Link | None:
    """A whole line of a file; None where it is none, or is being written."""
    with suppress(ValueError):
        return Link.read(content.decode(errors="replace")) if content.endswith(b"\n") else None
    return None


class _Place(NamedTuple):
    number: int
    path: Path
    offset: int


def _first_number(path: Path) -> int:
    digits = path.stem.removeprefix("audit-")
    return int(digits) if digits.isdecimal() else 0


@dataclass
class Verified:
    """What looking at all lines has shown."""

    count: int = 0
    first: Link | None = None
    last: Link | None = None
    problems: list[str] = field(default_factory=list)  # the first of many
    more_problems: int = 0
    holds: bool = False  # whether the line that was asked for is there

    def add(self, problem: str) -> None:
        """Note what is wrong."""
        if len(self.problems) < PROBLEMS_TOLD:
            self.problems.append(problem)
        else:
            self.more_problems += 1


def verify(chain: Chain, *, head: tuple[int, str] | None = None, contains: str | None = None) -> Verified:
    """Look at every line.

    Parameters
    ----------
    head
        Number and digest of the last line, as the database has them.
    contains
        A digest that was noted before, which must be that of a line.
    """
    found = Verified()
    for path, place, text in chain.lines():
        where = f"{path.name}, line {place}"
        try:
            link = Link.read(text)
        except ValueError as error:
            found.add(f"{where}: {error}")
            continue
        _hold_against(found, where, link)
        found.count += 1
        found.first = found.first or link
        found.last = link
        found.holds = found.holds or link.digest == contains
        if head is not None and link.number == head[0] and link.digest != head[1]:
            found.add(f"{where}: is another line {link.number} than the one that was written, by its digest")
    number = found.last.number if found.last else 0
    if head is not None and number < head[0]:
        found.add(f"line {head[0]} was written, and the last one that is there is line {number}: the end is missing")
    return found


def _hold_against(found: Verified, where: str, link: Link) -> None:
    if not link.is_whole:
        found.add(f"{where}: line {link.number} was changed: its digest is another")
    before = found.last
    if before is None:
        return
    if link.number != before.number + 1:
        found.add(f"{where}: line {link.number} follows line {before.number}: lines were removed, or inserted")
    elif link.previous != before.digest:
        found.add(f"{where}: line {link.number} does not belong to the line before it: one of them was replaced")
