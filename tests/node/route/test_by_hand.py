"""Which route says how a pipeline is run by hand, and what is said where none does."""

from __future__ import annotations

import pytest

from node.config import Configuration
from node.route.by_hand import UnknownName, route_for


def configuration() -> Configuration:
    def route(pipeline: str) -> dict[str, object]:
        return {"when": {}, "pipeline": pipeline, "destinations": ["out"], "shadow": pipeline == "c"}

    folders = {name: {"kind": "folder", "path": name} for name in ("out", "other")}
    routes = {"one": route("a"), "two": route("b"), "three": route("b"), "four": route("c")}
    return Configuration.model_validate({"destinations": folders, "routes": routes})


def test_a_pipeline_or_a_route_is_enough() -> None:
    assert route_for(configuration(), "a", "", ())[0] == "one"
    assert route_for(configuration(), "", "three", ())[0] == "three"
    assert route_for(configuration(), "b", "two", ())[0] == "two"


def test_other_destinations_take_the_place_of_the_routes_and_end_its_shadow() -> None:
    _, route = route_for(configuration(), "c", "", ["other"])
    assert (route.destination_names, route.shadow) == (("other",), False)


@pytest.mark.parametrize(
    ("pipeline", "name", "to", "told"),
    [
        ("", "", [], "route: is missing; should be the name of a route"),
        ("b", "", [], "route: two, three run it; should say whose settings"),
        ("b", "one", [], "route: there is no route that runs b; there are: two, three"),
        ("", "onne", [], "there are: one, two, three, four; did you mean 'one'?"),
        ("x", "", [], "pipeline: no route runs it; the routes run: a, b, c"),
        ("a", "", ["outt"], "destinations: one is not configured; there are: out, other; did you mean 'out'?"),
    ],
)
def test_what_cannot_be_meant_is_told(pipeline: str, name: str, to: list[str], told: str) -> None:
    with pytest.raises(UnknownName) as error:
        route_for(configuration(), pipeline, name, to)
    assert told in str(error.value)
