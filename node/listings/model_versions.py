"""The versions of its model that a route ran or runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic import ValidationError

from node.config import Route
from node.listings.listing import Listing
from node.models import store
from node.models.versions import Versions, constructed
from pipelines.registry import UnknownPipeline


class ModelVersionListing(Listing):
    """A version of its model that a route was given."""

    route: str
    pipeline: str
    weights: str  # digest
    in_force: bool
    is_stored: bool  # so that it can be put in force again
    since: datetime | None
    who: str
    trained_on: str
    source: str
    problem: str = ""  # why it cannot be used


def model_version_listings(name: str, route: Route, versions: Versions) -> Iterator[ModelVersionListing]:
    """The versions of one route, the latest first, at last what is configured."""
    history = [row for row in versions.history(name) if row.pipeline == route.pipeline]
    for number, row in enumerate(history):
        if row.bundle is not None:
            yield ModelVersionListing(
                route=name,
                pipeline=route.pipeline,
                weights=row.weights,
                in_force=number == 0,
                is_stored=store.folder_of(versions.data, row.bundle).is_dir(),
                since=row.since,
                who=row.who,
                trained_on=row.trained_on,
                source=row.source,
            )
    is_configured = not history or history[0].bundle is None
    weights, trained_on, problem = "", "", ""
    try:
        model = constructed(route.pipeline, route.settings).model
        weights, trained_on = model.weights_digest, model.trained_on
    except (UnknownPipeline, ValidationError, OSError, ValueError) as error:
        problem = f"cannot be used: {error}"
    yield ModelVersionListing(
        route=name,
        pipeline=route.pipeline,
        weights=weights,
        in_force=is_configured,
        is_stored=not problem,
        since=history[0].since if history and is_configured else None,
        who=history[0].who if history and is_configured else "",
        trained_on=trained_on,
        source=str(route.settings.get("bundle", "the shipped bundle")),
        problem=problem,
    )
