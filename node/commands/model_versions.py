"""`condyle model`: which version of its model each route runs, another one put in force, and the way back."""

from __future__ import annotations

import contextlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.errors import UnsuitableInput
from dicom_sr.words import did_you_mean
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console, print_whole
from node.config import Configuration, Route
from node.database.connection import Database
from node.database.queries import UNDER_WAY
from node.database.tables import JobRow, ModelVersionRow
from node.errors import NodeError
from node.listings.listing import as_json
from node.listings.model_versions import model_version_listings
from node.models import store
from node.models.versions import (
    Bundle,
    Versions,
    placed,
    stored_settings,
    takes_bundles,
    weights_digest,
    with_bundle,
)

FIRST = 12  # characters of a digest that are shown


class Refused(NodeError):
    """A bundle is not put in force; the message says why, and nothing has changed."""


def list_versions(route: str | None, config: Path, *, json_output: bool = False) -> int:
    """Print the versions of one route, or of all, the latest first; with `json_output` as a JSON list."""
    configuration, database = opened(config)
    if route is not None and (problem := _unknown(configuration, route)):
        console(error=True).print(problem, markup=False)
        return USAGE
    versions = Versions(database, configuration.node.data)
    found = [
        listing
        for name, one in configuration.routes.items()
        if route in (None, name)
        for listing in model_version_listings(name, one, versions)
    ]
    if json_output:
        console().print_json(as_json(found))
        return OK
    table = Table(box=None, pad_edge=False)
    for heading in ("Route", "Version", "In force", "Since", "By"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Trained on", "From"):
        table.add_column(heading, overflow="fold")
    for one in found:
        state = ("yes" if one.in_force else "") if one.is_stored or one.problem else "deleted"
        since = one.since.astimezone().strftime("%d %b %Y %H:%M") if one.since else ""
        more = Text(one.problem or one.trained_on), Text(one.source)
        table.add_row(one.route, one.weights[:FIRST], state, since, one.who, *more)
    print_whole(console(), table)
    return OK


def use(route: str, bundle: str, config: Path) -> int:
    """Put a bundle in force for a route, once it is copied, loaded and has run on the pipeline's example study.

    Parameters
    ----------
    route
        Its name.
    bundle
        A folder, or the first characters of the digest of a version that was in force before.
    config
        The configuration file.
    """
    complaints = console(error=True)
    configuration, database = opened(config)
    if problem := _unknown(configuration, route):
        complaints.print(problem, markup=False)
        return USAGE
    chosen, versions = configuration.routes[route], Versions(database, configuration.node.data)
    try:
        found = stored(configuration, versions, chosen, bundle)
    except NodeError as error:
        complaints.print(f"route {route} keeps its version: {error}", markup=False)
        return NOT_RIGHT
    before = versions.in_force(route)
    if before is not None and (before.bundle, before.pipeline) == (found.digest, chosen.pipeline):
        console().print(f"route {route}: version {found.weights[:FIRST]} is in force already", markup=False)
        return OK
    row = versions.use(route, chosen.pipeline, found, operator(), datetime.now(UTC))
    _print_change(route, row, before)
    return OK


def back(route: str, config: Path) -> int:
    """Put that in force which was before a route's present version."""
    complaints = console(error=True)
    configuration, database = opened(config)
    if problem := _unknown(configuration, route):
        complaints.print(problem, markup=False)
        return USAGE
    versions = Versions(database, configuration.node.data)
    try:
        present = versions.in_force(route)
        if (before := versions.before(route)) is not None:
            store.require_whole(versions.data, before)
        row = versions.back(route, operator(), datetime.now(UTC))
    except NodeError as error:
        complaints.print(str(error), markup=False)
        return NOT_RIGHT
    _print_change(route, row, present)
    return OK


def forget(version: str, config: Path) -> int:
    """Delete a bundle from the store that no route needs, now or on its way back, nor any job that has not ended."""
    complaints = console(error=True)
    configuration, database = opened(config)
    versions = Versions(database, configuration.node.data)
    try:
        digest = versions.found(version)
        if routes := versions.needed_by(digest):
            needed = ", ".join(routes)
            raise Refused(f"version {version} is in force, or condyle model back leads to it, of: {needed}")
        if jobs := _jobs_with(database, digest):
            raise Refused(f"version {version} is needed by jobs that have not ended, such as {jobs[0]}")
        store.remove(versions.data, digest)
    except NodeError as error:
        complaints.print(str(error), markup=False)
        return NOT_RIGHT
    except OSError as error:
        complaints.print(f"version {version} cannot be deleted: {error.strerror}", markup=False)
        return NOT_RIGHT
    console().print(f"version {version} is deleted; what it made stays")
    return OK


def _unknown(configuration: Configuration, route: str) -> str:
    """What is wrong with the name of a route; empty where nothing is."""
    if route in configuration.routes:
        return ""
    known = ", ".join(configuration.routes) or "none"
    return f"{route!r}: no such route; there are: {known}{did_you_mean(route, list(configuration.routes))}"


def _print_change(route: str, row: ModelVersionRow, before: ModelVersionRow | None) -> None:
    out = console()
    now, earlier = _named(row), _named(before)
    out.print(f"route {route}: {now} is in force from the next decision on; before: {earlier}", markup=False)
    if row.trained_on:
        out.print(f"  {row.trained_on}", markup=False)
    out.print(f"  condyle model back {route} goes back; condyle reroute does earlier studies again", markup=False)


def _named(row: ModelVersionRow | None) -> str:
    return "what is configured" if row is None or row.bundle is None else f"version {row.weights[:FIRST]}"


def _jobs_with(database: Database, digest: str) -> list[str]:
    with Session(database) as session:
        rows = session.execute(select(JobRow.id, JobRow.settings).where(JobRow.state.in_(UNDER_WAY)))
        return [job[:FIRST] for job, settings in rows if settings.get("bundle") == store.stored_name(digest)]


# ---- a bundle that is to be run
def stored(configuration: Configuration, versions: Versions, route: Route, bundle: str) -> Bundle:
    """A bundle of the store that the pipeline of a route was seen to run.

    Parameters
    ----------
    configuration
        Says how much time and memory it may take.
    versions
        The versions that are known.
    route
        Whose pipeline, and other settings, it is tried with.
    bundle
        A folder, or the first characters of the digest of a version that was in force before.

    Raises
    ------
    NodeError
        If it cannot be run; a new one is not kept then.
    """
    if not takes_bundles(route.pipeline):
        raise Refused(f"the weights of {route.pipeline} cannot be chosen: it has no setting bundle")
    folder = Path(bundle).expanduser()
    if not folder.is_dir():
        if folder.exists():
            raise Refused(f"{bundle}: is a file; should be the folder of a bundle")
        digest = versions.found(bundle)
        store.require_whole(versions.data, digest)
        return _tried(configuration, versions, route, digest, versions.source(digest))
    folder = folder.resolve()
    _require_taken(route, folder)
    known = set(store.digests(versions.data))
    digest = store.add(versions.data, folder)
    try:
        return _tried(configuration, versions, route, digest, str(folder))
    except BaseException:  # Ctrl-C too
        if digest not in known and not versions.needed_by(digest):
            store.remove(versions.data, digest)
        raise


def with_version(configuration: Configuration, versions: Versions, route: Route, bundle: str) -> dict[str, Any]:
    """The settings of a job that runs a route's pipeline with another bundle, which is tried and kept first.

    Raises
    ------
    NodeError
        As `stored`.
    """
    found = stored(configuration, versions, route, bundle)
    assert found.digest is not None
    return stored_settings(route.pipeline, route.settings, found.digest, versions.data)


def _require_taken(route: Route, folder: Path) -> None:
    """Make sure that a pipeline takes a folder for a bundle, before anything is copied."""
    try:
        weights_digest(route.pipeline, with_bundle(route.settings, str(folder)))
    except ValidationError as error:
        why = "; ".join(dict.fromkeys(one["msg"].removeprefix("Value error, ") for one in error.errors()))
        raise Refused(f"{folder}: {why}") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Refused(f"{folder}: is no bundle of {route.pipeline}: {error}") from error


def _tried(configuration: Configuration, versions: Versions, route: Route, digest: str, source: str) -> Bundle:
    """Run the pipeline's example study with a bundle of the store, in a process of its own."""
    from node.run.messages import Tried, Try
    from node.run.pool import Pool

    run, out = configuration.run, console()
    settings = placed(stored_settings(route.pipeline, route.settings, digest, versions.data), versions.data)
    pool = Pool(1, run.time_limit_s, run.memory_limit_mb, environment=run.environment)
    with tempfile.TemporaryDirectory(prefix="condyle-") as folder, contextlib.closing(pool):
        try:
            answer = pool.call(Try(Path(folder), route.pipeline, settings))
        except UnsuitableInput as error:
            raise Refused(str(error)) from error
    assert isinstance(answer, Tried)
    if answer.remark:
        out.print(f"tried: {answer.remark}", style="yellow", markup=False)
    else:
        out.print(f"tried: it ran on the simulated example study, and {answer.objects} objects were made", markup=False)
    return Bundle(digest, answer.weights, answer.trained_on, source)
