"""Which route says how a pipeline is run that somebody asks for: its settings, and where the results go."""

from __future__ import annotations

from collections.abc import Sequence

from dicom_sr.words import did_you_mean
from node.config import Configuration, Route
from node.errors import NodeError


class UnknownName(NodeError):
    """A route, pipeline or destination that is none, or a choice that is missing; the message begins with the key."""


def route_for(configuration: Configuration, pipeline: str, name: str, to: Sequence[str]) -> tuple[str, Route]:
    """The route and its name.

    Parameters
    ----------
    pipeline, name
        Of the pipeline and of the route; one of them may be empty.
    to
        Destinations in place of the route's; empty: the route's.

    Raises
    ------
    UnknownName
    """
    routes = {key: one for key, one in configuration.routes.items() if pipeline in ("", one.pipeline)}
    if not pipeline and not name:
        raise UnknownName("route: is missing; should be the name of a route, or pipeline that of a pipeline")
    if name and name not in routes:
        which = f"that runs {pipeline}" if pipeline else "of that name"
        there = ", ".join(routes) or "none"
        raise UnknownName(f"route: there is no route {which}; there are: {there}{did_you_mean(name, routes)}")
    if not routes:
        known = sorted({one.pipeline for one in configuration.routes.values()})
        raise UnknownName(f"pipeline: no route runs it; the routes run: {', '.join(known) or 'none'}")
    if not name and len(routes) > 1:
        raise UnknownName(f"route: {', '.join(routes)} run it; should say whose settings and destinations to use")
    if unknown := [one for one in to if one not in configuration.destinations]:
        known = list(configuration.destinations)
        there = f"there are: {', '.join(known) or 'none'}"
        raise UnknownName(f"destinations: one is not configured; {there}{did_you_mean(unknown[0], known)}")
    name = name or next(iter(routes))
    found = routes[name]
    return name, found.model_copy(update={"destinations": tuple(to), "shadow": False}) if to else found
