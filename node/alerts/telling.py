"""The loop that tells one channel what is due for it: again with growing pauses, until it has it or it is no news."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from node.alerts.channels import Way, open_way
from node.alerts.messages import Message, Notice, Origin
from node.background import Loop, growing_pause_s
from node.config.alerts import Channel
from node.database import alert_notices
from node.database.alert_notices import Batch
from node.database.connection import Database
from node.errors import NodeError

log = logging.getLogger(__name__)

EVERY_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 1800.0  # after a message that could not be sent
GIVEN_UP_AFTER = timedelta(days=2)  # what is older by then is no news


def pause(failures: int) -> timedelta:
    """How long to wait after so many messages in a row that could not be sent."""
    return timedelta(seconds=growing_pause_s(failures, FIRST_PAUSE_S, LONGEST_PAUSE_S))


class Telling:
    """Takes what is due for a channel from the database; several nodes may do so.

    Parameters
    ----------
    name
        Of the channel.
    channel
        Its section of the configuration.
    database
        The node's.
    origin
        Who tells.
    clock
        The time, with its zone.
    """

    def __init__(
        self, name: str, channel: Channel, database: Database, origin: Origin, clock: Callable[[], datetime]
    ) -> None:
        self._name, self._channel, self._database = name, channel, database
        self._origin, self._clock = origin, clock
        self._way: Way | None = None
        self.loop = Loop(f"telling {name}", self.tell, every_s=EVERY_S)

    def tell(self) -> float | None:
        """Send what is due; 0 where there may be more, None where there is none."""
        with Session(self._database) as session, session.begin():
            batch = alert_notices.claim(session, self._name, self._clock())
        if batch is None:
            return None
        message = Message(batch.id, self._clock(), tuple(map(Notice.read, batch.contents)), self._origin)
        try:
            answer = self._opened().send(message)
        except NodeError as error:
            self._put_off(batch, str(error))
            return None
        except OSError as error:  # a certificate that cannot be used
            self._put_off(batch, f"{self._name}: {error.strerror or type(error).__name__}")
            return None
        with Session(self._database) as session, session.begin():
            alert_notices.note_sent(session, batch.id, answer, self._clock())
        log.info("alert told", extra={"channel": self._name, "notices": len(message.notices), "answer": answer})
        return 0.0

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._way is not None:
            self._way.close()
            self._way = None

    def _opened(self) -> Way:
        if self._way is None:
            self._way = open_way(self._name, self._channel)
        return self._way

    def _put_off(self, batch: Batch, reason: str) -> None:
        now = self._clock()
        stale = now - batch.created > GIVEN_UP_AFTER
        if stale or batch.attempts == 0:
            facts = {"channel": self._name, "reason": reason, "attempts": batch.attempts + 1}
            log.warning("alert not told, given up" if stale else "alert not told, tried again", extra=facts)
        with Session(self._database) as session, session.begin():
            if stale:
                alert_notices.give_up(session, batch.id, reason)
            else:
                alert_notices.put_off(session, batch.id, reason, now + pause(batch.attempts + 1))
