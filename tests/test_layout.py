"""The tree of the tests is that of the code: each module has its test file, or its package says where it is tested."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("dicom_sr", "node", "pipelines")
MODULES = [
    path.relative_to(ROOT)
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
    if path.name != "__init__.py" and "versions" not in path.parts
]


def place_of_tests(module: Path) -> Path:
    """Where the tests of a module belong."""
    return ROOT / "tests" / module.parent / f"test_{module.stem.strip('_')}.py"


def named_in_package(module: Path) -> bool:
    """Whether the package's docstring has a paragraph on tests that names the module."""
    package = ast.get_docstring(ast.parse((ROOT / module.parent / "__init__.py").read_text(encoding="utf-8"))) or ""
    paragraphs = [text for text in package.split("\n\n") if text.startswith("Tests:")]
    return any(f"`{module.stem}`" in re.sub(r"\s+", " ", text) for text in paragraphs)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_its_tests_where_they_are_looked_for(module: Path) -> None:
    assert place_of_tests(module).exists() or named_in_package(module), f"no {place_of_tests(module).relative_to(ROOT)}"
