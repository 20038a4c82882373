"""A configuration file is read and held against everything that it names, as at the start of a node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.access.checks import ways_to_sign_in
from node.alerts import checks as alert_checks
from node.config import Configuration, checks
from node.config.bundle_checks import bundles
from node.config.reading import read_leniently
from node.config.route_settings import with_settings
from node.config.yaml_file import YamlFile
from node.errors import ConfigurationError
from node.models import checks as model_checks
from node.route import checks as route_checks


@dataclass(frozen=True)
class FitConfiguration:
    """What was read from a file, and can be worked by."""

    configuration: Configuration
    digest: str  # SHA-256 of the file


def read_fit(path: Path) -> FitConfiguration:
    """The configuration in `path`, checked as a whole.

    Raises
    ------
    ConfigurationError
        With everything that is wrong with it, each with its line.
    """
    reading = read_leniently(path)
    if reading.mistakes:
        raise ConfigurationError("\n".join(reading.file.listed(reading.results())))
    configuration = with_settings(reading.configuration, path.absolute().parent)
    require_fit(configuration, path)
    return FitConfiguration(configuration, reading.file.digest)


def require_fit(configuration: Configuration, path: Path) -> None:
    """Raise `ConfigurationError` with all that would keep the node from its work, each with its line."""
    found = [
        result
        for look in (
            route_checks.routes,
            model_checks.versions,
            bundles,
            alert_checks.rules,
            ways_to_sign_in,
            *checks.AT_START,
        )
        for result in look(configuration)
    ]
    if wrong := [result for result in found if result.state == "bad"]:
        raise ConfigurationError("\n".join(YamlFile(path).listed(wrong)))
