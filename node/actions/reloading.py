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

from sqlalchemy.orm import Session

from node.actions.configuration import FitConfiguration, read_fit
from node.actions.preview import Preview
from node.config import Configuration
from node.config.reload import Change, changes
from node.database import outbox
from node.database.connection import Database
from node.database.job_states import path_name
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
    ending: tuple[str, ...] = ()  # jobs that end as their destination is gone, a sentence for each destination

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
        return [*(f"{key}: in force" for key in self.in_force), *self.ending, *self.waiting]


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
    """The requests to one node, from both sides."""

    folder: Path

    @classmethod
    def of(cls, configuration: Configuration) -> ReloadRequests:
        """Those to this node, of all that share its data folder."""
        return cls(configuration.node.data.absolute() / FOLDER / path_name(configuration))

    # ---- who asks
    def ask(self, who: str, patience_s: float = PATIENCE_S) -> Reload:
        """Have the running node read its configuration anew; what became of that.

        Raises
        ------
        NoAnswer
            If it does not answer in time.
        """
        name = uuid.uuid4().hex
        make_folder(self.folder)
        request, answer = self.folder / f"{name}{REQUEST}", self.folder / f"{name}{ANSWER}"
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
        if self.folder.is_dir():
            for file in self.folder.iterdir():
                with contextlib.suppress(OSError):  # none of ours then
                    file.unlink()

    def waiting(self) -> Iterator[Asked]:
        """Requests that have no answer yet; each is told of once, and one that cannot be understood not at all."""
        if not self.folder.is_dir():
            return
        for file in sorted(self.folder.glob(f"*{REQUEST}")):
            try:
                content = file.read_bytes()
                file.unlink()
            except OSError:  # whoever asked has gone
                continue
            if (who := _who(content)) is not None:
                yield Asked(file.stem, who)

    def answer(self, asked: Asked, reload: Reload) -> None:
        """Answer a request.

        Raises
        ------
        OSError
            If the answer cannot be written.
        """
        write_whole(self.folder / f"{asked.name}{ANSWER}", json.dumps(asdict(reload)).encode(), sync="never")


def _who(request: bytes) -> str | None:
    """Who asks; None where it is no request."""
    try:
        return str(json.loads(request)["who"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _read(answer: Path) -> Reload:
    content: dict[str, Any] = json.loads(answer.read_bytes())
    in_force, waiting, wrong, ending = (tuple(content[key]) for key in ("in_force", "waiting", "wrong", "ending"))
    return Reload(content["who"], content["at"], content["digest"], in_force, waiting, wrong, ending)


class ReloadActions:
    """What the page offers.

    Parameters
    ----------
    path
        The configuration file.
    running
        What the node works by.
    database
        Tells what waits for destinations that would be gone; None: that is not told.
    """

    def __init__(self, path: Path, running: Configuration, database: Database | None = None) -> None:
        self._path, self._running, self._database = path, running, database

    def preview(self) -> Preview:
        """What `reload` would do."""
        title = f"Reload {self._path.name}?"
        try:
            wanted = read_fit(self._path)
        except ConfigurationError as error:
            return Preview(title, (), str(error))
        found = will_change(self._running, wanted.configuration)
        if not found:
            return Preview(title, ("The node works by this configuration already: nothing would change.",))
        return Preview(
            title, ("Associations that are open stay, and jobs that run go on.", *found, *self._ending(wanted))
        )

    def _ending(self, wanted: FitConfiguration) -> list[str]:
        return [] if self._database is None else will_end(self._database, self._running, wanted.configuration)

    def reload(self, by: str) -> Reload:
        """Have the node read it; what became of that.

        Raises
        ------
        NoAnswer
            If it does not answer in time.
        """
        return ReloadRequests.of(self._running).ask(by)


def will_end(database: Database, running: Configuration, wanted: Configuration) -> list[str]:
    """For each destination that would be gone and that something waits for: how much, and that it is not sent."""
    gone = running.destinations.keys() - wanted.destinations.keys()
    if not gone:
        return []
    with Session(database) as session:
        left = outbox.left_behind(session, list(wanted.destinations))
    return [
        f"destinations.{name}: {left[name]} wait for it: they are not sent, and the jobs fail, unless another node "
        "still sends there"
        for name in sorted(gone & left.keys())
    ]


def will_change(running: Configuration, wanted: Configuration, but: str | None = None) -> list[str]:
    """Every key that a reload would change, in sentences, without those of the section `but`."""
    found = changes(running, wanted)
    return [_will(change) for change in found if but is None or change.key.partition(".")[0] != but]


def _will(change: Change) -> str:
    return change.sentence if change.waits else f"{change.key}: will be in force"
