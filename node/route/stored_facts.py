"""The facts of what is stored: the series that the records tell of, and what their headers say to routes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row, and_, select
from sqlalchemy.orm import Session

from dicom_sr.series import Instance, Series
from node.database.connection import Database
from node.database.queries import in_chunks, other_studies_of_series
from node.database.tables import AssociationRow, InstanceRow, SeriesRow
from node.reading import Reader
from node.route.completion import Complete, images_of
from node.route.facts import Facts
from node.route.facts_reader import FactsReader
from node.study.images import require_whole


class StoredFacts:
    """Reads what routes ask about complete series and studies.

    Parameters
    ----------
    data
        The data folder: the store keeps its instances in it.
    database
        The node's records.
    clock
        The time, with its zone.
    reader
        Reads the headers.
    """

    def __init__(self, data: Path, database: Database, clock: Callable[[], datetime], reader: Reader) -> None:
        self._database, self._instances = database, data / "instances"
        self.reader = FactsReader(database, reader, clock)

    def of(
        self, complete: Complete, keys: Collection[str], *, dry_run: bool = False
    ) -> tuple[tuple[Series, ...], list[Facts]]:
        """The series of `complete`, and the facts of each.

        Parameters
        ----------
        complete
            A series or a study, with at least one image.
        keys
            What is asked for.
        dry_run
            Whether not even attempts to read it are counted.

        Raises
        ------
        StorageAway
            If one of its images cannot be read now: what would be decided without it is no decision.
        ReadingFailed
            If one ended what read it, and is tried again later.
        """
        with Session(self._database) as session:
            series = stored_series(session, complete, self._instances)
            sizes = stored_sizes(session, complete.sop_instance_uids)
            others = other_studies_of_series(
                session, complete.study_instance_uid, [one.series_instance_uid for one in series]
            )
        require_whole((one.path, sizes[one.sop_instance_uid]) for of in series for one in of.instances)
        found = self.reader.facts(series, keys, of_study=complete.level == "study", dry_run=dry_run)
        return series, [replace(one, other_studies=others.get(one.series_instance_uid, ())) for one in found]


def stored_sizes(session: Session, sop_instance_uids: Sequence[str]) -> dict[str, int]:
    """Bytes of each stored instance."""
    sizes: dict[str, int] = {}
    for chunk in in_chunks(sop_instance_uids):
        query = select(InstanceRow.sop_instance_uid, InstanceRow.size).where(InstanceRow.sop_instance_uid.in_(chunk))
        sizes |= {row.sop_instance_uid: row.size for row in session.execute(query)}
    return sizes


def stored_series(session: Session, complete: Complete, folder: Path) -> tuple[Series, ...]:
    """The series that the instances of `complete` make up, each with the association that it came by last.

    Parameters
    ----------
    folder
        Where the store keeps its instances.
    """
    chosen = set(complete.sop_instance_uids)
    rows = session.execute(
        select(
            InstanceRow.sop_instance_uid,
            InstanceRow.sop_class_uid,
            InstanceRow.path,
            InstanceRow.series_instance_uid,
            SeriesRow.modality,
            AssociationRow.calling_ae_title,
            AssociationRow.called_ae_title,
            AssociationRow.peer_address,
        )
        .join(
            SeriesRow,
            and_(
                SeriesRow.study_instance_uid == InstanceRow.study_instance_uid,
                SeriesRow.series_instance_uid == InstanceRow.series_instance_uid,
            ),
        )
        .outerjoin(AssociationRow, AssociationRow.id == InstanceRow.association_id)
        .where(images_of(complete.study_instance_uid, complete.series_instance_uid))
        .order_by(InstanceRow.received, InstanceRow.sop_instance_uid)
    )
    grouped: dict[str, list[Row[*tuple[Any, ...]]]] = {}
    for row in rows:
        if row.sop_instance_uid in chosen:
            grouped.setdefault(row.series_instance_uid, []).append(row)
    return tuple(_series(complete.study_instance_uid, of_series, folder) for of_series in grouped.values())


def _series(study_instance_uid: str, rows: Sequence[Row[*tuple[Any, ...]]], folder: Path) -> Series:
    last = rows[-1]
    association = {name: getattr(last, name) or "" for name in ("calling_ae_title", "called_ae_title", "peer_address")}
    return Series(
        series_instance_uid=last.series_instance_uid,
        study_instance_uid=study_instance_uid,
        modality=last.modality,
        instances=tuple(Instance(row.sop_instance_uid, row.sop_class_uid, folder / row.path) for row in rows),
        attributes=MappingProxyType(association),
    )
