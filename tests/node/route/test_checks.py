"""Are the routes fit to run?"""

from __future__ import annotations

from typing import Any

import pytest

from node.config import Configuration
from node.route.checks import routes
from pipelines.base import answers_from_record
from pipelines.registry import names, pipeline_type

SERIES = next(name for name in names() if pipeline_type(name).level == "series")
RISK = next(name for name in names() if answers_from_record(pipeline_type(name)))


def results(**route: object) -> list[tuple[str, str, str]]:
    section = {"when": {"Modality": "MR"}, "pipeline": SERIES, "destinations": [], "shadow": True, **route}
    configuration = Configuration.model_validate({"routes": {"one": section}})
    return [(result.key, result.state, result.sentence) for result in routes(configuration)]


def test_a_sound_route_says_what_it_does() -> None:
    assert results() == [("routes.one", "good", f"series -> {SERIES} -> nowhere (shadow)")]


def test_no_route_is_doubtful() -> None:
    assert [result.state for result in routes(Configuration())] == ["doubtful"]


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ({"pipeline": "none"}, "routes.one.pipeline: "),
        ({"level": "study"}, f"routes.one.level: 'study': should be 'series', which {SERIES} works on"),
        ({"settings": {"no_such": 1}}, "routes.one.settings.no_such: 1: there is no such setting; there are: "),
        ({"when": {"Modalty": "MR"}}, "routes.one.when"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(route: dict[str, object], message: str) -> None:
    (found,) = [f"{key}: {sentence}" for key, state, sentence in results(**route) if state == "bad"]
    assert found.startswith(message)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    when = {"Modalty": "MR", "any_of": [{"EchoTime": {"min": "4"}}, {"not": {"EchoTime": "short"}}]}
    found = [key for key, state, _ in results(when=when, settings={"no_such": 1}) if state == "bad"]
    assert found == [
        "routes.one.when.Modalty",
        "routes.one.when.any_of.0.EchoTime.min",
        "routes.one.when.any_of.1.not.EchoTime",
        "routes.one.settings.no_such",
    ]


def test_a_route_for_everything_that_sends_nowhere_is_doubtful_twice() -> None:
    found = [key for key, state, _ in results(when={}, shadow=False) if state == "doubtful"]
    assert found == ["routes.one.when", "routes.one.destinations"]


@pytest.mark.parametrize(("pipeline", "level", "doubtful"), [(SERIES, "series", True), (RISK, "study", False)])
def test_a_fhir_server_on_a_route_that_states_no_risk_is_doubtful(pipeline: str, level: str, doubtful: bool) -> None:
    route = {"when": {"Modality": "MR"}, "pipeline": pipeline, "level": level, "destinations": ["emr"]}
    sections: dict[str, Any] = {
        "routes": {"one": route},
        "destinations": {"emr": {"kind": "fhir", "url": "http://127.0.0.1:1"}},
    }
    found = [r.sentence for r in routes(Configuration.model_validate(sections)) if r.state == "doubtful"]
    assert found == ([f"{pipeline} states no risk: nothing goes to emr"] if doubtful else [])
    sections["destinations"]["emr"]["resources"] = ["diagnostic_report"]  # which every pipeline makes
    assert [r.sentence for r in routes(Configuration.model_validate(sections)) if r.state == "doubtful"] == []


def test_a_bundle_of_another_digest_than_the_settings_name_is_refused() -> None:
    kind = pipeline_type(SERIES)
    own = kind(kind.settings_type()).model.weights_digest
    (good,) = results(settings={"sha256": own})
    assert good[1] == "good"
    (key, state, sentence) = results(settings={"sha256": "ab" * 32})[0]
    assert (key, state) == ("routes.one.settings.sha256", "bad")
    assert own in sentence
    assert "ab" * 32 in sentence
