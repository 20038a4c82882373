"""Are the routes fit to run: matcher, pipeline, settings and level of each?"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from node.config import Configuration, FhirDestination, Route
from node.config.checks import CheckResult
from node.errors import ConfigurationError
from node.route.match import matcher
from pipelines.base import answers_from_record
from pipelines.registry import UnknownPipeline, pipeline_type


def routes(configuration: Configuration) -> Iterator[CheckResult]:
    """Matcher, pipeline, settings and level of every route."""
    if not configuration.routes:
        yield CheckResult("routes", "doubtful", "is empty: everything is stored and nothing is run")
    for name, route in configuration.routes.items():
        problems = [CheckResult(f"routes.{name}", "bad", problem) for problem in _route_problems(name, route)]
        yield from problems
        if not problems:
            goes = ", ".join(route.destinations) if route.destinations and not route.shadow else "nowhere (shadow)"
            yield CheckResult(f"routes.{name}", "good", f"{route.level} -> {route.pipeline} -> {goes}")
        if not route.when:
            yield CheckResult(f"routes.{name}.when", "doubtful", f"is empty: every {route.level} matches")
        servers = [one for one in route.destinations if isinstance(configuration.destinations[one], FhirDestination)]
        if servers and not problems and not answers_from_record(pipeline_type(route.pipeline)):
            sentence = f"{route.pipeline} states no risk: nothing goes to {', '.join(servers)}"
            yield CheckResult(f"routes.{name}.destinations", "doubtful", sentence)
        if not route.destinations and not route.shadow:
            yield CheckResult(f"routes.{name}.destinations", "doubtful", "is empty: results are made and sent nowhere")


def _route_problems(name: str, route: Route) -> Iterator[str]:
    try:
        matcher(route.when, f"routes.{name}.when", route.level)
    except ConfigurationError as error:
        yield str(error)
    try:
        kind = pipeline_type(route.pipeline)
        kind(kind.settings_type(**route.settings))
    except UnknownPipeline as error:
        yield f"routes.{name}.pipeline: {error}"
    except ValidationError as error:
        for wrong in error.errors():
            key = ".".join(str(part) for part in wrong["loc"])
            known = ", ".join(kind.settings_type.model_fields) or "none"
            explanation = (
                f"there is no such setting; there are: {known}" if wrong["type"] == "extra_forbidden" else wrong["msg"]
            )
            yield f"routes.{name}.settings.{key}: {wrong.get('input')!r}: {explanation}"
    except (OSError, ValueError, TypeError) as error:  # weights that are missing or not what they should be
        yield f"routes.{name}.pipeline: {route.pipeline} cannot be used: {error}"
    else:
        if kind.level != route.level:
            yield f"routes.{name}.level: {route.level!r}: should be {kind.level!r}, which {route.pipeline} works on"
