"""The outbox: a line per object and destination, sent until the peer has taken it.

Every destination has a lane and a thread of its own, so that one dead peer costs nobody else anything.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
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
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        clock: Clock = lambda: datetime.now(UTC),
        first_retry_s: float = FIRST_RETRY_S,
        name: str | None = None,
        claim_s: float = CLAIM_S,
    ) -> None:
        self._database, self._clock = database, clock
        self._name, self._claim_s = name or job_states.node_name(configuration), claim_s
        self._ours: set[str] = set()
        self._stop = threading.Event()
        self._associations = Associations()
        self._lanes = {
            name: Lane(
                name,
                destination,
                configuration.node.ae_title,
                database,
                clock,
                first_retry_s,
                self._stop,
                data=configuration.node.data.absolute(),
                key_file=configuration.records.key_file,
                associations=self._associations,
                made_by=partial(of_device, _maker(configuration), configuration, database),
            )
            for name, destination in configuration.destinations.items()
        }
        self._loops = {
            name: Loop(
                f"sending to {name}",
                partial(self._send_due, name),
                every_s=None,
                first_s=None,
                longest_s=longest_s(destination),
            )
            for name, destination in configuration.destinations.items()
        }
        self._polls = itertools.count()
        self._claimed = self._swept = -math.inf
        self._gone_seen_to = False
        self._looked_at: job_states.Place | None = None  # how far the search for jobs that are sent has come
        self._outbox = Loop("outbox", self._wake_due, every_s=POLL_S, first_s=POLL_S)

    def start(self) -> None:
        """Begin to send."""
        self._stop.clear()
        self._associations.start()
        self._claimed = self._swept = -math.inf
        self._gone_seen_to = False
        for loop in (self._outbox, *self._loops.values()):
            loop.start()

    def stop(self) -> None:
        """Stop after the object that is just being sent; the rest goes out at the next start."""
        self._stop.set()
        for loop in (self._outbox, *self._loops.values()):
            loop.stop(timeout_s=0.0)  # all of them, before one is waited for
        deadline = time.monotonic() + STOP_PATIENCE_S
        for loop in (self._outbox, *self._loops.values()):  # one that waits for a silent server ends with the process
            loop.stop(timeout_s=max(0.0, deadline - time.monotonic()))
        self._associations.stop()

    def problem(self) -> str | None:
        """Why nothing, or not everything, is sent at the moment; None if it is. A peer that is away is no problem."""
        found = (loop.problem() for loop in (self._outbox, *self._loops.values()))
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
            due = [name for name in self._ours if self._lanes[name].is_due(session, confirmations=confirmations)]
        for name in due:
            self._loops[name].wake()

    def _end_what_goes_nowhere(self) -> bool:
        """End the lines to destinations that have left the configuration, with their jobs; whether that was all.

        What another node on the same database still sends to, it goes on sending to.
        """
        with Session(self._database) as session:
            left = outbox.left_behind(session, list(self._lanes))
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
            for job_id, name in taking_back.leave_all_but(session, {*self._lanes, *self._taken(session)}, ANSWER):
                job_states.note(session, job_id, "taken back", f"{name}: {GONE}; it cannot be told")

    def _taken(self, session: Session) -> set[str]:
        """The destinations that other nodes on the same database send to."""
        now = session.scalars(select(func.current_timestamp())).one()
        others = LaneRow.seen > now - timedelta(seconds=self._claim_s)
        return set(session.scalars(select(LaneRow.destination).where(others, LaneRow.owner != self._name)))

    def _send_due(self, name: str) -> None:
        while name in self._ours and not self._stop.is_set() and self._lanes[name].turn():
            goes_on()

    def _claim(self) -> set[str]:
        """The destinations that are this node's to send to: of several nodes on one database, one at a time is.

        A claim lasts while it is renewed. One that was lost and is still acted on, by a node that was frozen, does no
        harm: the same bytes arrive twice.
        """
        if self._database.dialect.name != "postgresql":
            return set(self._lanes)  # one node alone uses an SQLite database; the job engine's lock ensures it
        ours = set()
        for name in self._lanes:
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
