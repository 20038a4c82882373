"""A route as the fields of a form, and back; fields that a browser sent are texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.config.yaml_file import plain_text, plain_value

NEW_ROWS = 2  # empty ones, for what is added
LEVELS = ("series", "study")
OWN = ("when", "level", "pipeline", "settings", "destinations", "priority", "shadow")
DEFAULTS: Mapping[str, Any] = {"level": "series", "priority": 100, "shadow": False, "settings": {}}


@dataclass(frozen=True)
class Pair:
    """A key with its value, as texts."""

    key: str
    value: str


@dataclass(frozen=True)
class DestinationField:
    """A destination that a route may name."""

    name: str
    chosen: bool
    when: str  # about the result; empty: every one


@dataclass(frozen=True)
class RouteForm:
    """One route in a form."""

    name: str
    level: str
    pipeline: str
    priority: str
    shadow: bool
    clauses: tuple[Pair, ...]
    settings: tuple[Pair, ...]
    destinations: tuple[DestinationField, ...]


class WrongField(ValueError):
    """A field that means nothing; says which, and why."""


def form_of(name: str, values: Mapping[str, Any], destinations: Sequence[str]) -> RouteForm:
    """The form of a route.

    Parameters
    ----------
    name
        Its name.
    values
        What stands below it in the configuration.
    destinations
        All that there are.
    """
    conditions = dict(_destinations(values.get("destinations")))
    return RouteForm(
        name=name,
        level=str(values.get("level", "series")),
        pipeline=str(values.get("pipeline", "")),
        priority=plain_text(values.get("priority", 100)),
        shadow=values.get("shadow") is True,
        clauses=_pairs(values.get("when")),
        settings=_pairs(values.get("settings")),
        destinations=tuple(
            DestinationField(one, one in conditions, conditions.get(one, ""))
            for one in dict.fromkeys([*destinations, *conditions])
        ),
    )


def _pairs(values: object) -> tuple[Pair, ...]:
    there = values.items() if isinstance(values, Mapping) else ()
    return (*(Pair(str(key), plain_text(value)) for key, value in there), *[Pair("", "")] * NEW_ROWS)


def _destinations(values: object) -> Iterator[tuple[str, str]]:
    for one in values if isinstance(values, list) else ():
        if isinstance(one, Mapping):
            yield str(one.get("to", "")), plain_text(one.get("when", {}))
        else:
            yield str(one), ""


def values_of(fields: Mapping[str, str], before: Mapping[str, Any]) -> dict[str, Any]:
    """What stands below a route in the configuration, by the fields of its form.

    Parameters
    ----------
    fields
        As a browser sent them.
    before
        What stands there now: what the form has no field for is kept, and what is as by default stays unsaid.

    Raises
    ------
    WrongField
        If one of them is no value.
    """
    told: dict[str, Any] = {
        "when": _read_pairs(fields, "when"),
        "level": fields.get("level", "series"),
        "pipeline": fields.get("pipeline", ""),
        "settings": _read_pairs(fields, "settings"),
        "destinations": [*_read_destinations(fields)],
        "priority": _read("priority", fields.get("priority", "") or "100"),
        "shadow": "shadow" in fields,
    }
    kept = {key: value for key, value in told.items() if key in before or key not in DEFAULTS or value != DEFAULTS[key]}
    if before.get("shadow_of"):  # what is not said is taken from the other route
        kept = {key: value for key, value in kept.items() if key in before or value not in ({}, [], "")}
    return {**{key: kept[key] for key in OWN if key in kept}, **{k: v for k, v in before.items() if k not in OWN}}


def _read_pairs(fields: Mapping[str, str], kind: str) -> dict[str, Any]:
    numbers = sorted(int(name.rpartition(".")[2]) for name in fields if name.startswith(f"{kind}.key."))
    found: dict[str, Any] = {}
    for number in numbers:
        key, value = (fields.get(f"{kind}.{what}.{number}", "").strip() for what in ("key", "value"))
        if not key:
            continue
        if key in found:
            raise WrongField(f"{kind}.{key}: is there twice; put both under all_of")
        found[key] = _read(f"{kind}.{key}", value)
    return found


def _read_destinations(fields: Mapping[str, str]) -> Iterator[Any]:
    for name in fields:
        if name.startswith("to."):
            to = name.removeprefix("to.")
            when = fields.get(f"to-when.{to}", "").strip()
            yield {"to": to, "when": _read(f"destinations.{to}.when", when)} if when else to


def _read(key: str, text: str) -> Any:
    try:
        return plain_value(text)
    except ValueError as error:
        raise WrongField(f"{key}: {text}: {error}") from error
