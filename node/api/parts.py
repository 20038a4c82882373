"""What the API is made of, and how its endpoints get at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from node.access.callers import Callers
from node.access.identity import Identity, identity_of
from node.actions.desk import Actions
from node.config import Configuration
from node.database.connection import Database
from node.reading import Reader
from node.run.pool import WorkerView
from node.status.health import Health


@dataclass(frozen=True)
class Parts:
    """The parts of one node."""

    configuration: Configuration
    config_file: Path
    database: Database
    callers: Callers
    health: Health
    actions: Actions
    reader: Reader
    workers: Callable[[], Sequence[WorkerView]] = tuple


def parts_of(request: Request) -> Parts:
    """The parts of the node that is asked."""
    parts: Parts = request.app.state.parts
    return parts


def caller(request: Request) -> Identity:
    """Who is asking."""
    return identity_of(request)


PartsOf = Annotated[Parts, Depends(parts_of)]
Caller = Annotated[Identity, Depends(caller)]
