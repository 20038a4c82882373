"""The configuration with all that only the pipelines know: which of their settings are paths, who states risks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from node.config import Configuration, read
from node.config.post_back import with_fhir_destination
from pipelines.registry import UnknownPipeline, pipeline_type


def read_with_settings(path: Path) -> Configuration:
    """The configuration in `path`, with relative paths in pipelines' settings relative to its folder too.

    Which settings are paths, only the pipelines know; so this imports them, and `node.config.read` does not. Where
    `records.fhir.post_back` is on, the FHIR server is a destination of the routes that state risks.

    Raises
    ------
    ConfigurationError
        As `node.config.read`; what is wrong with the settings themselves `node.route.checks` says.
    """
    return with_settings(read(path), path.absolute().parent)


def with_settings(configuration: Configuration, folder: Path) -> Configuration:
    """A configuration that was read from `folder`, as `read_with_settings` gives it."""
    routes = {
        name: route.model_copy(update={"settings": _whole(route.pipeline, route.settings, folder)})
        for name, route in configuration.routes.items()
    }
    return with_fhir_destination(configuration.model_copy(update={"routes": routes}))


def _whole(pipeline: str, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    paths = _paths_among(pipeline)
    return {
        key: str(folder / Path(value).expanduser()) if key in paths and isinstance(value, str) else value
        for key, value in settings.items()
    }


def paths_in_settings(configuration: Configuration) -> tuple[Path, ...]:
    """The files and folders that the pipelines read, as the settings of the routes name them."""
    return tuple(
        Path(value).absolute()
        for route in configuration.routes.values()
        for key, value in route.settings.items()
        if key in _paths_among(route.pipeline) and isinstance(value, str)
    )


def _paths_among(pipeline: str) -> set[str]:
    try:
        fields = pipeline_type(pipeline).settings_type.model_fields
    except UnknownPipeline:
        return set()
    return {name for name, field in fields.items() if _is_path(field.annotation)}


def _is_path(annotation: object) -> bool:
    return annotation is Path or Path in get_args(annotation)
