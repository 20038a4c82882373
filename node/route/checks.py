"""Are the routes fit to run: matcher, pipeline, settings and level of each?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from dicom_sr.words import did_you_mean
from node.config import Configuration, Destination, FhirDestination, Route
from node.config.checks import CheckResult
from node.config.mistakes import Location, mistakes
from node.route import match
from node.route.destination_checks import destinations
from pipelines.base import answers_from_record
from pipelines.bundle import BundleError
from pipelines.loading import require_pinned
from pipelines.monai_bundle.settings import PREFIX
from pipelines.registry import UnknownPipeline, names, pipeline_type


def routes(configuration: Configuration) -> Iterator[CheckResult]:
    """Matcher, pipeline, settings and level of every route."""
    if not configuration.routes:
        yield CheckResult("routes", "doubtful", "is empty: everything is stored and nothing is run")
    for name, route in configuration.routes.items():
        problems = [CheckResult(key, "bad", sentence) for key, sentence in _route_problems(name, route)]
        yield from problems
        if not problems:
            goes = _where_results_go(route)
            if route.shadow_of is not None:
                goes = f"a local folder (shadow of {route.shadow_of})"
            yield CheckResult(f"routes.{name}", "good", f"{route.level} -> {route.pipeline} -> {goes}")
        if not route.when:
            yield CheckResult(f"routes.{name}.when", "doubtful", f"is empty: every {route.level} matches")
        yield from destinations(configuration, name, route)
        servers = [one for one in route.destination_names if _wants_risks_alone(configuration.destinations[one])]
        if servers and not problems and not answers_from_record(pipeline_type(route.pipeline)):
            sentence = f"{route.pipeline} states no risk: nothing goes to {', '.join(servers)}"
            yield CheckResult(f"routes.{name}.destinations", "doubtful", sentence)
        if not route.destinations and not route.shadow:
            yield CheckResult(f"routes.{name}.destinations", "doubtful", "is empty: results are made and sent nowhere")


def _wants_risks_alone(destination: Destination) -> bool:
    return isinstance(destination, FhirDestination) and set(destination.resources) == {"risk_assessment"}


def _where_results_go(route: Route) -> str:
    if not route.destinations or route.shadow:
        return "nowhere (shadow)"
    return ", ".join(f"{name}{' (some)' if name in route.conditions else ''}" for name in route.destination_names)


def _route_problems(name: str, route: Route) -> Iterator[tuple[str, str]]:
    """Key, and the sentence about it."""
    yield from match.problems(route.when, f"routes.{name}.when", route.level)
    if route.pipeline.startswith(PREFIX) and not route.settings:
        return  # the bundle is wrong, which is told where it stands
    try:
        kind = pipeline_type(route.pipeline)
        settings = kind.settings_type(**route.settings)
        pipeline = kind(settings)
        require_pinned(settings, pipeline.model)
    except UnknownPipeline as error:
        yield f"routes.{name}.pipeline", f"{error}{did_you_mean(route.pipeline, names())}"
    except ValidationError as error:
        for wrong in mistakes(error, kind.settings_type):
            value = _at(route.settings, wrong.where)
            shown = f"{value!r}: " if isinstance(value, str | int | float) else ""
            sentence = wrong.sentence.replace("no such key", "no such setting")
            yield f"routes.{name}.settings.{wrong.key}", f"{shown}{sentence}"
    except BundleError as error:
        if not route.pipeline.startswith(PREFIX):  # of bundles `node.config.bundle_checks` tells it where they stand
            yield f"routes.{name}.settings.sha256", str(error)
    except (OSError, ValueError, TypeError) as error:  # weights that are missing or not what they should be
        yield f"routes.{name}.pipeline", f"{route.pipeline!r}: cannot be used: {error}"
    else:
        level = pipeline.level  # of a bundle it follows from its inputs
        if level != route.level:
            yield f"routes.{name}.level", f"{route.level!r}: should be {level!r}, which {route.pipeline} works on"


def _at(settings: Mapping[str, Any], where: Location) -> Any:
    return settings.get(str(where[0])) if len(where) == 1 else None
