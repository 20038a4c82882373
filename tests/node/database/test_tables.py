"""Each table is written by the modules that `node.database.tables` names, and by no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from node.database import tables

ROOT = Path(tables.__file__).parents[2]
ROWS = {name for name in vars(tables) if name.endswith("Row")}
WRITES = {"insert", "update", "delete"}


def stated_writers() -> dict[str, set[str]]:
    """The table in the module's docstring."""
    lines = re.findall(r"^(\w+Row) +(.+(?:\n {16,}.+)*)$", str(tables.__doc__), re.MULTILINE)
    return {row: {module.strip() for module in modules.split(",")} for row, modules in lines}


@cache
def writers_found(folder: Path = ROOT) -> dict[str, set[str]]:
    """Which modules of the node make rows, or insert, update or delete them."""
    found: dict[str, set[str]] = {row: set() for row in ROWS}
    for path in sorted((folder / "node").rglob("*.py")):
        if "migrations" in path.parts:
            continue
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        for row in _written(ast.parse(path.read_text(encoding="utf-8"))):
            found[row].add(module)
    return found


def _written(tree: ast.Module) -> Iterator[str]:
    imported = {
        name.asname or name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names
    }
    rows = ROWS & imported
    plain_tables = {  # associations = AssociationRow.__table__
        target.id: row.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
        for row in _rows_in(node.value)
        if any(isinstance(part, ast.Attribute) and part.attr == "__table__" for part in ast.walk(node.value))
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in rows:
            yield name
        elif name in WRITES and node.args and isinstance(node.args[0], ast.Name):
            argument = plain_tables.get(node.args[0].id, node.args[0].id)
            # a table that stands in a variable may be any of those that the module knows
            yield from [argument] if argument in rows else rows if argument == "table" else ()


def _rows_in(value: ast.expr) -> Iterator[ast.Name]:
    return (part for part in ast.walk(value) if isinstance(part, ast.Name) and part.id in ROWS)


def test_every_table_says_who_writes_it() -> None:
    assert stated_writers().keys() == ROWS


@pytest.mark.parametrize("row", sorted(ROWS))
def test_a_table_is_written_by_those_modules_only(row: str) -> None:
    assert writers_found()[row] == stated_writers()[row]


def test_a_write_in_another_module_is_found(tmp_path: Path) -> None:
    stray = tmp_path / "node" / "status" / "stray.py"
    stray.parent.mkdir(parents=True)
    stray.write_text("from node.database.tables import LaneRow\nstatement = update(LaneRow).values(owner='me')\n")
    assert writers_found(tmp_path)["LaneRow"] == {"node.status.stray"}
