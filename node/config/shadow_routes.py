"""Routes that shadow another one: what they do not say themselves, they take from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dicom_sr.words import did_you_mean

TAKEN = ("when", "level", "pipeline")  # as of the other route where they are not given
NO_SETTING_OF_ANOTHER = "sha256"  # is of a bundle, and does not go with another one


def filled_in(values: Any) -> Any:
    """The sections of a configuration with every route that has ``shadow_of`` complete.

    It takes what it is run on and which pipeline runs from the other route, and the settings one by one; it sends
    nothing, and runs after the other one unless it has a priority of its own.

    Parameters
    ----------
    values
        As they were read.

    Raises
    ------
    ValueError
        If there is no such route; the message names the key.
    """
    routes = values.get("routes") if isinstance(values, Mapping) else None
    if not isinstance(routes, Mapping):
        return values
    shadows = {name for name, route in routes.items() if isinstance(route, Mapping) and route.get("shadow_of")}
    if not shadows:
        return values
    if wrong := list(_wrong(routes, shadows)):
        raise ValueError("\n".join(wrong))
    return {**values, "routes": {name: _complete(routes, name) if name in shadows else routes[name] for name in routes}}


def _wrong(routes: Mapping[str, Any], shadows: set[str]) -> Iterator[str]:
    fit = [name for name in routes if name not in shadows]
    for name in shadows:
        of, key = routes[name]["shadow_of"], f"routes.{name}"
        if of not in fit:
            known = ", ".join(map(str, fit)) or "none"
            yield f"{key}.shadow_of: {of!r}: should be a route that shadows none: {known}{did_you_mean(of, fit)}"
        if routes[name].get("destinations"):
            yield f"{key}.destinations: a shadow sends nothing; leave them out"
        if routes[name].get("shadow") is False:
            yield f"{key}.shadow: a shadow sends nothing; leave it out"


def _complete(routes: Mapping[str, Any], name: str) -> dict[str, Any]:
    own = routes[name]
    other = routes[own["shadow_of"]]
    if not isinstance(other, Mapping):  # it is wrong itself, which is said of it
        return {**own, "destinations": (), "shadow": True}
    taken = {key: other[key] for key in TAKEN if key in other}
    priority = other.get("priority", 100)
    after = {"priority": priority + 1} if isinstance(priority, int) else {}
    return {**taken, **after, **own, "settings": _settings(own, other), "destinations": (), "shadow": True}


def _settings(own: Mapping[str, Any], other: Mapping[str, Any]) -> Any:
    mine, theirs = own.get("settings") or {}, other.get("settings") or {}
    if not isinstance(mine, Mapping) or not isinstance(theirs, Mapping):
        return mine
    if own.get("pipeline", other.get("pipeline")) != other.get("pipeline"):
        return dict(mine)
    without = {NO_SETTING_OF_ANOTHER} if "bundle" in mine else set()
    return {**{key: value for key, value in theirs.items() if key not in without}, **mine}
