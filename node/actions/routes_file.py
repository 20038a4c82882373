"""The routes in a configuration file are replaced, and nothing else in it: comments and other sections stay."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from stat import S_IMODE
from typing import Any

import yaml
from sqlalchemy.orm import Session

from node.actions.configuration import read_fit
from node.config.routes_section import KEY, RoutesSection
from node.config.yaml_file import YamlFile
from node.database import audit
from node.database.connection import Database
from node.database.tables import ROUTES_CHANGED
from node.errors import ConfigurationError, NodeError
from node.files import copy_whole, write_whole


class ChangedMeanwhile(NodeError):
    """The file is another than the one that was looked at."""


class RoutesFile:
    """The routes of one configuration file.

    Parameters
    ----------
    path
        The file; links are followed, so that they stay.
    database
        For the audit trail.
    """

    def __init__(self, path: Path, database: Database) -> None:
        self._path, self._database = path.absolute(), database

    def apply(self, routes: str | Mapping[str, Any], by: str, *, seen: str) -> Path:
        """Write the file with these routes; the copy of the file before, which lies beside it.

        The file is replaced in one step, after the new one was checked as at a start: a crash leaves one or the other.

        Parameters
        ----------
        routes
            The section as YAML, with ``routes:`` in front or without, or as plain values.
        by
            Who changes them.
        seen
            Digest of the file that they were made for.

        Raises
        ------
        ChangedMeanwhile
            If it is another now.
        ConfigurationError
            If the routes cannot be used, with everything that is wrong, or if the file cannot be written.
        """
        target = self._path.resolve()
        try:
            new = self._checked(self._with(routes, seen), target)
            kept = target.with_name(f"{target.name}.{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
            mode = S_IMODE(target.stat().st_mode)
            self._require(seen)  # to check it took a while
            copy_whole(target, kept, sync="name", mode=mode)
            write_whole(target, new.encode(), sync="name", mode=mode)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigurationError(f"{self._path}: cannot be written: {reason}") from error
        after = YamlFile(self._path)
        with Session(self._database) as session, session.begin():
            facts = {"before": seen, "after": after.digest, "kept_as": kept.name}
            audit.note(session, ROUTES_CHANGED, by, file=self._path.name, change=facts)
        return kept

    def _require(self, seen: str) -> YamlFile:
        file = YamlFile(self._path)
        if file.digest != seen:
            raise ChangedMeanwhile(f"{self._path.name} has been changed since it was looked at: look at it again")
        return file

    def _with(self, routes: str | Mapping[str, Any], seen: str) -> str:
        """The text of the file with other routes."""
        file = self._require(seen)
        if not isinstance(file.values, dict) or file.in_brackets:
            raise ConfigurationError(f"{self._path}: is written with brackets; routes can be changed by hand only")
        return RoutesSection.in_text(self._path, file.text).whole(_as_section(routes))

    def _checked(self, text: str, target: Path) -> str:
        """The text, if a node can work by it; it is looked at in the same folder, as paths in it are relative."""
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".yaml", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
            read_fit(Path(name))
        except ConfigurationError as error:
            raise ConfigurationError(str(error).replace(name, str(self._path))) from None
        finally:
            Path(name).unlink(missing_ok=True)
        return text


def _as_section(routes: str | Mapping[str, Any]) -> str:
    """The section as it stands in a file.

    Raises
    ------
    ConfigurationError
        If a text is no YAML, or is not the section alone.
    """
    if not isinstance(routes, str):
        content = {KEY: dict(routes)}
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=False, width=110)
    text = routes.replace("\r\n", "\n").replace("\r", "\n")
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ConfigurationError(f"{KEY}: {where}is not YAML: {getattr(error, 'problem', None)}") from error
    if isinstance(found, dict) and list(found) == [KEY]:
        return text
    if found is not None and not isinstance(found, dict):
        raise ConfigurationError(f"{KEY}: should be routes by name, each with when, pipeline and destinations")
    if not found:
        return f"{KEY}: {{}}"
    return f"{KEY}:\n" + "\n".join(f"  {line}" if line.strip() else "" for line in text.split("\n"))
