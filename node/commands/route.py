"""`condyle route`: which routes match some files, and why."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.text import Text
from rich.tree import Tree

from dicom_sr.series import Series, Study
from dicom_sr.words import counted
from node.commands.exit_codes import NOT_RIGHT, OK
from node.commands.terminal import console
from node.config import Configuration, Route
from node.config.route_settings import read_with_settings
from node.errors import ConfigurationError, ReadingFailed, StorageAway
from node.matching.result import RESULT, result_facts
from node.route.decide import CompiledRoute, Decision, compile_routes, decide, keys
from node.route.facts import Facts, series_facts, with_study
from node.study.files import CANNOT_BE_READ, files_in, is_problem, readable_studies


def route(paths: Sequence[Path], config: Path, *, calling_ae_title: str, as_json: bool) -> int:
    """Print the decisions on the series and studies in `paths`.

    Parameters
    ----------
    paths
        DICOM files or folders.
    config
        The configuration file.
    calling_ae_title
        The AE title that is taken to have sent them.
    as_json
        Print the trace as the node stores it.
    """
    configuration = read_with_settings(config)
    try:
        routes = compile_routes(configuration)
    except ConfigurationError as error:
        raise ConfigurationError(f"{config}: {error}") from error
    out, complaints = console(), console(error=True)
    left_out = LeftOut(paths, complaints)
    studies = readable_studies(shown_reading(list(files_in(paths, left_out)), complaints), left_out)
    if not studies:
        complaints.print(f"{', '.join(map(str, paths))}: no DICOM files found", markup=False)
        return NOT_RIGHT
    decisions = [found for study in studies for found in _decisions(routes, study, calling_ae_title, studies, left_out)]
    if as_json:
        traces = [
            {"route": d.route, "level": d.level, "study_instance_uid": study.study_instance_uid, **d.trace}
            for study, d in decisions
        ]
        out.print_json(json.dumps(traces))
    else:
        for study in studies:
            out.print(_tree(study, [decision for of, decision in decisions if of is study], configuration))
    return NOT_RIGHT if left_out.problems else OK


class LeftOut:
    """Names each file that is not used, with the reason.

    Parameters
    ----------
    named
        Files and folders of the command line.
    complaints
        Where they are named.
    """

    def __init__(self, named: Collection[Path], complaints: Console) -> None:
        self._named, self.complaints, self.problems = frozenset(named), complaints, 0

    def __call__(self, path: Path, reason: str) -> None:
        """Name one; its path and the reason are a sentence."""
        self.problems += is_problem(path, reason, self._named)
        self.complaints.print(f"left out: {path} {reason}", style="yellow", markup=False)


def shown_reading(paths: Sequence[Path], complaints: Console) -> Iterable[Path]:
    """The paths, one after the other, with a bar on a terminal."""
    return track(paths, "Reading", console=complaints, transient=True, disable=not complaints.is_terminal)


def _facts(series: Series, asked: Sequence[str], left_out: LeftOut) -> Facts:
    """The facts of a series; of an image that cannot be read they say why, as the node's do once it is given up."""
    unread: dict[str, str] = {}
    try:
        found = series_facts(series, asked)
    except (ReadingFailed, StorageAway):
        for one in series.instances:
            try:
                series_facts(replace(series, instances=(one,)), asked)
            except (ReadingFailed, StorageAway) as error:
                unread[one.sop_instance_uid] = str(error)
        rest = tuple(one for one in series.instances if one.sop_instance_uid not in unread)
        found = series_facts(replace(series, instances=rest), asked)
    unread |= found.unread
    for one in series.instances:
        if one.sop_instance_uid in unread:
            left_out(one.path, f"{CANNOT_BE_READ}: {unread[one.sop_instance_uid]}")
    return replace(found, unread=unread)


def _decisions(
    routes: Sequence[CompiledRoute],
    study: Study,
    calling_ae_title: str,
    studies: Sequence[Study],
    left_out: LeftOut,
) -> Iterator[tuple[Study, Decision]]:
    sent = MappingProxyType({"calling_ae_title": calling_ae_title})
    series = [replace(one, attributes=sent) for one in study.series]
    others = {
        one.series_instance_uid: tuple(
            other.study_instance_uid
            for other in studies
            if other is not study and any(its.series_instance_uid == one.series_instance_uid for its in other.series)
        )
        for one in series
    }

    def with_others(facts: Facts) -> Facts:
        return replace(facts, other_studies=others[facts.series_instance_uid])

    asked = tuple(sorted(keys(routes)))
    facts = [with_others(_facts(one, asked, left_out)) for one in series]
    for one in facts:
        for decision in decide(routes, "series", [one]):
            yield study, decision
    for decision in decide(routes, "study", with_study(series, facts)):
        yield study, decision


def _tree(study: Study, decisions: Sequence[Decision], configuration: Configuration) -> Tree:
    tree = Tree(Text(f"study {study.study_instance_uid}", style="bold"))
    for one in study.series:
        instances = counted(len(one.instances), "instance")
        name = Text(f"{one.modality or '?'} series", style="bold")
        branch = tree.add(Text.assemble(name, f" {one.series_instance_uid}, {instances}"))
        found = [
            (decision, trace)
            for decision in decisions
            for trace in decision.trace["series"]
            if trace["series_instance_uid"] == one.series_instance_uid
        ]
        if unread := next((trace["unread"] for _, trace in found if trace["unread"]), ""):
            branch.add(Text(unread, style="red"))  # of all routes alike
            continue
        for decision, trace in found:
            _add_route(branch, decision, trace, configuration.routes[decision.route])
    return tree


def _add_route(branch: Tree, decision: Decision, trace: dict[str, Any], route: Route) -> None:
    matched = trace["matched"]
    what = "matches" if matched else "does not match"
    route_branch = branch.add(Text(f"route {decision.route}: {what}", style="green" if matched else "red"))
    for clause in trace["clauses"]:
        _add_clause(route_branch, clause)
    if matched:
        _add_conditions(route_branch, route)


def _add_conditions(branch: Tree, route: Route) -> None:
    """Say which destinations get the result only if it meets their conditions, which nobody knows yet."""
    for name, when in route.conditions.items():
        below = branch.add(Text(f"? to {name}, decided when there is a result:", style="yellow"))
        for clause in RESULT.matcher(when, "when").trace(result_facts("", None)).clauses:
            below.add(Text(f"{clause.key}: {clause.expected}"))


def _add_clause(branch: Tree, clause: dict[str, Any]) -> None:
    mark, style = ("✓", "green") if clause["holds"] else ("✗", "red")
    expected, found, inner = clause["expected"], clause["found"], clause.get("clauses", ())
    line = Text(f"{mark} ", style=style)
    line.append(clause["key"], style="bold")
    line.append(f": {expected}; {found}" if inner else f": found {found}, expected {expected}")
    below = branch.add(line)
    for nested in inner:
        _add_clause(below, nested)
