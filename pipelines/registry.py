"""Finds pipelines by their names and imports only the one that is asked for."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from pipelines.base import Pipeline

GROUP = "condyle.pipelines"
BUNDLE = "bundle:"  # before the name of an entry of `bundles:` in the configuration


class UnknownPipeline(LookupError):
    """No installed package declares a pipeline of that name."""


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {entry_point.name: entry_point for entry_point in entry_points(group=GROUP)}


def names() -> tuple[str, ...]:
    """The names of all installed pipelines, sorted; imports none of them."""
    return tuple(sorted(_entry_points()))


def pipeline_type(name: str) -> type[Pipeline]:
    """The class of the pipeline called `name`; imports its module. That of a bundle has the name ``bundle:NAME``.

    Raises
    ------
    UnknownPipeline
        If no installed package declares it; the message lists those there are.
    """
    if name.startswith(BUNDLE):
        from pipelines.monai_bundle.pipeline import named

        return named(name.removeprefix(BUNDLE))
    try:
        entry_point = _entry_points()[name]
    except KeyError:
        known = ", ".join(names()) or "none"
        raise UnknownPipeline(f"no pipeline is called {name!r}; installed: {known}") from None
    found: type[Pipeline] = entry_point.load()
    return found
