"""`config.yaml` is read: all its mistakes at once, each with its line, and what is left without them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from node.config.check_result import CheckResult
from node.config.mistakes import Location, Mistake, dotted, mistakes
from node.config.sections import Configuration
from node.config.yaml_file import YamlFile
from node.errors import ConfigurationError
from pipelines.monai_bundle.settings import PREFIX

SECRET = "token"  # the value of a key of this name is never shown
_ROUNDS = 100  # a configuration with more mistakes, each hidden by the one before, is not one


@dataclass(frozen=True)
class Reading:
    """What was read from a file."""

    file: YamlFile
    configuration: Configuration  # without the parts that are wrong
    mistakes: tuple[Mistake, ...]
    left_out: frozenset[str]  # keys of the parts that are wrong

    def results(self) -> list[CheckResult]:
        """Every mistake with its value, and what would be right."""
        return [CheckResult(mistake.key, "bad", self._with_value(mistake)) for mistake in self.mistakes]

    def follows(self, result: CheckResult) -> bool:
        """Whether a result says something only because parts that are wrong were left out."""
        if result.state == "doubtful" and any(left.startswith(f"{result.key}.") for left in self.left_out):
            return True  # such as a section that is empty now
        return self.lacks(result.key)

    def lacks(self, key: str) -> bool:
        """Whether `key` is, or is below, a part that was left out."""
        return any(key == left or key.startswith(f"{left}.") for left in self.left_out)

    def _with_value(self, mistake: Mistake) -> str:
        value = self.file.shown(mistake.key)
        if value is None or mistake.where[-1:] == (SECRET,):
            return mistake.sentence
        return f"{value}: {mistake.sentence}"


def read(path: Path) -> Configuration:
    """The configuration in `path`; paths in it are relative to the folder that it is in.

    Raises
    ------
    ConfigurationError
        Naming the file, the line, the key, the value and what would be right; one line per mistake.
    """
    reading = read_leniently(path)
    if reading.mistakes:
        raise ConfigurationError("\n".join(reading.file.listed(reading.results())))
    return reading.configuration


def read_leniently(path: Path, text: str | None = None) -> Reading:
    """The configuration in `path` as far as it can be used, and all its mistakes.

    Parameters
    ----------
    path
        The file.
    text
        What is taken for its content; None: what is in it.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or is no YAML, so that nothing can be said of its parts.
    """
    file = YamlFile(path, text)
    if not isinstance(file.values, dict):
        raise ConfigurationError(f"{path}: holds no sections; it should begin with a line such as 'node:'")
    values, context = copy.deepcopy(file.values), {"folder": path.absolute().parent}
    found: dict[Location, Mistake] = {}
    left_out: set[Location] = set()
    for _ in range(_ROUNDS):
        try:
            configuration = Configuration.model_validate(values, context=context)
        except ValidationError as error:
            wrong = mistakes(error, Configuration)
            for mistake in wrong:
                if not _follows(mistake, left_out, values, file.values):
                    found.setdefault(mistake.where, mistake)
            cut: set[Location] = set()
            for mistake in reversed(wrong):  # the last item of a list first, so that the others keep their places
                if (where := _to_cut(mistake)) not in cut:  # an item may lack two things
                    cut.add(_cut(values, where))
            left_out |= cut
        else:
            return Reading(file, configuration, tuple(found.values()), frozenset(map(dotted, left_out)))
    raise ConfigurationError(f"{path}: has too many mistakes to tell them apart; begin with the example config.yaml")


def _follows(mistake: Mistake, left_out: set[Location], values: Any, whole: Any) -> bool:
    """Whether it is one only because a part that was wrong has been left out."""
    if mistake.missing:
        return mistake.where in left_out
    name = _at(values, mistake.where)
    if name in ({}, []) and any(part[: len(mistake.where)] == mistake.where for part in left_out):
        return True  # it is empty now
    if not isinstance(name, str):
        return False
    declared: tuple[Location, ...] = (
        *(("destinations", name), ("routes", name), ("bundles", name.removeprefix(PREFIX))),
        *(("alerts", "channels", name), ("alerts", "rules", name)),
    )
    return any(
        _at(whole, where) is not None and any(where == part[: len(where)] for part in left_out) for where in declared
    )


def _at(values: Any, where: Location) -> Any:
    for part in where:
        try:
            values = values[part]
        except (LookupError, TypeError):
            return None
    return values


def _to_cut(mistake: Mistake) -> Location:
    """Where what is wrong stands; where something is missing, what lacks it."""
    return mistake.where[:-1] if mistake.missing else mistake.where


def _cut(values: Any, where: Location) -> Location:
    """Take what stands at a place out of the tree. The path to what was taken out."""
    above = _at(values, where[:-1])
    if not where or not isinstance(above, dict | list):
        values.clear()
        return ()
    if isinstance(above, dict):
        above.pop(where[-1], None)
    else:
        del above[int(where[-1])]
    return where
