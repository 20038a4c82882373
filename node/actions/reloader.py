"""The running node's side of a reload: the file is read and checked whole, then every part goes by it, or none does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.actions.configuration import FitConfiguration, read_fit
from node.actions.reloading import Reload, ReloadRequests, now, will_end
from node.config import Configuration
from node.config.reload import Reconfigurable, changes, merged
from node.database import audit
from node.database.connection import Database
from node.database.tables import CONFIGURATION_IN_FORCE, CONFIGURATION_REFUSED
from node.errors import ConfigurationError, NodeError

log = logging.getLogger(__name__)

START = "the node's start"  # who puts a configuration in force then
RECEIVERS_S = 15.0  # for the receivers to say that they have read it
LOOK_S = 0.05
NOTED = 50  # keys, in the audit trail


class Receivers(Protocol):
    """The processes that receive; they read the file themselves."""

    def keep_alive(self) -> None:
        """Take in what they say."""

    def reload(self) -> None:
        """Have them read it anew."""

    def work_by(self, digest: str) -> bool:
        """Whether they work by it."""


class Reloader:
    """Puts a changed configuration in force. Every method is for the main thread, which looks after the receivers.

    Parameters
    ----------
    path
        The configuration file.
    running
        What the node was started with.
    database
        For the audit trail.
    parts
        All that go by it, in the order in which they are to change.
    page
        Puts pages in place that go by a configuration, after all other parts.
    receivers
        The processes that receive.
    """

    def __init__(
        self,
        path: Path,
        running: FitConfiguration,
        database: Database,
        parts: Sequence[Reconfigurable],
        page: Callable[[Configuration], object],
        receivers: Receivers,
    ) -> None:
        self._path, self._running, self._digest = path, running.configuration, running.digest
        self._database, self._parts, self._page, self._receivers = database, parts, page, receivers
        self._requests = ReloadRequests.of(self._running)
        self._requests.clear()
        self._note(CONFIGURATION_IN_FORCE, START, (), ())

    def look(self) -> None:
        """Answer who has asked for a reload. Raises nothing: an answer that cannot be written is in the log."""
        try:
            for asked in self._requests.waiting():
                outcome = self.reload(asked.who)
                self._requests.answer(asked, outcome)
        except OSError as error:
            log.error("reload cannot be answered", extra={"reason": error.strerror or type(error).__name__})

    def reload(self, who: str) -> Reload:
        """Read the file and go by it; what became of that. Where anything is wrong, nothing changes.

        It raises nothing: a node does not end by what it is to go by next.
        """
        try:
            wanted = read_fit(self._path)
            outcome = self._put_in_force(wanted, who)
        except NodeError as error:
            outcome = self._refused(who, str(error))
        except Exception as error:
            log.exception("configuration cannot be read anew")
            outcome = self._refused(who, f"it cannot be read anew ({type(error).__name__}): see the node's log")
        facts = {"digest": outcome.digest, "by": who, "in_force": list(outcome.in_force), "wrong": len(outcome.wrong)}
        log.log(logging.INFO if outcome.taken else logging.ERROR, "configuration read anew", extra=facts)
        return outcome

    def _refused(self, who: str, why: str) -> Reload:
        outcome = Reload(who, now(), wrong=tuple(why.split("\n")))
        self._note(CONFIGURATION_REFUSED, who, (), (), mistakes=len(outcome.wrong))
        return outcome

    def _put_in_force(self, wanted: FitConfiguration, who: str) -> Reload:
        found = changes(self._running, wanted.configuration)
        in_force = tuple(change.key for change in found if not change.waits)
        waiting = tuple(change.sentence for change in found if change.waits)
        configuration = merged(self._running, wanted.configuration)
        ending = self._ending(configuration)  # before anything ends
        self._change(configuration)  # also where no key is another: token files may hold others now
        self._digest = wanted.digest
        self._note(CONFIGURATION_IN_FORCE, who, in_force, waiting)
        if in_force:
            waiting = (*waiting, *self._tell_receivers(wanted.digest))
        return Reload(who, now(), wanted.digest, in_force, waiting, ending=ending)

    def _ending(self, configuration: Configuration) -> tuple[str, ...]:
        try:
            return tuple(will_end(self._database, self._running, configuration))
        except SQLAlchemyError as error:
            log.warning("what waits for destinations is not known", extra={"reason": type(error).__name__})
            return ()

    def _change(self, configuration: Configuration) -> None:
        """Have all parts go by it, or none.

        Raises
        ------
        ConfigurationError
            If a part cannot; all go by the one before then, but for those that it names.
        """
        done: list[Reconfigurable] = []
        try:
            for part in self._parts:
                done.append(part)
                part.reconfigure(configuration)
            self._page(configuration)
        except Exception as error:  # a part that breaks is not to leave the others with another configuration
            if isinstance(error, NodeError):
                why = str(error)
            else:
                log.exception("configuration not put in force", extra={"part": type(done[-1]).__name__})
                why = f"a part of the node cannot go by it ({type(error).__name__}): see its log"
            raise ConfigurationError("\n".join([why, *self._turn_back(done)])) from error
        self._running = configuration

    def _turn_back(self, parts: Sequence[Reconfigurable]) -> Sequence[str]:
        """Have parts go by the configuration before; what is to be said of those that cannot, a line each."""
        stuck = []
        for part in parts:
            name = type(part).__name__
            try:
                part.reconfigure(self._running)
            except Exception:  # the others are to go back all the same
                log.exception("part does not go back to the configuration before", extra={"part": name})
                stuck.append(f"{name}: does not go back to the configuration before: restart the node")
        return stuck

    def _tell_receivers(self, digest: str) -> Sequence[str]:
        """Have the receivers read the file; what is to be said where they do not."""
        try:
            return self._wait_for_receivers(digest)
        except Exception as error:  # all other parts go by it already
            log.exception("receivers cannot be told of the configuration")
            return [f"receive: the receiver processes cannot be told ({type(error).__name__}): see the node's log"]

    def _wait_for_receivers(self, digest: str) -> Sequence[str]:
        self._receivers.reload()
        deadline = time.monotonic() + RECEIVERS_S
        while not self._receivers.work_by(digest):
            if time.monotonic() > deadline:
                log.warning("receivers have not read the configuration", extra={"seconds": RECEIVERS_S})
                return ["receive: a receiver process has not read it yet, or the file has changed since: reload again"]
            time.sleep(LOOK_S)
            self._receivers.keep_alive()
        return []

    def _note(self, what: str, who: str, in_force: Sequence[str], waiting: Sequence[str], **more: int) -> None:
        """Write down in the audit trail by which configuration the node works."""
        at_restart = [one.partition(":")[0] for one in waiting[:NOTED]]
        facts: dict[str, Any] = {"in_force": list(in_force[:NOTED]), "at_restart": at_restart, **more}
        try:
            with Session(self._database) as session, session.begin():
                audit.note(session, what, who, digest=self._digest, file=self._path.name, **facts)
        except SQLAlchemyError as error:  # what is in force is so all the same
            log.warning("reload not in the audit trail", extra={"reason": type(error).__name__})
