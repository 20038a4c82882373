"""An Orthanc's change feed: for sites whose Orthanc cannot be made to send by DICOM.

`/changes` is followed from the moment the node first sees the server; what is stored there before is not fetched. How
far it was followed is kept beside the receipts and only moved on when the instances are stored.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import time
from collections.abc import Generator
from typing import Any, NamedTuple

import httpx
from sqlalchemy.exc import SQLAlchemyError

from dicom_sr.errors import of_the_machine
from node.background import Loop
from node.config import OrthancFeed
from node.database.states import AssociationOutcome
from node.errors import PeerUnavailable
from node.files import causes, file_name, write_whole
from node.network.http_answer import SMALL, HttpAsker, LargeAnswer, UnsuitableAnswer, url_segment
from node.receive.importer import spool
from node.receive.status import NotStored, Status
from node.receive.store.incoming import Arrival, TooLarge
from node.receive.store.locks import LeaderLock
from node.receive.store.store import Store

log = logging.getLogger(__name__)

TIMEOUT_S = 30.0
CHANGES_AT_ONCE = 100
LARGEST_NUMBER = 2**63  # of a change
UNPACKED = {"Accept-Encoding": "identity"}
NOT_ORTHANC = "the answer is not Orthanc's"
LONGEST_PAUSE_S = 60.0
BUSY_SHARE = 0.1  # of the time it is asked at most while it brings nothing new, however much more it says it has


class _Server:
    """An Orthanc's REST interface, for the account that the configuration names."""

    def __init__(self, settings: OrthancFeed) -> None:
        self._url = settings.url.rstrip("/")
        headers = {"Connection": "close"}  # a feed is asked seldom
        if settings.username is not None and settings.password_file is not None:
            password = settings.password_file.read_text(encoding="utf-8-sig").strip()
            token = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        self._http = HttpAsker(TIMEOUT_S, headers=headers)

    def json(self, path: str, *keys: str) -> dict[str, Any]:
        """The answer to a GET request, a mapping that has all `keys`.

        Raises
        ------
        PeerUnavailable
            If the server does not answer as Orthanc does.
        """
        try:
            answer = self._http.ask("GET", self._url + path, largest=SMALL)
            if answer.status != httpx.codes.OK:
                raise PeerUnavailable(f"answered {answer.status}")
            content = answer.json()
        except UnsuitableAnswer as error:
            raise PeerUnavailable(f"{NOT_ORTHANC}: it {error}") from error
        except httpx.ConnectError as error:
            raise PeerUnavailable(f"cannot be reached: {_cause(error)}") from error
        except httpx.HTTPError as error:
            raise PeerUnavailable(type(error).__name__) from error
        if not isinstance(content, dict) or not set(keys) <= content.keys():
            raise PeerUnavailable(NOT_ORTHANC)
        return content

    def changes(self, query: str) -> _Changes:
        """The answer to `/changes` with that query; raises as `json`."""
        answer = self.json(f"/changes?{query}", "Last", "Changes", "Done")
        try:
            new = [str(change["ID"]) for change in answer["Changes"] if change["ChangeType"] == "NewInstance"]
            last = int(answer["Last"])
            if not 0 <= last < LARGEST_NUMBER or len(new) > CHANGES_AT_ONCE:
                raise PeerUnavailable(NOT_ORTHANC)
            return _Changes(last, new, not answer["Changes"] or bool(answer["Done"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise PeerUnavailable(NOT_ORTHANC) from error

    def instance(self, identifier: str, largest: int) -> Generator[bytes, None, None]:
        """The file of an instance in pieces.

        Raises
        ------
        _Gone
            If it has been deleted there.
        NotStored
            If it is larger than `largest`, or its identifier is none.
        PeerUnavailable
            If the server does not send all of it.
        """
        try:
            path = f"/instances/{url_segment(identifier)}/file"
        except UnsuitableAnswer as error:
            raise NotStored(Status.CANNOT_UNDERSTAND, f"The answer {error}") from error
        try:
            # as it lies there: images pack badly, and blank ones so well that they look like an attack
            with self._http.answer("GET", self._url + path, largest=largest, headers=UNPACKED) as (status, _, parts):
                if status == httpx.codes.NOT_FOUND:
                    raise _Gone
                if status != httpx.codes.OK:
                    raise PeerUnavailable(f"answered {status}")
                yield from parts
        except LargeAnswer as error:
            raise NotStored(Status.CANNOT_UNDERSTAND, f"The answer {error}") from error
        except UnsuitableAnswer as error:  # what a proxy cut may be whole the next time
            raise PeerUnavailable(f"the answer {error}, while an instance was fetched") from error
        except httpx.HTTPError as error:
            raise PeerUnavailable(f"{type(error).__name__} while an instance was fetched") from error


def _cause(error: BaseException) -> str:
    """Why the system did not let a server be reached."""
    reasons = (os.strerror(cause.errno) for cause in causes(error) if isinstance(cause, OSError) and cause.errno)
    return next(reasons, type(error).__name__)


class _Gone(Exception):
    """An instance is not in the Orthanc any more."""


class _Changes(NamedTuple):
    """What an answer to `/changes` says."""

    last: int  # number of the last change in it
    new: list[str]  # identifiers of instances
    done: bool  # whether there are no more


def ping(settings: OrthancFeed) -> str:
    """Ask an Orthanc what it is; what it answered.

    Raises
    ------
    PeerUnavailable
        If it cannot be reached, does not let us in, or is none.
    OSError
        If the password file cannot be read.
    """
    return f"answers: Orthanc {_Server(settings).json('/system', 'Version')['Version']}"


class FeedFollower:
    """Fetches what is new in one Orthanc.

    Parameters
    ----------
    name
        Of the feed in the configuration.
    settings
        Where the Orthanc is, and how often it is asked.
    store
        Takes the instances.
    leader_lock
        Only the process that has it asks.
    """

    def __init__(self, name: str, settings: OrthancFeed, store: Store, leader_lock: LeaderLock) -> None:
        self._name = name
        self._settings = settings
        self._store = store
        self._leader_lock = leader_lock
        self._memory = store.receipts.folder / f"feed-{file_name(name)}.json"
        self._server = _Server(settings)
        self._pause_s = settings.poll_s
        self._brought = False  # whether something new was stored when it was asked last
        self._loop = Loop(f"feed {name}", self._work, every_s=settings.poll_s)

    def start(self) -> None:
        """Begin to follow."""
        self._loop.start()

    def stop(self) -> None:
        """End after the instance at hand."""
        self._loop.stop()

    def problem(self) -> str | None:
        """Why the feed is not followed at the moment, or None; a server that is away is no problem of the node's."""
        return self._loop.problem()

    def _work(self) -> float:
        """Fetch what is there, if this process is to; the seconds until the next time."""
        began = time.monotonic()
        try:
            more = self.poll() if self._leader_lock.is_mine() else False
        except (PeerUnavailable, OSError) as error:
            self._pause_s = min(max(2 * self._pause_s, self._settings.poll_s), LONGEST_PAUSE_S)
            log.warning("feed not reached", extra={"feed": self._name, "reason": str(error)})
            return self._pause_s
        self._pause_s = self._settings.poll_s
        if not more:
            return self._pause_s
        return 0.0 if self._brought else min((time.monotonic() - began) * (1 / BUSY_SHARE - 1), self._pause_s)

    def poll(self) -> bool:
        """Fetch the next changes; whether there are more.

        Raises
        ------
        PeerUnavailable
            If the server does not answer as Orthanc does; nothing is skipped then.
        """
        self._brought = False
        since = self._recall()
        if since is None:
            self._remember(self._server.changes("last").last)
            return True
        changes = self._server.changes(f"since={since}&limit={CHANGES_AT_ONCE}")
        if changes.last < since:  # its database was made anew: its numbers begin again
            self._remember(0)
            return True
        if changes.new:
            arrival = self._store.open("orthanc", peer_address=self._name)
            try:
                for identifier in changes.new:
                    self._fetch(identifier, arrival)
            except BaseException as error:
                reason = str(error) if isinstance(error, PeerUnavailable) else type(error).__name__
                arrival.close(AssociationOutcome.LOST, reason)
                raise
            arrival.close(AssociationOutcome.RELEASED)
            self._brought = arrival.stored > 0
        if changes.last != since:
            self._remember(changes.last)
        return not changes.done and changes.last != since  # else it would be asked the same again at once

    def _fetch(self, identifier: str, arrival: Arrival) -> None:
        """Store one instance; one that is gone from there, or refused here for what it is, is passed over.

        Raises
        ------
        PeerUnavailable
            If it is not all there, or the node cannot store it now: it is to be fetched later.
        """
        try:
            if not identifier.replace("-", "").isalnum():
                error = NotStored(Status.CANNOT_UNDERSTAND, "Its identifier is none of Orthanc's")
                arrival.failure("", error)
                raise error
            with contextlib.closing(self._server.instance(identifier, 2 * self._store.maximum_bytes)) as parts:
                partial = spool(parts, self._store, arrival)
            self._store.adopt(arrival, partial)
        except _Gone:
            return
        except NotStored as error:  # its arrival has counted it
            if error.status == Status.OUT_OF_RESOURCES and not isinstance(error, TooLarge):
                raise PeerUnavailable(f"an instance could not be stored: {error.reason}") from error
        except (PeerUnavailable, OSError, SQLAlchemyError):
            raise
        except Exception as error:  # whatever one instance holds, the next one is fetched
            if of_the_machine(error):
                raise PeerUnavailable("an instance could not be stored: memory or threads are short") from error
            if not arrival.failed:  # of many the first
                log.exception("instance of a feed not taken", extra={"feed": self._name})
            arrival.failure("", NotStored(Status.PROCESSING_FAILURE, f"It cannot be taken ({type(error).__name__})"))

    def _recall(self) -> int | None:
        try:
            return int(json.loads(self._memory.read_text(encoding="utf-8"))["last"])
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def _remember(self, last: int) -> None:
        # an older number has instances fetched twice, which does no harm; an empty file would have some left out
        write_whole(self._memory, json.dumps({"last": last}).encode(), sync="content")
