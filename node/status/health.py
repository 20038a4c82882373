"""Whether the node is well: for the top of every page, and for machines that ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from node.config import Configuration
from node.database.connection import Database
from node.status.formats import size
from node.status.overview import Disk, Overview

Check = Callable[[], str | None]  # why not ready, or None


class Health:
    """Asks all parts how they are.

    Parameters
    ----------
    checks
        By name, what must work besides database and disk: a function that says why not, or None.
    remarks
        The same of what can wait, and of one way in among several: the node is ready all the same.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        overview: Overview,
        checks: Mapping[str, Check],
        remarks: Mapping[str, Check],
    ) -> None:
        self._data, self._floor_mb = configuration.node.data, configuration.receive.disk_floor_mb
        self._database, self._overview = database, overview
        self._checks = dict(checks)
        self._remarks: dict[str, Check] = {"destinations": self._destinations_remark, **remarks}

    @property
    def disk(self) -> Disk:
        """Room on the disk of the node's data."""
        return Disk.of(self._data, self._floor_mb)

    def problems(self) -> dict[str, str]:
        """What keeps the node from being ready, by name."""
        return {name: why for name, why in self.answers().items() if why}

    def answers(self) -> dict[str, str | None]:
        """What must work for the node to be ready, by name: why it does not, or None."""
        checks = {"database": self._database_problem, "disk": self._disk_problem, **self._checks}
        return {name: check() for name, check in checks.items()}

    def remarks(self) -> dict[str, str]:
        """What is wrong and can wait, by name."""
        return _found(self._remarks)

    def routes(self) -> list[BaseRoute]:
        """For machines: they need no sign-in, as they tell of no patient."""
        return [Route("/health/live", self._live), Route("/health/ready", self._ready)]

    def _live(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n")

    def _ready(self, _request: Request) -> Response:
        problems, remarks = self.problems(), self.remarks()
        names = dict.fromkeys(("database", "disk", *self._checks, *self._remarks))
        told = {name: [found[name] for found in (problems, remarks) if name in found] for name in names}
        answers = {name: "; ".join(found) or "ok" for name, found in told.items()}
        return JSONResponse({"ready": not problems, "checks": answers}, status_code=503 if problems else 200)

    def _disk_problem(self) -> str | None:
        disk = self.disk
        return f"only {size(disk.free)} left: new instances are refused, and jobs wait" if disk.low else None

    def _destinations_remark(self) -> str | None:
        try:
            return self._overview.failing(datetime.now(UTC))
        except SQLAlchemyError:
            return None  # `_database_problem` says so

    def _database_problem(self) -> str | None:
        try:
            with self._database.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            return f"does not answer ({type(error).__name__})"  # the message may hold the URL with its password
        return None


def _found(checks: Mapping[str, Check]) -> dict[str, str]:
    return {name: why for name, check in checks.items() if (why := check())}
