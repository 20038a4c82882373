"""Studies of the last days as their decisions noted them: what is known of each series without reading an image.

A trace tells of the images that it was about. It counts as long as nothing has been settled about the series, or the
study, after it: a late or a replaced image and a rejection have everything decided anew, and then the newer trace
counts. Sender and study (``association.*``, ``study.*``) are asked of the database, as they are now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, aliased

from node.database.connection import Database
from node.database.queries import UNDECIDED, in_chunks
from node.database.tables import KEY_OBJECTS, AssociationRow, DecisionRow, InstanceRow, SeriesRow, StudyRow
from node.route.completion import FETCH
from node.route.facts import NUMBERS, TEXTS, Value
from node.route.known import ASSOCIATION, Known, known_of_trace

OF_STUDY = frozenset(key for key in (*NUMBERS, *TEXTS) if key.startswith("study."))
OF_DATABASE = ASSOCIATION | OF_STUDY
MOST_STUDIES = 20_000  # the latest


@dataclass(frozen=True)
class RecordedStudy:
    """What is known of one study."""

    study_instance_uid: str
    received: datetime  # the last of it; of one that is gone, when it was decided about last
    series: Mapping[str, Known] = field(default_factory=dict)  # by Series Instance UID
    whole: Mapping[str, Known] = field(default_factory=dict)  # the same, for routes that are asked about the study
    is_stored: bool = True  # False: its images were deleted, and nothing can be read of it
    arriving: bool = False  # the node has not decided about all of it yet
    fetched: bool = False  # for a request: no route is asked about it


@dataclass(frozen=True)
class RecordedStudies:
    """The studies of some days."""

    studies: Sequence[RecordedStudy]  # the latest first
    since: datetime
    left_out: int = 0  # older ones that are too many


def recorded_studies(
    database: Database,
    since: datetime,
    *,
    fetch_ae_title: str | None = None,
    most: int = MOST_STUDIES,
    chosen: Collection[str] | None = None,
    routes: Collection[str] | None = None,
) -> RecordedStudies:
    """What is known of the studies of which something came since then.

    Parameters
    ----------
    database
        The node's records.
    since
        Timezone aware.
    fetch_ae_title
        That C-MOVE names for requests: about what came under it no route is asked.
    most
        How many, at most.
    chosen
        Only these, whenever they came.
    routes
        Whose decisions tell; None: those of all. What those of one route noted is enough for most changes of it.
    """
    with Session(database) as session:
        stored = _stored(session, since, chosen)
        gone = {} if chosen is not None else _gone(session, since, stored)
        everything = sorted({**stored, **gone}.items(), key=lambda one: one[1][0], reverse=True)
        found: list[RecordedStudy] = []
        for chunk in in_chunks(everything[:most]):
            found += _studies(session, chunk, frozenset(gone), fetch_ae_title, routes)
    return RecordedStudies(found, since, max(0, len(everything) - most))


_When = tuple[datetime, datetime | None]  # when the last of a study came, and when it was settled as a whole


def _stored(session: Session, since: datetime, chosen: Collection[str] | None) -> dict[str, _When]:
    columns = select(StudyRow.study_instance_uid, StudyRow.last_received, StudyRow.completed)
    if chosen is None:
        rows = session.execute(columns.where(StudyRow.last_received >= since)).all()
    else:
        rows = [
            row
            for chunk in in_chunks(chosen)
            for row in session.execute(columns.where(StudyRow.study_instance_uid.in_(chunk)))
        ]
    return {row.study_instance_uid: (row.last_received, row.completed) for row in rows}


def _gone(session: Session, since: datetime, stored: Collection[str]) -> dict[str, _When]:
    """Studies that were decided about since then, and whose images the node does not keep any more."""
    query = (
        select(DecisionRow.study_instance_uid, func.max(DecisionRow.decided))
        .where(DecisionRow.decided >= since)
        .group_by(DecisionRow.study_instance_uid)
    )
    decided = {study: at for study, at in session.execute(query) if study not in stored}
    kept = {
        study
        for chunk in in_chunks(decided)
        for study in session.scalars(select(StudyRow.study_instance_uid).where(StudyRow.study_instance_uid.in_(chunk)))
    }
    return {study: (at, None) for study, at in decided.items() if study not in kept}


@dataclass
class _Batch:
    """All decisions of one moment about one series or study."""

    decided: datetime
    known: dict[str, Known] = field(default_factory=dict)

    def add(self, trace: Mapping[str, Any]) -> None:
        for one in trace["series"]:  # the latest first
            known = known_of_trace(one, trace.get("matcher", ""))
            before = self.known.get(known.series_instance_uid)
            self.known[known.series_instance_uid] = known if before is None else before.and_also(known)


_Batches = Mapping[str | None, _Batch]
"""Of one study: by series (None: the whole study) the latest decisions."""


def _batches(
    session: Session, studies: Sequence[str], routes: Collection[str] | None
) -> dict[str, dict[str | None, _Batch]]:
    """By study, the latest decisions of each of its series and of the whole; what they noted, of some routes."""
    of_studies = DecisionRow.study_instance_uid.in_(studies)
    place = (DecisionRow.study_instance_uid, DecisionRow.series_instance_uid)
    found: dict[str, dict[str | None, _Batch]] = {}
    for study, series, decided in session.execute(
        select(*place, func.max(DecisionRow.decided)).where(of_studies).group_by(*place)
    ):
        found.setdefault(study, {})[series] = _Batch(decided)
    noted = select(*place, DecisionRow.decided, DecisionRow.trace, DecisionRow.id).where(of_studies)
    if routes is not None:  # by coalesce, so that no index of routes is used in place of that of studies
        noted = noted.where(func.coalesce(DecisionRow.route, "").in_(routes))
    for study, series, decided, trace, _ in sorted(session.execute(noted), key=lambda row: -row.id):
        batch = found[study].get(series)
        if batch is not None and batch.decided == decided:
            batch.add(trace)
    return found


def _studies(
    session: Session,
    chunk: Sequence[tuple[str, _When]],
    gone: frozenset[str],
    fetch_ae_title: str | None,
    routes: Collection[str] | None,
) -> Iterator[RecordedStudy]:
    uids = [uid for uid, _ in chunk]
    batches, series = _batches(session, uids, routes), _series(session, uids)
    undecided = {
        (study, row.series_instance_uid)
        for study, rows in series.items()
        for row in rows
        if not _counts(batches.get(study, {}).get(row.series_instance_uid), row.completed)
    }
    empty = _without_images(session, undecided)
    for uid, (received, completed) in chunk:
        of_study = batches.get(uid, {})
        if uid in gone:
            yield _gone_study(uid, received, of_study)
            continue
        rows = [row for row in series.get(uid, ()) if (uid, row.series_instance_uid) not in empty]
        whole = of_study.get(None)
        its = whole.known if whole is not None and _counts(whole, completed) else {}
        known = {}
        for name in (row.series_instance_uid for row in rows):
            one = Known(name) if (uid, name) in undecided else of_study[name].known.get(name, Known(name))
            known[name] = one.and_also(its[name]) if name in its else one
        asked = bool(its) or any((uid, row.series_instance_uid) not in undecided for row in rows)
        yield RecordedStudy(
            uid,
            received,
            known,
            known,
            arriving=any(row.arriving for row in series.get(uid, ())),
            fetched=bool(rows) and not asked and all(_was_fetched(row, fetch_ae_title) for row in rows),
        )


def _gone_study(uid: str, received: datetime, batches: _Batches) -> RecordedStudy:
    """What is known of a study whose images were deleted: what its last decisions say, each of its level."""
    of_series = {
        name: known for series, batch in batches.items() if series is not None for name, known in batch.known.items()
    }
    whole = batches[None].known if None in batches else {}
    return RecordedStudy(uid, received, of_series, whole, is_stored=False)


def _counts(batch: _Batch | None, settled: datetime | None) -> bool:
    """Whether decisions are about what is there now: nothing has been settled after them."""
    return batch is not None and settled is not None and batch.decided >= settled


def _was_fetched(row: Any, fetch_ae_title: str | None) -> bool:
    return row.way == FETCH or (fetch_ae_title is not None and row.called_ae_title == fetch_ae_title)


def _series(session: Session, studies: Sequence[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in session.execute(
        select(
            SeriesRow.study_instance_uid,
            SeriesRow.series_instance_uid,
            SeriesRow.completed,
            UNDECIDED.label("arriving"),
            AssociationRow.way,
            AssociationRow.called_ae_title,
        )
        .outerjoin(AssociationRow, AssociationRow.id == SeriesRow.last_association_id)
        .where(SeriesRow.study_instance_uid.in_(studies))
        .order_by(SeriesRow.first_received)
    ):
        found.setdefault(row.study_instance_uid, []).append(row)
    return found


def _images() -> Any:
    """What is decided about; as `node.route.completion.images_of`, of all studies."""
    return and_(~InstanceRow.made_by_us, InstanceRow.sop_class_uid != KEY_OBJECTS, InstanceRow.rejected == "")


def _without_images(session: Session, series: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the series that nothing is decided about: results that came back, key objects, rejected images."""
    asked = set(series)
    there: set[tuple[str, str]] = set()
    for chunk in in_chunks(sorted({name for _, name in asked})):
        rows = session.execute(
            select(InstanceRow.study_instance_uid, InstanceRow.series_instance_uid)
            .where(InstanceRow.series_instance_uid.in_(chunk), _images())
            .distinct()
        )
        there |= {(row.study_instance_uid, row.series_instance_uid) for row in rows}
    return asked - there


