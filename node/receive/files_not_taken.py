"""Which files of watched folders are not taken, and why.

A file may be named after a patient, and no patient's name is in the database or the log. So the names lie in a file of
the data folder that only the node's account may read, from where the status page shows them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from dicom_sr.words import shown
from node.files import write_whole

NAMED = 20  # files in a packed file that are named


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
        self._path = memory_of(receipts, "not-taken", folder)
        self._folder = folder
        self._files: dict[str, dict[str, Any]] = _read(self._path).get("files", {})
        self._changed = False
        self._news: list[str] = []

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
        facts = {
            "reasons": sorted({reason for _, reason in files}),
            "members": [name for name, _ in files[:NAMED] if name != shown(path.name)],
            "more": max(len(files) - NAMED, 0),
        }
        known = self._files.get(str(path), {})
        if {key: known.get(key) for key in facts} == facts:
            return
        self._files[str(path)] = {"at": at, **facts}
        self._news.append(str(path))
        self._changed = True

    def remove(self, path: Path) -> None:
        """A file is taken now."""
        self._changed = self._files.pop(str(path), None) is not None or self._changed

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
        if self._changed:
            content = {"folder": str(self._folder), "files": self._files}
            write_whole(self._path, json.dumps(content).encode(), sync="content")
            self._changed = False
        news = [self._files[path] for path in self._news if path in self._files]
        self._news = []
        return len(news), sorted({reason for file in news for reason in file["reasons"]})


def memory_of(receipts: Path, what: str, folder: Path) -> Path:
    """Where beside the receipts lies what is known of a watched folder, however its path is written."""
    return receipts / f"{what}-{hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]}.json"


def files_not_taken(data: Path, folders: Iterable[Path]) -> list[FileNotTaken]:
    """The files that are left in watched folders, the latest first.

    Parameters
    ----------
    data
        The data folder.
    folders
        The folders that are watched.
    """
    found = []
    for watched in folders:
        content = _read(memory_of(data / "receipts", "not-taken", watched))
        folder = content.get("folder", "")
        for file, facts in content.get("files", {}).items():
            at = datetime.fromtimestamp(facts["at"], UTC)
            name = shown(str(Path(file).relative_to(folder)))
            found.append(FileNotTaken(at, shown(folder), name, facts["reasons"], facts["members"], facts["more"]))
    return sorted(found, key=lambda file: file.at, reverse=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content
