"""Which version of its model each route runs: in force, before, and by whom. The next decision takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.config import Route
from node.database import audit
from node.database.connection import Database
from node.database.tables import MODEL_CHANGED, ModelVersionRow
from node.errors import NodeError
from node.models.store import ROOM, digests, stored_name
from pipelines.base import Pipeline
from pipelines.bundle import BundleSettings
from pipelines.registry import pipeline_type


class NoVersion(NodeError):
    """There is no such version; the message says which there are."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was tried and is to be in force, or that the configuration has its say again."""

    digest: str | None  # in the store; None: as configured
    weights: str  # digest of what inference reads of it: what results and the setting sha256 name
    trained_on: str
    source: str  # where it was copied from; of what is configured, nothing


def takes_bundles(pipeline: str) -> bool:
    """Whether the weights of a pipeline can be chosen by its settings.

    Raises
    ------
    UnknownPipeline
        If none is called so.
    """
    return issubclass(pipeline_type(pipeline).settings_type, BundleSettings)


def with_bundle(settings: Mapping[str, Any], bundle: str) -> dict[str, Any]:
    """The settings of a route with another bundle; a digest that the configured one must have is not its."""
    return {**{key: value for key, value in settings.items() if key != "sha256"}, "bundle": bundle}


def placed(settings: Mapping[str, Any], data: Path) -> dict[str, Any]:
    """The settings of a job with the path of a bundle of the store whole: the data folder may have been moved."""
    bundle = settings.get("bundle")
    if isinstance(bundle, str) and bundle.startswith(f"{ROOM}/"):
        return {**settings, "bundle": str(data / bundle)}
    return dict(settings)


def constructed(pipeline: str, settings: Mapping[str, Any]) -> Pipeline:
    """The pipeline with settings that `placed` gave; no weights are loaded."""
    kind = pipeline_type(pipeline)
    return kind(kind.settings_type(**settings))


def weights_digest(pipeline: str, settings: Mapping[str, Any]) -> str:
    """The digest of the files that a pipeline with settings that `placed` gave would load."""
    return constructed(pipeline, settings).model.weights_digest


def stored_settings(pipeline: str, settings: Mapping[str, Any], digest: str, data: Path) -> dict[str, Any]:
    """The settings of a job that runs a bundle of the store: its folder, relative to the data folder, and digest."""
    chosen = with_bundle(settings, stored_name(digest))
    return {**chosen, "sha256": weights_digest(pipeline, placed(chosen, data))}


