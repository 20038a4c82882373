"""Which files of watched folders are not taken, and why.

A file may be named after a patient, and no patient's name is in the database or the log. So the names lie in a file of
the data folder that only the node's account may read, from where the status page shows them.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections.abc import Iterable, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from dicom_sr.words import shown
from node.files import write_whole

NAMED = 20  # files in a packed file that are named
MOST = 10_000  # files of a folder that are known with their reasons, the latest; the others are known by a digest
LATEST = 100  # files of a folder that the status page is told; of the others it has the number
LATEST_FILE = "latest-not-taken"  # what it reads: all may be hundreds of thousands


class FileNotTaken(NamedTuple):
    """A file that is left in a watched folder."""

    at: datetime
    folder: str
    name: str  # relative to the folder
    reasons: list[str]
    members: list[str]  # the first of the files in it that were not taken, where it is a packed file
    more: int  # such files in it


class FilesNotTaken:
    """Those of one watched folder, over restarts too.

    Parameters
    ----------
    receipts
        The folder of the receipts.
    folder
        The watched folder.
    """

    def __init__(self, receipts: Path, folder: Path) -> None:
        self._path, self._latest = memory_of(receipts, "not-taken", folder), memory_of(receipts, LATEST_FILE, folder)
        self._folder = folder
        content = _read(self._path)
        self._files: dict[str, dict[str, Any]] = content.get("files", {})  # by path, the latest last
        self._others: set[int] = set(content.get("others", ()))
        self._changed = bool(self._files) and not self._latest.exists()
        self._news: dict[str, list[str]] = {}  # reasons by path

    def add(self, path: Path, files: Sequence[tuple[str, str]], at: float) -> None:
        """Note a file that is not taken.

        Parameters
        ----------
        path
            In the watched folder.
        files
            What of it is not taken, by name, and why: itself, or the files that are packed in it.
        at
            Seconds since the epoch.
        """
        reasons = sorted({reason for _, reason in files})
        facts: dict[str, Any] = {
            "reasons": reasons,
            "members": [name for name, _ in files[:NAMED] if name != shown(path.name)],
            "more": max(len(files) - NAMED, 0),
        }
        known = self._files.get(str(path), {})
        if {key: known.get(key) for key in facts} == facts or (self._others and _digest(str(path)) in self._others):
            return
        self._files.pop(str(path), None)
        self._files[str(path)] = {"at": at, **facts}
        self._news[str(path)] = reasons
        self._changed = True
        while len(self._files) > MOST:
            oldest = next(iter(self._files))
            del self._files[oldest]
            self._others.add(_digest(oldest))

    def remove(self, path: Path) -> None:
        """A file is taken now."""
        self._news.pop(str(path), None)
        if self._files.pop(str(path), None) is not None:
            self._changed = True
        elif self._others and (digest := _digest(str(path))) in self._others:
            self._others.discard(digest)
            self._changed = True

    def settle(self, there: Set[str]) -> tuple[int, list[str]]:
        """Forget the files that are not among the paths `there`, and write down the others.

        Returns
        -------
        tuple
            How many have been added since the last time, and why they are not taken.

        Raises
        ------
        OSError
            If they cannot be written down.
        """
        for path in self._files.keys() - there:
            self.remove(Path(path))
        if self._others and (gone := self._others - set(map(_digest, there))):
            self._others -= gone
            self._changed = True
        if self._changed:
            self._write(self._path, self._files, others=sorted(self._others))
            latest = heapq.nlargest(LATEST, self._files, key=lambda path: float(self._files[path]["at"]))
            count = len(self._files) + len(self._others)
            self._write(self._latest, {path: self._files[path] for path in latest}, count=count)
            self._changed = False
        news = [reasons for path, reasons in self._news.items() if path in there]
        self._news = {}
        return len(news), sorted({reason for reasons in news for reason in reasons})

    def _write(self, path: Path, files: dict[str, dict[str, Any]], **more: object) -> None:
        content = {"folder": str(self._folder), "files": files, **more}
        write_whole(path, json.dumps(content).encode(), sync="content")


def _digest(path: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(path), digest_size=6).digest())


def memory_of(receipts: Path, what: str, folder: Path) -> Path:
    """Where beside the receipts lies what is known of a watched folder, however its path is written."""
    return receipts / f"{what}-{hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]}.json"


def files_not_taken(data: Path, folders: Iterable[Path]) -> tuple[list[FileNotTaken], int]:
    """The files that are left in watched folders, the latest first, `LATEST` of each folder; and how many all are.

    Parameters
    ----------
    data
        The data folder.
    folders
        The folders that are watched.
    """
    found, count = [], 0
    for watched in folders:
        content = _read(memory_of(data / "receipts", LATEST_FILE, watched))
        folder = content.get("folder", "")
        count += content.get("count", 0)
        for file, facts in content.get("files", {}).items():
            at = datetime.fromtimestamp(facts["at"], UTC)
            name = shown(str(Path(file).relative_to(folder)))
            found.append(FileNotTaken(at, shown(folder), name, facts["reasons"], facts["members"], facts["more"]))
    return sorted(found, key=lambda file: file.at, reverse=True), count


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content
