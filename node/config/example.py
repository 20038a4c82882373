"""The example configuration, `config.yaml` of the repository, which an installed package holds too.

The routes of the shipped pipelines stand there and nowhere else: the demo and `condyle init` take them from here.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

EXAMPLE = Path(__file__).with_name(
    "example.yaml"
)  # a link to config.yaml in the repository, the file itself when packaged


@cache
def _text() -> str:
    return EXAMPLE.read_text(encoding="utf-8")


def example_routes() -> dict[str, dict[str, Any]]:
    """The routes of the example by their names, as they stand there."""
    routes: dict[str, dict[str, Any]] = yaml.safe_load(_text())["routes"]
    return routes


def route_of(pipeline: str) -> str | None:
    """The name of the example's route to a pipeline; None where it has none."""
    return next((name for name, route in example_routes().items() if route["pipeline"] == pipeline), None)


def written_part(route: str, key: str) -> str:
    """The lines of one key of a route of the example, with what is below it and the comments.

    Raises
    ------
    LookupError
        If the example has no such route or key.
    """
    block = _block(_text(), f"  {route}:")
    return _block(block, f"    {key}:")


def _block(text: str, head: str) -> str:
    """A line that begins with `head`, and all lines below it that are indented more."""
    deeper = " " * (len(head) - len(head.lstrip()) + 1)
    found = re.search(rf"^{re.escape(head)}.*\n(?:{deeper}.*\n)*", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"{EXAMPLE.name} has no {head.strip()}")
    return found.group()
