"""Facts of series, read apart from the node; an image that ends what reads it is left aside after a few attempts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr.series import Instance, Series
from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.tables import AuditRow, InstanceRow
from node.errors import ReadingFailed
from node.reading import Reader
from node.route.facts import Facts, series_facts, study_facts

log = logging.getLogger(__name__)

ATTEMPTS = 3  # at reading an image; each is made when its series is decided about


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
    """

    def __init__(self, database: Database, reader: Reader, clock: Callable[[], datetime]) -> None:
        self._database, self._reader, self._clock = database, reader, clock

    def facts(self, series: Sequence[Series], keys: Collection[str], *, of_study: bool) -> tuple[Facts, ...]:
        """The facts of each series; of a study, with those of the study.

        Raises
        ------
        ReadingFailed
            If an image ended what read it, and may be tried again later.
        StorageAway
            If one cannot be read now.
        """
        asked = tuple(sorted(keys))
        given_up = self._given_up(series)
        try:
            return self._read(series, asked, given_up, of_study=of_study)
        except ReadingFailed as error:
            self._find_out(series, asked, given_up, error)
        return self._read(series, asked, self._given_up(series), of_study=of_study)

    def _read(
        self, series: Sequence[Series], asked: tuple[str, ...], given_up: dict[str, str], *, of_study: bool
    ) -> tuple[Facts, ...]:
        rest = tuple(_without(one, given_up) for one in series)
        if of_study:
            facts = self._reader.call(study_facts, rest, asked)
        else:
            facts = tuple(self._reader.call(series_facts, one, asked) for one in rest)
        return tuple(
            replace(found, given_up=tuple(f"{uid}: {given_up[uid]}" for uid in _uids(one) if uid in given_up))
            for found, one in zip(facts, series, strict=True)
        )

    def _find_out(
        self, series: Sequence[Series], asked: tuple[str, ...], given_up: dict[str, str], error: ReadingFailed
    ) -> None:
        """Read the images one by one: those that cannot be read have one attempt less.

        Raises
        ------
        ReadingFailed
            If one of them has attempts left, or only all of them together are too much.
        """
        last: ReadingFailed | None = None
        found = 0
        for one in series:
            for instance in one.instances:
                if instance.sop_instance_uid in given_up:
                    continue
                try:
                    self._reader.call(series_facts, replace(one, instances=(instance,)), asked)
                except ReadingFailed as failure:
                    found += 1
                    if not self._note_attempt(one, instance, failure):
                        last = failure
        if not found or last is not None:
            raise last or error

    def _note_attempt(self, series: Series, instance: Instance, failure: ReadingFailed) -> bool:
        """Count an attempt; whether it was the last one."""
        row = InstanceRow.sop_instance_uid == instance.sop_instance_uid
        with Session(self._database) as session, session.begin():
            attempts = session.scalar(
                update(InstanceRow)
                .where(row)
                .values(reading_attempts=InstanceRow.reading_attempts + 1)
                .returning(InstanceRow.reading_attempts)
            )
            if attempts is None or attempts < ATTEMPTS:
                return attempts is None  # erased meanwhile
            session.execute(update(InstanceRow).where(row).values(given_up=str(failure)))
            facts = {"sop_instance_uid": instance.sop_instance_uid, "reason": str(failure), "attempts": attempts}
            session.add(
                AuditRow(
                    at=self._clock(),
                    what="image given up",
                    study_instance_uid=series.study_instance_uid,
                    detail={"series_instance_uid": series.series_instance_uid, **facts},
                )
            )
        log.error("image given up", extra=facts)
        return True

    def _given_up(self, series: Sequence[Series]) -> dict[str, str]:
        """Why, by SOP Instance UID, images of these series are not to be read."""
        found: dict[str, str] = {}
        with Session(self._database) as session:
            for uids in in_chunks([uid for one in series for uid in _uids(one)]):
                query = select(InstanceRow.sop_instance_uid, InstanceRow.given_up).where(
                    InstanceRow.sop_instance_uid.in_(uids), InstanceRow.given_up != ""
                )
                found |= {row.sop_instance_uid: row.given_up for row in session.execute(query)}
        return found


def _uids(series: Series) -> list[str]:
    return [instance.sop_instance_uid for instance in series.instances]


def _without(series: Series, given_up: Collection[str]) -> Series:
    return replace(series, instances=tuple(one for one in series.instances if one.sop_instance_uid not in given_up))
