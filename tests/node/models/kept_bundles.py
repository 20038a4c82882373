"""Bundles of the trial pipeline in the store of a node, and put in force."""

from __future__ import annotations

from datetime import UTC, datetime

from node.models import store
from node.models.versions import Bundle, Versions
from pipelines.bundle import bundle_digest
from tests.node.run.trial import Bench
from tests.node.run.trial_pipelines import trial_bundle

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def kept(made: Bench, number: int) -> Bundle:
    """A bundle in the store."""
    folder = trial_bundle(made.folder / f"bundle-{number}", number)
    weights = bundle_digest({"number.txt": folder / "number.txt"})
    return Bundle(store.add(made.data, folder), weights, f"trained on {number}", str(folder))


def put(versions: Versions, bundle: Bundle, route: str = "knee") -> None:
    """Put it in force."""
    versions.use(route, "trial_bundle", bundle, "erika", NOW)
