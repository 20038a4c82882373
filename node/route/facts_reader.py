"""Facts of series, read apart from the node; what ends whatever reads it is given up after a few attempts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr.series import Series
from node.database import audit
from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.tables import IMAGE_GIVEN_UP, SERIES_GIVEN_UP, InstanceRow
from node.errors import ReadingFailed, StorageAway
from node.reading import Reader
from node.route.facts import Facts, series_facts, with_study

log = logging.getLogger(__name__)

ATTEMPTS = 3  # at reading a series; each is made when it is decided about
MOST_NAMED = 5  # images of a series that are found one by one; where there are more, all of it is given up
STUDY_S, FINDING_S = 1800.0, 600.0  # by the clock: for a whole study, and for finding the images of a series


class FactsReader:
    """Asks a reader what routes want to know, and keeps which images it must not be given again.

    Parameters
    ----------
    database
        Holds the attempts, so that they outlive a restart.
    reader
        Reads the headers.
    clock
        The time, with its zone.
    seconds
        That only go up.
    """

    def __init__(
        self,
        database: Database,
        reader: Reader,
        clock: Callable[[], datetime],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._reader, self._clock, self._seconds = database, reader, clock, seconds

    def facts(
        self, series: Sequence[Series], keys: Collection[str], *, of_study: bool, dry_run: bool = False
    ) -> tuple[Facts, ...]:
        """The facts of each series.

        Parameters
        ----------
        series
            Of one study.
        keys
            What is asked for.
        of_study
            Whether they are all of the study, and its own facts are wanted with each.
        dry_run
            Whether nothing is written down: then what cannot be read is never given up.

        Raises
        ------
        ReadingFailed
            If a series ended what read it, and is tried again later.
        StorageAway
            If one cannot be read now.
        """
        asked, end = tuple(sorted(keys)), self._seconds() + STUDY_S
        found = []
        for one in series:
            if self._seconds() > end:
                raise StorageAway(f"the study was not read within {STUDY_S:g} s")
            found.append(self._of_series(one, asked, dry_run=dry_run))
        return with_study(series, found) if of_study else tuple(found)

    def once_more(self, study_instance_uid: str) -> None:
        """Have what was given up of a study read again, once: if that fails too, it is given up at once."""
        given_up = (InstanceRow.study_instance_uid == study_instance_uid, InstanceRow.given_up != "")
        with Session(self._database) as session, session.begin():
            session.execute(update(InstanceRow).where(*given_up).values(given_up="", reading_attempts=ATTEMPTS - 1))

    def _of_series(self, series: Series, asked: tuple[str, ...], *, dry_run: bool) -> Facts:
        given_up = self._given_up(series)
        rest = _without(series, given_up)
        try:
            found = self._reader.call(series_facts, rest, asked)
        except ReadingFailed as error:
            if dry_run or not self._note_attempt(rest):
                raise
            given_up |= self._give_up(rest, asked, error)
            found = self._reader.call(series_facts, _without(series, given_up), asked)
        if found.unread and not dry_run:  # no use in trying again
            self._keep(series, found.unread, IMAGE_GIVEN_UP, next(iter(found.unread.values())))
        unread = given_up | dict(found.unread)
        return replace(found, unread={uid: unread[uid] for uid in _uids(series) if uid in unread})

    def _note_attempt(self, series: Series) -> bool:
        """Count an attempt at reading a series; whether it was the last one."""
        attempts = 0
        with Session(self._database) as session, session.begin():
            for uids in in_chunks(_uids(series)):
                counts = session.scalars(
                    update(InstanceRow)
                    .where(InstanceRow.sop_instance_uid.in_(uids))
                    .values(reading_attempts=InstanceRow.reading_attempts + 1)
                    .returning(InstanceRow.reading_attempts)
                )
                attempts = max(attempts, *counts, 0)
        return attempts >= ATTEMPTS

    def _give_up(self, series: Series, asked: tuple[str, ...], error: ReadingFailed) -> dict[str, str]:
        """Why, by SOP Instance UID, images are not read any more: those that cannot be, or all if that stays unclear.

        No route takes a series of which one image cannot be read: which one it is, is for people.
        """
        end, found = self._seconds() + FINDING_S, dict[str, str]()
        for instance in series.instances:
            if self._seconds() > end or len(found) > MOST_NAMED:
                break
            try:
                self._reader.call(series_facts, replace(series, instances=(instance,)), asked)
            except ReadingFailed as failure:
                found[instance.sop_instance_uid] = str(failure)
        else:
            if found:
                self._keep(series, found, IMAGE_GIVEN_UP, next(iter(found.values())))
                return found
        why = f"the series cannot be read as a whole: {error}"
        everything = dict.fromkeys(_uids(series), why)
        self._keep(series, everything, SERIES_GIVEN_UP, why)
        return everything

    def _keep(self, series: Series, given_up: Mapping[str, str], what: str, why: str) -> None:
        """Write down what is not read any more; what can be read has all its attempts again."""
        facts = {
            "series_instance_uid": series.series_instance_uid,
            "images": len(given_up),
            "first": next(iter(given_up)),
            "reason": why,
        }
        with Session(self._database) as session, session.begin():
            for uids in in_chunks(_uids(series)):
                these = update(InstanceRow).where(InstanceRow.sop_instance_uid.in_(uids))
                session.execute(these.values(reading_attempts=0))
            for reason in dict.fromkeys(given_up.values()):
                for uids in in_chunks([uid for uid, one in given_up.items() if one == reason]):
                    these = update(InstanceRow).where(InstanceRow.sop_instance_uid.in_(uids))
                    session.execute(these.values(given_up=reason))
            study = series.study_instance_uid
            audit.note(session, what, "", study_instance_uid=study, now=self._clock(), **facts)
        log.error(what, extra={"study_instance_uid": study, **facts})

    def _given_up(self, series: Series) -> dict[str, str]:
        """Why, by SOP Instance UID, images of a series are not to be read."""
        found: dict[str, str] = {}
        with Session(self._database) as session:
            for uids in in_chunks(_uids(series)):
                query = select(InstanceRow.sop_instance_uid, InstanceRow.given_up).where(
                    InstanceRow.sop_instance_uid.in_(uids), InstanceRow.given_up != ""
                )
                found |= {row.sop_instance_uid: row.given_up for row in session.execute(query)}
        return found


def _uids(series: Series) -> list[str]:
    return [instance.sop_instance_uid for instance in series.instances]


def _without(series: Series, given_up: Collection[str]) -> Series:
    return replace(series, instances=tuple(one for one in series.instances if one.sop_instance_uid not in given_up))
