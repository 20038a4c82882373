"""Can the versions of models that are in force be run? Looked at before a node starts; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError
from sqlalchemy import inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from node.config import Configuration, Route
from node.config.check_result import CheckResult
from node.database.checks import engine_to_read
from node.database.connection import driver_problem
from node.database.tables import ModelVersionRow
from node.models.store import NotStored, require_whole
from node.models.versions import Versions, placed
from pipelines.registry import UnknownPipeline


def versions(configuration: Configuration) -> Iterator[CheckResult]:
    """Is the version in force of each route whole, and does its pipeline take it? Without a database there is none."""
    url = make_url(configuration.node.database_url)
    if driver_problem(url) is not None:
        return
    database = engine_to_read(url)
    try:
        if inspect(database).has_table(ModelVersionRow.__tablename__):
            known = Versions(database, configuration.node.data)
            for name, route in configuration.routes.items():
                if (row := known.in_force(name)) is not None and row.bundle is not None:
                    yield _looked_at(known, name, route, row, row.bundle)
    except SQLAlchemyError:
        return  # `node.database.checks` says why
    finally:
        database.dispose()


def _looked_at(known: Versions, name: str, route: Route, row: ModelVersionRow, bundle: str) -> CheckResult:
    key, data = f"routes.{name}.settings.bundle", known.data
    version = f"version {row.weights[:12]} is in force by condyle model"
    mend = f"condyle model use {name} FOLDER, or condyle model back {name}"
    if row.pipeline != route.pipeline:
        sentence = f"{version} and is of {row.pipeline}, which the route no longer runs: what is configured is run"
        return CheckResult(key, "doubtful", sentence)
    try:
        require_whole(data, bundle)
        weights = placed(known.settings(name, route), data)["sha256"]
    except NotStored as error:
        return CheckResult(key, "bad", f"{version} and cannot be used: {error}; or {mend}")
    except ValidationError as error:
        why = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        return CheckResult(key, "bad", f"{version} and cannot be used: {why}; {mend}")
    except (OSError, ValueError, TypeError, UnknownPipeline) as error:
        return CheckResult(key, "bad", f"{version} and cannot be used: {error}; {mend}")
    since = row.since.astimezone().strftime("%d %b %Y %H:%M")
    sentence = f"version {weights[:12]} is in force since {since}, by {row.who}; {row.trained_on}"
    if "bundle" in route.settings:
        instead = f"{sentence}; the configured bundle is not used: condyle model back {name} goes back to it"
        return CheckResult(key, "doubtful", instead)
    return CheckResult(key, "good", sentence)
