"""The outbox: a line per object and destination, sent until the peer has taken it.

Every destination has a lane and a thread of its own, so that one dead peer costs nobody else anything.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from dicom_sr.profile import EncodingProfile
from node.background import LONGEST_S, Loop
from node.config import Configuration, Destination, FolderDestination
from node.database import job_states, outbox, taking_back
from node.database.connection import Database
from node.database.device import of_device
from node.database.tables import LaneRow
from node.network.associations import Associations
from node.progress import goes_on
from node.send.lane import FIRST_RETRY_S, Clock, Lane

log = logging.getLogger(__name__)

POLL_S = 0.1
CONFIRM_EVERY = 5  # polls, until unconfirmed lines are looked at
STOP_PATIENCE_S = 5.0
CLAIM_S = 30.0
SWEEP_S = 5.0  # until jobs are looked for that are sent and not closed
GONE = "is no longer in the configuration"
ANSWER = f"the destination {GONE}: it cannot be told"


def longest_s(destination: Destination) -> float:
    """How long nothing may go on while something is sent there: a peer may be silent as long as it is allowed to."""
    silence_s = 0.0 if isinstance(destination, FolderDestination) else destination.timeout_s
    return LONGEST_S + 2 * silence_s


def _maker(configuration: Configuration) -> EncodingProfile:
    return EncodingProfile(uid_root=configuration.node.uid_root, institution=configuration.node.institution)


@dataclass(frozen=True)
class _Way:
    """What sends to one destination, as that is configured."""

    destination: Destination
    lane: Lane
    loop: Loop
    stop: threading.Event
    associations: Associations

    def start(self) -> None:
        self.stop.clear()
        self.associations.start()
        self.loop.start()

    def end(self) -> None:
        """Have it stop after the object that is just being sent; does not wait for that."""
        self.stop.set()
        self.loop.stop(timeout_s=0.0)


class Sender:
    """A thread per destination, and one that wakes them when there is something for them.

    Parameters
    ----------
    database
        The node's database.
    clock
        Now, timezone aware.
    first_retry_s
        Pause after the first failure of a destination; it doubles with every further one.
    name
        This node among all that share the database; by default `job_states.node_name`.
    claim_s
        How long after it was last heard of another node may send in its place.
    paused
        Asked with the name of a destination: why nothing is sent there for now; None where it is.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        clock: Clock = lambda: datetime.now(UTC),
        first_retry_s: float = FIRST_RETRY_S,
        name: str | None = None,
        claim_s: float = CLAIM_S,
        paused: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._configuration, self._database, self._clock = configuration, database, clock
        self._first_retry_s, self._paused = first_retry_s, paused
        self._name, self._claim_s = name or job_states.node_name(configuration), claim_s
        self._ours: set[str] = set()
        self._stop = threading.Event()
        self._ways = {name: self._way(name, destination) for name, destination in configuration.destinations.items()}
        self._leaving: list[tuple[str, _Way]] = []  # those that a reload has replaced, until they have stopped
        self._polls = itertools.count()
        self._claimed = self._swept = -math.inf
        self._gone_seen_to = False
        self._looked_at: job_states.Place | None = None  # how far the search for jobs that are sent has come
        self._outbox = Loop("outbox", self._wake_due, every_s=POLL_S, first_s=POLL_S)

    def _way(self, name: str, destination: Destination) -> _Way:
        configuration, stop, associations = self._configuration, threading.Event(), Associations()
        lane = Lane(
            name,
            destination,
            configuration.node.ae_title,
            self._database,
            self._clock,
            self._first_retry_s,
            stop,
            data=configuration.node.data.absolute(),
            key_file=configuration.records.key_file,
            associations=associations,
            made_by=partial(of_device, _maker(configuration), configuration, self._database),
            paused=partial(self._paused, name),
        )
        loop = Loop(
            f"sending to {name}",
            partial(self._send_due, name, lane, stop),
            every_s=None,
            first_s=None,
            longest_s=longest_s(destination),
        )
        return _Way(destination, lane, loop, stop, associations)

    def start(self) -> None:
        """Begin to send."""
        self._stop.clear()
        self._claimed = self._swept = -math.inf
        self._gone_seen_to = False
        self._outbox.start()
        for way in self._ways.values():
            way.start()

    def reconfigure(self, configuration: Configuration) -> None:
        """Send to the destinations of this configuration from now on.

        What is the same as before goes on untouched. A destination that is another now, or is gone, stops after the
        object that is just being sent; only then the new one begins. Lines to one that is gone end with their jobs.
        """
        before, self._configuration = self._ways, configuration
        ways = {
            name: known
            if (known := before.get(name)) and known.destination == destination
            else self._way(name, destination)
            for name, destination in configuration.destinations.items()
        }
        left = [(name, way) for name, way in before.items() if ways.get(name) is not way]
        for _, way in left:
            way.end()
        self._leaving = [
            *(one for one in self._leaving if one[1].loop.alive),
            *left,
        ]  # before the new ones are there to be woken
        self._ways = ways
        for name, way in ways.items():
            if before.get(name) is not way:
                way.start()
        self._claimed = self._swept = -math.inf
        self._gone_seen_to = False

    def stop(self) -> None:
        """Stop after the object that is just being sent; the rest goes out at the next start."""
        self._stop.set()
        ways = [*self._ways.values(), *(way for _, way in self._leaving)]
        self._outbox.stop(timeout_s=0.0)
        for way in ways:
            way.end()  # all of them, before one is waited for
        deadline = time.monotonic() + STOP_PATIENCE_S
        for loop in (
            self._outbox,
            *(way.loop for way in ways),
        ):  # one that waits for a silent server ends with the process
            loop.stop(timeout_s=max(0.0, deadline - time.monotonic()))
        for way in ways:
            way.associations.stop()

    def problem(self) -> str | None:
        """Why nothing, or not everything, is sent at the moment; None if it is. A peer that is away is no problem."""
        found = (loop.problem() for loop in (self._outbox, *(way.loop for way in self._ways.values())))
        return next((problem for problem in found if problem), None)

    def _wake_due(self) -> None:
        """Wake the lanes that have something to do."""
        if time.monotonic() - self._claimed > self._claim_s / 6:
            self._ours, self._claimed = self._claim(), time.monotonic()
        if time.monotonic() - self._swept > SWEEP_S:
            if not self._gone_seen_to:
                self._gone_seen_to = self._end_what_goes_nowhere()
            self._leave_what_nobody_tells()
            with Session(self._database) as session, session.begin():
                self._looked_at = job_states.settle_left_over(session, self._looked_at, self._clock())
            self._swept = time.monotonic()
        confirmations = next(self._polls) % CONFIRM_EVERY == 0
        with Session(self._database) as session:
            ours = [
                (name, way) for name, way in self._ways.items() if name in self._ours and not self._is_leaving(name)
            ]
            due = [way for _, way in ours if way.lane.is_due(session, confirmations=confirmations)]
        for way in due:
            way.loop.wake()

    def _is_leaving(self, name: str) -> bool:
        """Whether what was replaced by a reload is still sending there."""
        return any(of == name and way.loop.alive for of, way in self._leaving)

    def _end_what_goes_nowhere(self) -> bool:
        """End the lines to destinations that have left the configuration, with their jobs; whether that was all.

        What another node on the same database still sends to, it goes on sending to.
        """
        with Session(self._database) as session:
            left = outbox.left_behind(session, list(self._ways))
            taken = self._taken(session)
        for name in left.keys() - taken:
            facts = {"destination": name, "objects": left[name].objects, "jobs": len(left[name].jobs)}
            log.warning("destination has left the configuration, its jobs end", extra=facts)
            for job_id in left[name].jobs:
                with Session(self._database) as session, session.begin():
                    outbox.give_up(session, job_id, name, GONE)
                    job_states.settle(session, job_id, self._clock())
        return not left.keys() & taken

    def _leave_what_nobody_tells(self) -> None:
        """Leave what is to be taken back at destinations that no node has in its configuration."""
        with Session(self._database) as session, session.begin():
            for job_id, name in taking_back.leave_all_but(session, {*self._ways, *self._taken(session)}, ANSWER):
                job_states.note(session, job_id, "taken back", f"{name}: {GONE}; it cannot be told")

    def _taken(self, session: Session) -> set[str]:
        """The destinations that other nodes on the same database send to."""
        now = session.scalars(select(func.current_timestamp())).one()
        others = LaneRow.seen > now - timedelta(seconds=self._claim_s)
        return set(session.scalars(select(LaneRow.destination).where(others, LaneRow.owner != self._name)))

    def _send_due(self, name: str, lane: Lane, stop: threading.Event) -> None:
        while name in self._ours and not stop.is_set() and lane.turn():
            goes_on()

    def _claim(self) -> set[str]:
        """The destinations that are this node's to send to: of several nodes on one database, one at a time is.

        A claim lasts while it is renewed. One that was lost and is still acted on, by a node that was frozen, does no
        harm: the same bytes arrive twice.
        """
        if self._database.dialect.name != "postgresql":
            return set(self._ways)  # one node alone uses an SQLite database; the job engine's lock ensures it
        ours = set()
        for name in self._ways:
            with Session(self._database) as session, session.begin():
                now = session.scalars(select(func.current_timestamp())).one()
                free = or_(LaneRow.owner == self._name, LaneRow.seen < now - timedelta(seconds=self._claim_s))
                renewed = session.scalar(
                    update(LaneRow)
                    .where(LaneRow.destination == name, free)
                    .values(owner=self._name, seen=now)
                    .returning(LaneRow.destination)
                )
                taken = renewed or session.scalar(
                    postgresql.insert(LaneRow)
                    .values(destination=name, owner=self._name, seen=now)
                    .on_conflict_do_nothing()
                    .returning(LaneRow.destination)
                )
                if taken:
                    ours.add(name)
        return ours
