"""A route in the fields of a form says the same when it comes back."""

from __future__ import annotations

from typing import Any

import pytest

from node.status.route_form import RouteForm, WrongField, form_of, values_of

ROUTE: dict[str, Any] = {
    "when": {
        "Modality": "MR",
        "ImageType": {"not": "LOCALIZER"},
        "any_of": [{"series.body_part": "knee"}, {"ReceiveCoilName": "*knee*"}],
        "SeriesDescription": "*sag*",
        "SliceThickness": 3.0,
    },
    "pipeline": "knee_super_resolution",
    "settings": {"method": "learned", "synthetic": True},
    "destinations": ["pacs", {"to": "ris", "when": {"state": "done"}}],
}


def sent(form: RouteForm) -> dict[str, str]:
    """What a browser sends of the form."""
    fields = {"name": form.name, "level": form.level, "pipeline": form.pipeline, "priority": form.priority}
    for kind, pairs in (("when", form.clauses), ("settings", form.settings)):
        for number, pair in enumerate(pairs):
            fields |= {f"{kind}.key.{number}": pair.key, f"{kind}.value.{number}": pair.value}
    for one in form.destinations:
        fields |= {f"to.{one.name}": "on"} if one.chosen else {}
        fields[f"to-when.{one.name}"] = one.when
    return {**fields, **({"shadow": "on"} if form.shadow else {})}


@pytest.mark.parametrize(
    "route",
    [
        ROUTE,
        {**ROUTE, "level": "study", "priority": 5, "shadow": True},
        {"shadow_of": "knee", "settings": {"bundle": "/etc/x"}},
        {"when": {}, "pipeline": "p", "destinations": []},
    ],
)
def test_a_route_comes_back_from_the_form_as_it_was(route: dict[str, Any]) -> None:
    assert values_of(sent(form_of("knee", route, ["pacs", "ris", "web"])), route) == route


def test_what_is_filled_in_is_what_the_route_says_then() -> None:
    fields = sent(form_of("knee", ROUTE, ["pacs", "ris", "web"]))
    fields |= {"when.key.5": "EchoTime", "when.value.5": "{min: 5}", "to.web": "on", "priority": "7", "when.key.1": ""}
    values = values_of(fields, ROUTE)
    assert values["when"]["EchoTime"] == {"min": 5}
    assert "ImageType" not in values["when"]
    assert (values["priority"], values["destinations"][-1]) == (7, "web")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("when.value.0", "{min: ", "when.Modality: {min:: is not complete"),
        ("when.key.1", "Modality", "when.Modality: is there twice"),
        ("to-when.ris", "[done", "destinations.ris.when: [done: is not complete"),
    ],
)
def test_a_field_that_means_nothing_is_named(field: str, value: str, told: str) -> None:
    with pytest.raises(WrongField) as error:
        values_of({**sent(form_of("knee", ROUTE, ["pacs", "ris"])), field: value}, ROUTE)
    assert str(error.value).startswith(told)
