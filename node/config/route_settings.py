"""The configuration with all that only the pipelines know: which of their settings are paths, who states risks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from node.config import Configuration, Route, read
from node.config.post_back import with_fhir_destination
from pipelines.monai_bundle.confined import folders_of
from pipelines.monai_bundle.folder import rooms_of
from pipelines.monai_bundle.settings import PREFIX, BundleEntry
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
        name: route.model_copy(update={"settings": _of_route(route, configuration, folder)})
        for name, route in configuration.routes.items()
    }
    return with_fhir_destination(configuration.model_copy(update={"routes": routes}))


def _of_route(route: Route, configuration: Configuration, folder: Path) -> dict[str, Any]:
    """The settings of a route; those of a bundle stand with the bundle."""
    if route.pipeline.startswith(PREFIX):
        bundle = configuration.bundles.get(route.pipeline.removeprefix(PREFIX))
        return {} if bundle is None else bundle.model_dump(mode="json")
    return _whole(route.pipeline, route.settings, folder)


def _whole(pipeline: str, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    try:
        fields = pipeline_type(pipeline).settings_type.model_fields
    except UnknownPipeline:
        return settings
    paths = {name for name, field in fields.items() if _is_path(field.annotation)}
    return {key: _placed(value, folder) if key in paths else value for key, value in settings.items()}


def _is_path(annotation: object) -> bool:
    return annotation is Path or any(map(_is_path, get_args(annotation)))


def _placed(value: object, folder: Path) -> object:
    if isinstance(value, list):
        return [_placed(one, folder) for one in value]
    return str(folder / Path(value).expanduser()) if isinstance(value, str) else value


def paths_in_settings(configuration: Configuration) -> tuple[Path, ...]:
    """The files and folders that the pipelines read, as their settings name them, those that no route changes too."""
    found: list[Path] = []
    for route in configuration.routes.values():
        with suppress(UnknownPipeline, ValidationError):  # `node.route.checks` says so
            settings = pipeline_type(route.pipeline).settings_type(**route.settings)
            found += _of_bundle(settings) if isinstance(settings, BundleEntry) else _paths_in(settings)
    return tuple(dict.fromkeys(path.absolute() for path in found))


def _of_bundle(entry: BundleEntry) -> Iterator[Path]:
    """What is pinned of a bundle, and its own interpreter, which is more than a program."""
    yield from rooms_of(entry.path)
    if entry.python is not None:
        yield from (entry.python, *folders_of(entry.python))


def _paths_in(value: object) -> Iterator[Path]:
    if isinstance(value, Path):
        if value.parts:
            yield value
    elif isinstance(value, BaseModel):
        yield from _paths_in(dict(value))
    elif isinstance(value, Mapping):
        yield from _paths_in(list(value.values()))
    elif isinstance(value, Sequence | Set) and not isinstance(value, str | bytes):
        for one in value:
            yield from _paths_in(one)
