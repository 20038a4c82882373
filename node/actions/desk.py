"""All actions of one running node, as the page and others offer them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.actions.importing import Upload, uploads_folder
from node.actions.jobs import JobActions
from node.actions.pauses import PauseActions
from node.actions.reloading import Reload, ReloadActions
from node.actions.resending import Resending
from node.actions.routes_file import RoutesFile
from node.actions.studies import StudyActions
from node.config import Configuration
from node.database.connection import Database
from node.receive.store.store import Store
from node.route.reroute import Reroute
from node.run.job_engine import JobEngine


@dataclass(frozen=True)
class Actions:
    """What operators may do."""

    configuration: Configuration
    jobs: JobActions
    studies: StudyActions
    resending: Resending
    pauses: PauseActions
    reload: ReloadActions
    routes_file: RoutesFile
    upload: Callable[[], Upload]  # begins one

    def apply_routes(self, routes: str | Mapping[str, Any], by: str, seen: str) -> Reload:
        """Write other routes into the configuration file, and have the node go by them; what became of that.

        Parameters
        ----------
        routes, by, seen
            As for `RoutesFile.apply`.

        Raises
        ------
        ChangedMeanwhile, ConfigurationError
            If they cannot be used; the file stays as it was then.
        NoAnswer
            If the node does not say what became of it; the file is written then.
        """
        self.routes_file.apply(routes, by, seen=seen)
        return self.reload.reload(by)

    @classmethod
    def of(
        cls,
        path: Path,
        configuration: Configuration,
        database: Database,
        engine: JobEngine,
        rerouting: Reroute,
        store: Store,
    ) -> Actions:
        """The actions of a node that was started with the configuration file `path`."""
        return cls(
            configuration,
            JobActions(configuration, database, engine),
            StudyActions(configuration, database, rerouting),
            Resending(configuration, database),
            PauseActions(configuration, database, engine.mind_pauses),
            ReloadActions(path, configuration, database),
            RoutesFile(path, database),
            lambda: Upload(store, uploads_folder(configuration)),
        )
