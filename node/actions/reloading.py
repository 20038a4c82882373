"""A running node is asked to read its configuration anew, and answers what became of that.

Whoever asks leaves a file in the data folder, which only the node's account can; the node puts its answer beside it.
That works for a command on the same machine, and for the page, in the same way.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from node.actions.configuration import read_fit
from node.actions.preview import Preview
from node.config import Configuration
from node.config.reload import Change, changes
from node.errors import ConfigurationError, NodeError
from node.files import make_folder, write_whole

FOLDER = "reload"  # in the data folder
REQUEST, ANSWER = ".request", ".answer"
LOOK_S = 0.1
PATIENCE_S = 60.0  # for the answer: weights are looked at, and processes start


class NoAnswer(NodeError):
    """The node did not say what became of a request."""


@dataclass(frozen=True)
class Reload:
    """What became of a request to read the configuration anew."""

    who: str
    at: str  # when, as ISO 8601
    digest: str = ""  # SHA-256 of the file
    in_force: tuple[str, ...] = ()  # keys that have changed, and count
    waiting: tuple[str, ...] = ()  # what counts at the next start, as sentences
    wrong: tuple[str, ...] = ()  # why nothing has changed, a line each

    @property
    def taken(self) -> bool:
        """Whether the file is in force, as far as it can be without a restart."""
        return not self.wrong

    @property
    def sentences(self) -> list[str]:
        """For people."""
        if self.wrong:
            return ["Nothing has changed; this is wrong with the configuration:", *self.wrong]
        if not self.in_force and not self.waiting:
            return ["Nothing has changed: the node works by this configuration already."]
        return [*(f"{key}: in force" for key in self.in_force), *self.waiting]


def now() -> str:
    """The time, for `Reload.at`."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Asked:
    """A request that waits for its answer."""

    name: str
    who: str


@dataclass(frozen=True)
class ReloadRequests:
    """The requests to the node of one data folder, from both sides."""

    data: Path

    @property
    def _folder(self) -> Path:
        return self.data.absolute() / FOLDER

    # ---- who asks
    def ask(self, who: str, patience_s: float = PATIENCE_S) -> Reload:
        """Have the running node read its configuration anew; what became of that.

        Raises
        ------
        NoAnswer
            If it does not answer in time.
        """
        name = uuid.uuid4().hex
        make_folder(self._folder)
        request, answer = self._folder / f"{name}{REQUEST}", self._folder / f"{name}{ANSWER}"
        write_whole(request, json.dumps({"who": who}).encode(), sync="never")
        deadline = time.monotonic() + patience_s
        try:
            while time.monotonic() < deadline:
                with contextlib.suppress(FileNotFoundError):
                    return _read(answer)
                time.sleep(LOOK_S)
        finally:
            for file in (request, answer):
                file.unlink(missing_ok=True)
        raise NoAnswer(f"the node did not answer within {patience_s:g} s; its log says why")

    # ---- the node
    def clear(self) -> None:
        """Forget what was asked of a node that has ended."""
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                file.unlink(missing_ok=True)

    def waiting(self) -> Iterator[Asked]:
        """Requests that have no answer yet."""
        if not self._folder.is_dir():
            return
        for file in sorted(self._folder.glob(f"*{REQUEST}")):
            with contextlib.suppress(FileNotFoundError, ValueError, KeyError):  # whoever asked has gone
                asked = Asked(file.stem, str(json.loads(file.read_bytes())["who"]))
                file.unlink()
                yield asked

    def answer(self, asked: Asked, reload: Reload) -> None:
        """Answer a request."""
        write_whole(self._folder / f"{asked.name}{ANSWER}", json.dumps(asdict(reload)).encode(), sync="never")


def _read(answer: Path) -> Reload:
    content: dict[str, Any] = json.loads(answer.read_bytes())
    in_force, waiting, wrong = (tuple(content[key]) for key in ("in_force", "waiting", "wrong"))
    return Reload(content["who"], content["at"], content["digest"], in_force, waiting, wrong)


class ReloadActions:
    """What the page offers.

    Parameters
    ----------
    path
        The configuration file.
    running
        What the node works by.
    """

    def __init__(self, path: Path, running: Configuration) -> None:
        self._path, self._running = path, running

    def preview(self) -> Preview:
        """What `reload` would do."""
        title = f"Reload {self._path.name}?"
        try:
            wanted = read_fit(self._path)
        except ConfigurationError as error:
            return Preview(title, (), str(error))
        found = changes(self._running, wanted.configuration)
        if not found:
            return Preview(title, ("The node works by this configuration already: nothing would change.",))
        return Preview(title, ("Associations that are open stay, and jobs that run go on.", *map(_will, found)))

    def reload(self, by: str) -> Reload:
        """Have the node read it; what became of that.

        Raises
        ------
        NoAnswer
            If it does not answer in time.
        """
        return ReloadRequests(self._running.node.data).ask(by)


def _will(change: Change) -> str:
    return change.sentence if change.waits else f"{change.key}: will be in force"