# ---- what the database knows now
def senders(database: Database, studies: Iterable[str]) -> dict[tuple[str, str], dict[str, tuple[Value, ...]]]:
    """By study and series: ``association.*``, of the association by which the last of its images came."""
    found: dict[tuple[str, str], dict[str, tuple[Value, ...]]] = {}
    with Session(database) as session:
        for chunk in in_chunks(studies):
            latest = (
                select(
                    InstanceRow.study_instance_uid,
                    InstanceRow.series_instance_uid,
                    func.max(InstanceRow.received).label("received"),
                )
                .where(InstanceRow.study_instance_uid.in_(chunk), _images())
                .group_by(InstanceRow.study_instance_uid, InstanceRow.series_instance_uid)
                .subquery()
            )
            last = aliased(InstanceRow)
            rows = session.execute(
                select(
                    last.study_instance_uid,
                    last.series_instance_uid,
                    AssociationRow.calling_ae_title,
                    AssociationRow.called_ae_title,
                    AssociationRow.peer_address,
                )
                .join(
                    latest,
                    and_(
                        latest.c.study_instance_uid == last.study_instance_uid,
                        latest.c.series_instance_uid == last.series_instance_uid,
                        latest.c.received == last.received,
                    ),
                )
                .outerjoin(AssociationRow, AssociationRow.id == last.association_id)
                .where(~last.made_by_us, last.sop_class_uid != KEY_OBJECTS, last.rejected == "")
                .order_by(last.sop_instance_uid)  # of several of one moment the last one counts
            )
            for study, series, calling, called, address in rows:
                named = zip(
                    ("association.calling_ae_title", "association.called_ae_title", "association.peer_address"),
                    (calling, called, address),
                    strict=True,
                )
                found[study, series] = {key: (text,) if text else () for key, text in named}
    return found


