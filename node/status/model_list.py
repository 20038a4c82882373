"""What the page shows of models: the version that each route runs, earlier ones, and its model card."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.config import Configuration, Route
from node.database.connection import Database
from node.database.tables import JobRow, ModelVersionRow
from node.errors import NodeError
from node.models import store
from node.models.versions import Versions, constructed, placed
from node.status.formats import words
from pipelines.base import Pipeline
from pipelines.bundle import BundleError
from pipelines.loading import require_pinned
from pipelines.registry import UnknownPipeline, pipeline_type

CARD, CARD_ABOVE = "docs/README.md", "README.md"
CARD_PLACES = (f"bundle/{CARD}", f"bundle/*/{CARD}", CARD_ABOVE)  # of what is shipped
LARGEST_CARD = 256 * 2**10  # bytes


@dataclass(frozen=True)
class VersionView:
    """A version of a model that a route ran or runs."""

    weights: str  # digest
    trained_on: str
    source: str
    since: datetime | None  # None: as configured from the beginning
    who: str
    kept: bool  # whether the node still has it


@dataclass(frozen=True)
class ModelView:
    """The model of one route."""

    route: str
    configured: Route
    version: str = ""  # of the pipeline
    weights: str = ""  # digest; empty: it has none
    trained_on: str = ""
    manufacturer: str = ""
    source: str = ""  # where its bundle came from
    since: datetime | None = None
    who: str = ""
    problem: str = ""  # why it cannot be run; empty: it can
    checked: str = ""  # what was compared with what
    earlier: tuple[VersionView, ...] = ()
    cards: tuple[str, ...] = ()  # names of its model cards
    last_run: datetime | None = None
    last_weights: str = ""  # that its last job ran with
    device: str = ""  # where it computes by its settings; empty: it leaves no choice


class ModelList:
    """Reads the records and the bundles; changes nothing.

    Parameters
    ----------
    configuration
        The routes.
    database
        The node's records.
    """

    def __init__(self, configuration: Configuration, database: Database) -> None:
        self._configuration, self._database = configuration, database
        self._versions = Versions(database, configuration.node.data)

    def models(self) -> list[ModelView]:
        """The model of each route."""
        with Session(self._database) as session:
            return [self._view(session, name, route) for name, route in self._configuration.routes.items()]

    def card(self, route: str, number: int) -> tuple[str, Sequence[str]] | None:
        """Name and lines of a model card of a route; None where there is none."""
        found = list(self._cards(route))
        if not 0 <= number < len(found):
            return None
        name, path = found[number]
        content = path.read_bytes()[:LARGEST_CARD].decode("utf-8", errors="replace")
        return name, content.splitlines()

    def _view(self, session: Session, name: str, route: Route) -> ModelView:
        history = [row for row in self._versions.history(name) if row.pipeline == route.pipeline]
        in_force = history[0] if history and history[0].bundle is not None else None
        last = session.execute(
            select(JobRow.created, JobRow.weights).where(JobRow.route == name).order_by(JobRow.created.desc()).limit(1)
        ).first()
        known: dict[str, Any] = {
            "route": name,
            "configured": route,
            "since": history[0].since if history else None,
            "who": history[0].who if history else "",
            "source": in_force.source if in_force else str(route.settings.get("bundle") or "shipped with the node"),
            "earlier": tuple(map(self._earlier, history[1:])),
            "last_run": last.created if last else None,
            "last_weights": last.weights if last else "",
        }
        try:
            pipeline, device = self._pipeline(name, route)
            checked = self._checked(in_force, route)
        except (NodeError, BundleError, UnknownPipeline, ValidationError, OSError, ValueError, TypeError) as error:
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            return ModelView(**known, problem=why)
        model = pipeline.model
        return ModelView(
            **known,
            version=model.version,
            weights=model.weights_digest,
            trained_on=model.trained_on,
            manufacturer=model.manufacturer,
            checked=checked,
            device=device,
            cards=tuple(_card_name(card) for card, _ in self._cards(name)),
        )

    def _pipeline(self, name: str, route: Route) -> tuple[Pipeline, str]:
        """The pipeline as a job would run it, and where it computes."""
        settings = placed(self._versions.settings(name, route), self._versions.data)
        pipeline = constructed(route.pipeline, settings)
        chosen = pipeline_type(route.pipeline).settings_type(**settings)
        require_pinned(chosen, pipeline.model)
        return pipeline, str(getattr(chosen, "device", ""))

    def _checked(self, row: ModelVersionRow | None, route: Route) -> str:
        """What was compared: the bundle in force, or a configured one, with the digest that it must have."""
        if row is not None and row.bundle is not None:
            store.require_whole(self._versions.data, row.bundle)
            return "every file is as it was when this version was put in force"
        if route.settings.get("sha256"):
            return "its digest is the one that the configuration asks for"
        return ""

    def _earlier(self, row: ModelVersionRow) -> VersionView:
        kept = row.bundle is None or store.folder_of(self._versions.data, row.bundle).is_dir()
        return VersionView(row.weights, row.trained_on, row.source, row.since, row.who, kept)

    def _cards(self, name: str) -> Iterator[tuple[str, Path]]:
        """The model cards of a route's model: of its bundle, else of what is shipped with the pipeline."""
        route = self._configuration.routes.get(name)
        if route is None:
            return
        settings: Mapping[str, Any] = placed(self._versions.settings(name, route), self._versions.data)
        bundle = settings.get("bundle") or settings.get("path")
        if bundle:
            places = [path for path in (Path(str(bundle)) / CARD, Path(str(bundle)) / CARD_ABOVE) if path.is_file()]
            yield from ((path.relative_to(bundle).as_posix(), path) for path in places[:1])
            return
        try:
            folder = Path(inspect.getfile(pipeline_type(route.pipeline))).parent
        except (UnknownPipeline, TypeError, OSError):
            return
        for pattern in CARD_PLACES:
            for path in sorted(folder.glob(pattern)):
                yield path.relative_to(folder).as_posix(), path


def _card_name(path: str) -> str:
    """What a card is called: that of a bundle, of one of several, or what is told of the whole pipeline."""
    folders = [part for part in path.split("/")[:-1] if part not in ("docs", "bundle")]
    if folders:
        return f"Model card: {words(folders[-1])}"
    return "Model card" if "/" in path else "About the pipeline"
