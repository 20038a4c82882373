"""Every kind of line has its event in DICOM's words."""

from __future__ import annotations

import ast
import inspect

from node.audit.events import EVENTS, OTHER, event_of
from node.database import tables


def kinds() -> dict[str, str]:
    """The kinds that `node.database.tables` names, by the name of the constant: texts of several words."""
    named = [
        name.id
        for statement in ast.parse(inspect.getsource(tables)).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    ]
    values = {name: getattr(tables, name) for name in named if name != "WORKER_DIED"}  # of a job's timeline
    return {name: value for name, value in values.items() if isinstance(value, str) and " " in value}


def test_each_kind_that_the_node_writes_has_an_event_of_its_own() -> None:
    assert len(kinds()) >= 12
    assert {name for name, what in kinds().items() if what not in EVENTS} == set()


def test_another_kind_is_something_that_was_done() -> None:
    assert event_of("something else done") == OTHER
    assert event_of(tables.ERASED).id.value == "110105"
