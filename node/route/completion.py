"""Stored instances -> complete series and studies: when nothing more is to be expected, or it has been quiet.

    counts known from the headers and met, associations ended   known_count_quiet_s after the last instance
    otherwise                                                   series_quiet_s or study_quiet_s after it

A late instance makes its series and its study complete again. What is complete stays so until `settle` has said
that it was dealt with, and everything is in the database: a restart forgets nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, Row, and_, func, select, update
from sqlalchemy.orm import Session

from node.config import Configuration, ReceiveSettings
from node.database.connection import Database
from node.database.queries import UNDECIDED
from node.database.tables import KEY_OBJECTS, AssociationRow, InstanceRow, SeriesRow, StudyRow
from node.errors import StillArriving, StudyNotFound

FETCH = "fetch"  # the way of an association by which a study was fetched for a request
AT_ONCE = 50  # complete series or studies handed out per poll, so that a backlog does not hold up what is new


@dataclass(frozen=True)
class Complete:
    """A series or a study to which nothing more is expected to come."""

    level: Literal["series", "study"]
    study_instance_uid: str
    series_instance_uid: str | None  # None: the whole study
    sop_instance_uids: tuple[str, ...]
    late: bool  # it had been complete before: instances have come since
    last_received: datetime
    counts: Mapping[str, int]  # instances of each series, as far as this looked


PutOff: TypeAlias = Mapping[tuple[str, str | None], datetime]
"""By study and series (None: the whole study): when the last of it had come when it was put off."""


class Completion:
    """Says what is complete.

    Parameters
    ----------
    database
        The node's records.
    settings
        The quiet times.
    clock
        The time, with its zone.
    """

    def __init__(self, database: Database, settings: ReceiveSettings, clock: Callable[[], datetime]) -> None:
        self._database, self._settings, self._clock = database, settings, clock

    def reconfigure(self, configuration: Configuration) -> None:
        """Go by its quiet times from now on."""
        self._settings = configuration.receive

    def poll(
        self,
        *,
        studies: bool = True,
        put_off: PutOff = MappingProxyType({}),
        under_way: Collection[str] = (),
    ) -> list[Complete]:
        """What is complete and has not been settled; series before studies, which can be left out.

        Parameters
        ----------
        studies
            Whether to look for studies, too.
        put_off
            Series and studies that are left alone for now, so that others get their turn.
        under_way
            Studies that are being decided about.
        """
        now = self._clock()
        with Session(self._database) as session:
            found = self._series(session, now, put_off, under_way)
            return [*found, *(self._studies(session, now, put_off, under_way) if studies else ())]

    @staticmethod
    def settle(session: Session, complete: Complete, now: datetime, *, untroubled: bool = True) -> bool:
        """Record, in the caller's transaction, that `complete` has been dealt with as far as it went.

        False, and nothing recorded, where somebody else has done so already: another node on the same database.

        Parameters
        ----------
        session
            Its transaction holds the decisions too.
        complete
            What was decided about.
        now
            The time of the decision.
        untroubled
            Whether nothing else of the study is known to be in trouble.
        """
        by_series = complete.level == "series"
        seen = SeriesRow.routed_instances if by_series else SeriesRow.study_routed_instances
        settled = 0
        for series_instance_uid, count in complete.counts.items():
            found = session.execute(
                update(SeriesRow)
                .where(
                    SeriesRow.study_instance_uid == complete.study_instance_uid,
                    SeriesRow.series_instance_uid == series_instance_uid,
                    seen < count,
                )
                .values({seen: count, **({SeriesRow.completed: now} if by_series else {})})
                .returning(SeriesRow.series_instance_uid)
            )
            settled += len(found.all())
        whole: dict[str, Any] = {"trouble": ""} if untroubled else {}
        if not by_series:
            whole |= {"routed_instances": sum(complete.counts.values()), "completed": now}
        if settled and whole:
            of_study = StudyRow.study_instance_uid == complete.study_instance_uid
            session.execute(update(StudyRow).where(of_study).values(whole))
        return settled > 0

    @staticmethod
    def note_trouble(session: Session, study_instance_uid: str, trouble: str) -> None:
        """Write down, for people, why a study cannot be decided about for now; `settle` takes it back."""
        session.execute(
            update(StudyRow).where(StudyRow.study_instance_uid == study_instance_uid).values(trouble=trouble)
        )

    def _series(self, session: Session, now: datetime, put_off: PutOff, under_way: Collection[str]) -> list[Complete]:
        waiting = session.execute(
            select(
                SeriesRow.series_instance_uid,
                SeriesRow.study_instance_uid,
                SeriesRow.instances,
                SeriesRow.expected,
                SeriesRow.last_received,
                SeriesRow.routed_instances,
            )
            .where(SeriesRow.instances > SeriesRow.routed_instances)
            .order_by(SeriesRow.last_received)
        )
        wanted = (
            row
            for row in waiting
            if row.study_instance_uid not in under_way
            and not _is_put_off(put_off, row.study_instance_uid, row.series_instance_uid, row.last_received)
            and self._series_is_due(session, row, now)
        )
        due = list(islice(wanted, AT_ONCE))
        return [_series(session, row, late=row.routed_instances > 0) for row in due]

    def _series_is_due(self, session: Session, series: Row[*tuple[Any, ...]], now: datetime) -> bool:
        quiet = now - series.last_received
        if quiet >= timedelta(seconds=self._settings.series_quiet_s):
            return True
        met = series.expected is not None and series.instances >= series.expected
        return (
            met
            and quiet >= timedelta(seconds=self._settings.known_count_quiet_s)
            and not _being_sent(session, series.study_instance_uid, series.series_instance_uid)
        )

    def _studies(self, session: Session, now: datetime, put_off: PutOff, under_way: Collection[str]) -> list[Complete]:
        undecided = select(SeriesRow.study_instance_uid).where(SeriesRow.instances > SeriesRow.study_routed_instances)
        quiet_since = now - timedelta(seconds=self._settings.study_quiet_s)
        studies: Sequence[StudyRow] = session.scalars(
            select(StudyRow)
            .where(StudyRow.study_instance_uid.in_(undecided), StudyRow.last_received <= quiet_since)
            .order_by(StudyRow.last_received)
            .limit(AT_ONCE + len(put_off) + len(under_way))
        ).all()
        due = [
            one
            for one in studies
            if one.study_instance_uid not in under_way
            and not _is_put_off(put_off, one.study_instance_uid, None, one.last_received)
        ]
        return [_study(session, study) for study in due[:AT_ONCE]]


def _is_put_off(put_off: PutOff, study: str, series: str | None, last_received: datetime) -> bool:
    """Whether it is left alone; what has been sent again since is not."""
    since = put_off.get((study, series))
    return since is not None and last_received <= since


def settled(session: Session, study_instance_uid: str) -> list[Complete]:
    """A study that has been decided about: each series of it, then the whole.

    Raises
    ------
    StudyNotFound
        If nothing of it is stored.
    StillArriving
        If something of it has not been decided about yet.
    """
    of_study = SeriesRow.study_instance_uid == study_instance_uid
    if session.scalar(select(SeriesRow.series_instance_uid).where(of_study, UNDECIDED).limit(1)) is not None:
        raise StillArriving(f"study {study_instance_uid}: is not complete yet; the node decides when it is")
    return _parts(session, study_instance_uid)


def _parts(session: Session, study_instance_uid: str) -> list[Complete]:
    of_study = SeriesRow.study_instance_uid == study_instance_uid
    series = session.scalars(select(SeriesRow).where(of_study).order_by(SeriesRow.first_received)).all()
    study = session.get(StudyRow, study_instance_uid)
    if study is None or not series:
        raise StudyNotFound(f"study {study_instance_uid}: no image of it is stored")
    return [*(_series(session, one, late=True) for one in series), _study(session, study)]


def was_fetched(session: Session, complete: Complete, fetch_ae_title: str | None) -> bool:
    """Whether all that no decision has seen of it was fetched for a request: no route is asked about that.

    Parameters
    ----------
    fetch_ae_title
        That C-MOVE names for such requests only; None: there is none.
    """
    by_series = complete.level == "series"
    seen = SeriesRow.routed_instances if by_series else SeriesRow.study_routed_instances
    of_what = [SeriesRow.study_instance_uid == complete.study_instance_uid, SeriesRow.instances > seen]
    if by_series:
        of_what.append(SeriesRow.series_instance_uid == complete.series_instance_uid)
    came = session.execute(
        select(AssociationRow.way, AssociationRow.called_ae_title)
        .select_from(SeriesRow)
        .outerjoin(AssociationRow, AssociationRow.id == SeriesRow.last_association_id)
        .where(*of_what)
    ).all()
    return bool(came) and all(
        way == FETCH or (fetch_ae_title is not None and called == fetch_ae_title) for way, called in came
    )


def settle_fetched(session: Session, study_instance_uid: str, fetch_ae_title: str | None, now: datetime) -> None:
    """A study has been fetched whole: what came is decided about, by no route, and need not stay quiet for a while.

    Raises
    ------
    StudyNotFound
        If all that came was made by this node, which does not store it once more.
    """
    for part in _parts(session, study_instance_uid):
        if was_fetched(session, part, fetch_ae_title):
            Completion.settle(session, part, now)


def _series(session: Session, row: SeriesRow | Row[*tuple[Any, ...]], *, late: bool) -> Complete:
    return Complete(
        level="series",
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        sop_instance_uids=_instances(session, row.study_instance_uid, row.series_instance_uid),
        late=late,
        last_received=row.last_received,
        counts={row.series_instance_uid: row.instances},
    )


def _study(session: Session, study: StudyRow) -> Complete:
    of_study = SeriesRow.study_instance_uid == study.study_instance_uid
    counted = session.execute(select(SeriesRow.series_instance_uid, SeriesRow.instances).where(of_study))
    return Complete(
        level="study",
        study_instance_uid=study.study_instance_uid,
        series_instance_uid=None,
        sop_instance_uids=_instances(session, study.study_instance_uid),
        late=study.routed_instances > 0,
        last_received=study.last_received,
        counts={row.series_instance_uid: row.instances for row in counted},
    )


def images_of(study_instance_uid: str, series_instance_uid: str | None) -> ColumnElement[bool]:
    """What is to be decided about of a study, or of one series of it.

    Left out are the results of this software that were sent back, key object documents, and images that were rejected.
    """
    of_study = and_(
        InstanceRow.study_instance_uid == study_instance_uid,
        ~InstanceRow.made_by_us,
        InstanceRow.sop_class_uid != KEY_OBJECTS,
        InstanceRow.rejected == "",
    )
    return and_(of_study, InstanceRow.series_instance_uid == series_instance_uid) if series_instance_uid else of_study


def _instances(session: Session, study: str, series: str | None = None) -> tuple[str, ...]:
    which = images_of(study, series)
    return tuple(session.scalars(select(InstanceRow.sop_instance_uid).where(which).order_by("sop_instance_uid")))


def _being_sent(session: Session, study_instance_uid: str, series_instance_uid: str) -> bool:
    """Is an association that has brought instances of this series still open?"""
    brought = select(InstanceRow.association_id).where(images_of(study_instance_uid, series_instance_uid))
    still_open = select(func.count()).where(AssociationRow.id.in_(brought), AssociationRow.ended.is_(None))
    return bool(session.scalar(still_open))