def of_studies(database: Database, studies: Iterable[str]) -> dict[str, dict[str, tuple[Value, ...]]]:
    """By study: ``study.*``, of the images that are decided about."""
    found: dict[str, dict[str, tuple[Value, ...]]] = {}
    with Session(database) as session:
        for chunk in in_chunks(studies):
            rows = session.execute(
                select(
                    InstanceRow.study_instance_uid,
                    InstanceRow.series_instance_uid,
                    SeriesRow.modality,
                    func.count(),
                )
                .join(
                    SeriesRow,
                    and_(
                        SeriesRow.study_instance_uid == InstanceRow.study_instance_uid,
                        SeriesRow.series_instance_uid == InstanceRow.series_instance_uid,
                    ),
                )
                .where(InstanceRow.study_instance_uid.in_(chunk), _images())
                .group_by(InstanceRow.study_instance_uid, InstanceRow.series_instance_uid, SeriesRow.modality)
            )
            parts: dict[str, list[tuple[str, int]]] = {}
            for study, _, modality, count in rows:
                parts.setdefault(study, []).append((modality, count))
            for study, its in parts.items():
                found[study] = {
                    "study.instances": (sum(count for _, count in its),),
                    "study.series": (len(its),),
                    "study.modalities": tuple(dict.fromkeys(modality for modality, _ in its if modality)),
                }
    return found
