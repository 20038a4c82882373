"""The documents: every page can be reached, every link leads somewhere, and code cites only files that are there."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGES = ("dicom_sr", "pipelines", "node")
PAGES = sorted(DOCS.glob("*.md"))
# what stands outside the site, whose own links the build checks
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
DOCUMENTS += sorted((ROOT / "pipelines").glob("*/README.md"))
SOURCES = sorted(path for folder in (*PACKAGES, "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))

# per cent of the public modules, classes and functions that have a docstring; never to be lowered
DOCUMENTED = {"dicom_sr": 98.0, "pipelines": 98.0, "node": 97.0}

PARSER = MarkdownIt("commonmark").enable("table").use(anchors_plugin, max_level=6)


# ---- pages and links
def toctree_entries() -> set[str]:
    """What docs/index.md puts into the navigation, without the reference, which brings its own."""
    blocks = re.findall(r"(?ms)^```\{toctree\}\n(.*?)^```", (DOCS / "index.md").read_text(encoding="utf-8"))
    lines = {line for block in blocks for line in block.splitlines() if line and not line.startswith(":")}
    return {line for line in lines if not line.startswith("api/")}


def test_every_page_is_in_the_navigation() -> None:
    assert toctree_entries() == {page.stem for page in PAGES} - {"index"}


def links(path: Path) -> Iterator[str]:
    for token in PARSER.parse(path.read_text(encoding="utf-8")):
        for child in token.children or ():
            if target := child.attrGet("href") or child.attrGet("src"):
                yield str(target)


def anchors(path: Path) -> set[str]:
    return {str(token.attrGet("id")) for token in PARSER.parse(path.read_text(encoding="utf-8")) if token.attrGet("id")}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(path: Any) -> None:
    broken = []
    for link in links(path):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue  # elsewhere: no test needs the network
        file = path.parent / target if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


# ---- docstrings and comments
def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring and comment."""
    text = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring:
                yield node.body[0].lineno, docstring


FILE = re.compile(r"(?<![\w*<{])(?:[\w.-]+/)*[\w-]+\.(?:md|py|lua|sh)\b")
PLAN = re.compile(r"\b(?:reference|shared)/\w+|\breference (?:models|dicom|harness|engine|house|style)\b")


def test_code_cites_only_files_that_are_in_the_repository() -> None:
    parts = [part for part in ROOT.iterdir() if part.name not in {".git", ".venv", ".cache", ".mypy_cache"}]
    names = [f"/{path.relative_to(ROOT)}" for part in parts for path in (part, *part.rglob("*"))]
    cited: dict[str, str] = {}
    for source in SOURCES:
        for line, text in prose(source):
            for file in FILE.findall(text):
                cited.setdefault(file, f"{source.relative_to(ROOT)}:{line}: {file}")
            if found := PLAN.search(text):
                cited[found.group()] = f"{source.relative_to(ROOT)}:{line}: {found.group()}"
    missing = [where for file, where in cited.items() if not any(name.endswith(f"/{file}") for name in names)]
    assert missing == []


def public(module: griffe.Module | griffe.Class) -> Iterator[griffe.Object]:
    """Everything public in a module, itself included; a class's own methods, not those it inherits."""
    yield module
    for name, member in module.members.items():
        if name.startswith("_") or member.is_alias:
            continue
        if isinstance(member, griffe.Module | griffe.Class):
            yield from public(member)
        elif isinstance(member, griffe.Function):
            yield member


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_public_has_a_docstring(package: str) -> None:
    tree = griffe.load(package, search_paths=[ROOT], allow_inspection=False)
    assert isinstance(tree, griffe.Module)
    objects = [found for found in public(tree) if "migrations.versions" not in found.path]
    bare = [found.path for found in objects if not found.has_docstring]
    assert 100 * (1 - len(bare) / len(objects)) >= DOCUMENTED[package], bare