class Versions:
    """The versions of all routes.

    Parameters
    ----------
    database
        The node's records.
    data
        The data folder, whole.
    """

    def __init__(self, database: Database, data: Path) -> None:
        self._database, self.data = database, data.absolute()

    def settings(self, name: str, route: Route) -> dict[str, Any]:
        """The settings that a job of a route is given now: with the bundle in force and its digest, where there is one.

        Parameters
        ----------
        name
            Of the route.
        route
            As it is configured.
        """
        row = self.in_force(name)
        if row is None or row.bundle is None or row.pipeline != route.pipeline:
            return dict(route.settings)
        return stored_settings(route.pipeline, route.settings, row.bundle, self.data)

    def in_force(self, route: str) -> ModelVersionRow | None:
        """The version that was put in force last; None where none was ever."""
        with Session(self._database, expire_on_commit=False) as session:
            return _last(session, route)

    def history(self, route: str | None = None) -> Sequence[ModelVersionRow]:
        """All that was ever put in force, of one route or of all, the latest first."""
        query = select(ModelVersionRow).order_by(ModelVersionRow.id.desc())
        with Session(self._database, expire_on_commit=False) as session:
            return session.scalars(query if route is None else query.where(ModelVersionRow.route == route)).all()

    def found(self, text: str) -> str:
        """Digest in the store of the version that a text begins the digest of, of weights or of all files.

        Raises
        ------
        NoVersion
            If there is none, or more than one.
        """
        kept = set(digests(self.data))
        rows = [row for row in self.history() if row.bundle in kept]
        there = {digest for digest in kept if digest.startswith(text)}  # a job may have been started with it alone
        there |= {row.bundle for row in rows if row.bundle and row.weights.startswith(text)}
        if len(there) != 1 or not text:
            known = ", ".join(dict.fromkeys(row.weights[:12] for row in rows)) or "none"
            how = "several versions begin" if there else "no version begins"
            raise NoVersion(f"{text}: is no folder, and {how} so; there are: {known}")
        return str(there.pop())

    def source(self, digest: str) -> str:
        """The folder that a bundle of the store was copied from first."""
        return next((row.source for row in reversed(self.history()) if row.bundle == digest), "")

    def before(self, route: str) -> str | None:
        """The bundle that `back` would put in force; None where that is what is configured, or nothing is."""
        with Session(self._database) as session:
            last = _last(session, route)
            row = None if last is None or last.before is None else session.get(ModelVersionRow, last.before)
            return None if row is None else row.bundle

    def needed_by(self, digest: str) -> list[str]:
        """The routes that run a bundle, or can go back to it."""
        rows = {row.id: row for row in reversed(self.history())}
        last = {row.route: row for row in rows.values()}
        return sorted(route for route, row in last.items() if digest in _reached(row, rows))

    # ---- changes
    def use(self, route: str, pipeline: str, bundle: Bundle, who: str, now: datetime) -> ModelVersionRow:
        """Put a bundle in force.

        Parameters
        ----------
        route, pipeline
            The route and what it runs.
        bundle
            In the store.
        who
            The operator's account.
        now
            The time, timezone aware.
        """
        with Session(self._database, expire_on_commit=False) as session, session.begin():
            last = _last(session, route)
            return _put(session, route, pipeline, bundle, last, None if last is None else last.id, who, now)

    def back(self, route: str, who: str, now: datetime) -> ModelVersionRow:
        """Put that in force which was before the present version; from the first one, what is configured.

        Raises
        ------
        NoVersion
            If nothing was before.
        """
        with Session(self._database, expire_on_commit=False) as session, session.begin():
            last = _last(session, route)
            if last is None or last.bundle is None:
                raise NoVersion(f"route {route} runs what is configured: nothing was in force before that")
            before = None if last.before is None else session.get(ModelVersionRow, last.before)
            bundle = (
                Bundle(None, "", "", "")
                if before is None
                else Bundle(before.bundle, before.weights, before.trained_on, before.source)
            )
            further = None if before is None else before.before
            return _put(session, route, last.pipeline, bundle, last, further, who, now)


def _reached(row: ModelVersionRow | None, rows: Mapping[int, ModelVersionRow]) -> Iterator[str | None]:
    """The bundle of a row, and those that the way back from it leads through."""
    while row is not None:
        yield row.bundle
        row = None if row.before is None else rows.get(row.before)


def _last(session: Session, route: str) -> ModelVersionRow | None:
    rows = select(ModelVersionRow).where(ModelVersionRow.route == route).order_by(ModelVersionRow.id.desc())
    return session.scalars(rows.limit(1)).first()


def _put(
    session: Session,
    route: str,
    pipeline: str,
    bundle: Bundle,
    last: ModelVersionRow | None,
    before: int | None,
    who: str,
    now: datetime,
) -> ModelVersionRow:
    row = ModelVersionRow(
        route=route,
        pipeline=pipeline,
        bundle=bundle.digest,
        weights=bundle.weights,
        trained_on=bundle.trained_on,
        source=bundle.source,
        before=before,
        since=now,
        who=who,
    )
    session.add(row)
    detail = {
        "route": route,
        "pipeline": pipeline,
        "from": last.weights if last is not None and last.bundle is not None else "as configured",
        "to": bundle.weights if bundle.digest is not None else "as configured",
    }
    audit.note(session, MODEL_CHANGED, who, now=now, **detail)
    return row
