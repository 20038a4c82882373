"""What the node is at now, which models it runs, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Query

from node.api.guard import GuardedRoute
from node.api.parts import Parts, PartsOf
from node.config.yaml_file import YamlFile
from node.errors import ConfigurationError
from node.listings.failures import FailureListing
from node.listings.model_versions import ModelVersionListing, model_version_listings
from node.listings.present import (
    DestinationListing,
    DiskListing,
    HealthListing,
    NumbersListing,
    PresentListing,
    QueueListing,
    WorkerListing,
)
from node.listings.versions import VersionListing, installed
from node.models.versions import Versions
from node.receive.files_not_taken import FileNotTaken, files_not_taken
from node.status.failures import Failures, Kind
from node.status.places import where
from node.status.present import Present

router = APIRouter(tags=["node"], route_class=GuardedRoute)


@router.get("/status")
def status(parts: PartsOf) -> PresentListing:
    """Health, queues, workers, destinations and disk."""
    now, configuration = datetime.now(UTC), parts.configuration
    places = {name: where(of) for name, of in configuration.destinations.items()}
    present = Present(parts.database, places, configuration.run.workers)
    queues, destinations = present.queues(), present.destinations(now)
    problems, remarks = parts.health.problems(), parts.health.remarks()
    return PresentListing(
        version=version("condyle"),
        ae_title=configuration.node.ae_title,
        now=now,
        configuration=_digest(parts),
        health=HealthListing(ready=not problems, problems=problems, remarks=remarks),
        numbers=NumbersListing.model_validate(present.numbers(queues, destinations, now)),
        queues=[QueueListing.model_validate(one) for one in queues],
        workers=[WorkerListing.model_validate(one) for one in parts.workers()],
        destinations=[DestinationListing.model_validate(one) for one in destinations],
        disk=DiskListing.model_validate(parts.health.disk),
    )


def _digest(parts: Parts) -> str:
    try:
        return YamlFile(parts.config_file).digest
    except ConfigurationError:
        return ""


@router.get("/version")
def versions(parts: PartsOf) -> VersionListing:
    """What is installed."""
    return installed()


@router.get("/models")
def list_models(parts: PartsOf) -> list[ModelVersionListing]:
    """The versions of its model that each route ran or runs, the one in force first."""
    known = Versions(parts.database, parts.configuration.node.data)
    routes = parts.configuration.routes.items()
    return [one for name, route in routes for one in model_version_listings(name, route, known)]


@router.get("/failures")
def list_failures(
    parts: PartsOf,
    kind: Kind | None = None,
    days: Annotated[int, Query(ge=1, le=30, description="How far back")] = 7,
) -> list[FailureListing]:
    """What went wrong, the same fault as one, the latest first."""
    configuration = parts.configuration
    watched = [folder.path for folder in configuration.receive.watched_folders]

    def files() -> Sequence[FileNotTaken]:
        return files_not_taken(configuration.node.data, watched)[0]

    failures = Failures(parts.database, list(configuration.destinations), files)
    groups = failures.groups(datetime.now(UTC) - timedelta(days=days), kind)
    return [
        FailureListing(
            kind=group.kind,
            reason=group.reason,
            times=group.times,
            first=group.first,
            last=group.last,
            whose=dict(group.whose),
            remedy=group.remedy,
            jobs=list(group.jobs),
        )
        for group in groups
    ]
