"""What operators do with a stored study: have another pipeline run on it, or have the routes decide anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.actions.preview import Preview, listed
from node.config import Configuration, Route
from node.database import audit
from node.database.connection import Database
from node.database.tables import DECIDED_ANEW, PIPELINE_RUN
from node.errors import MustWait, ReadingFailed, StillArriving, StudyNotFound
from node.models.versions import Versions
from node.route.by_hand import route_for
from node.route.reroute import Action, ByHand, Reroute, Rerouted

BEGUN = (Action.NEW, Action.RESTART, Action.SEND)
CANNOT = (StudyNotFound, StillArriving, MustWait, ReadingFailed)
WHAT = {
    Action.NO_MATCH: "does not match",
    Action.NEW: "makes a new job",
    Action.RESTART: "runs its job again",
    Action.SEND: "sends what its job made to the destinations that it has now",
    Action.UNDER_WAY: "has a job under way: nothing changes",
    Action.CANCELLED: "had its job cancelled: nothing changes, restart the job to have it",
    Action.WITHDRAWN: "had its result withdrawn: nothing changes",
    Action.KNOWN: "has its result: nothing changes",
}


class StudyActions:
    """The actions; each takes the Study Instance UID and who does it.

    Parameters
    ----------
    configuration
        Routes and destinations.
    database
        The node's.
    rerouting
        Decides anew and runs by hand.
    """

    def __init__(self, configuration: Configuration, database: Database, rerouting: Reroute) -> None:
        self._configuration, self._database, self._rerouting = configuration, database, rerouting

    # ---- run another pipeline
    def pipelines(self) -> list[str]:
        """Those that a route runs: what can be asked for."""
        return sorted({route.pipeline for route in self._configuration.routes.values()})

    def chosen(self, pipeline: str, route: str = "", to: Sequence[str] = ()) -> Route:
        """The route whose settings and destinations are used, with the version of its model that is in force.

        Raises
        ------
        UnknownName
            If there is none, or several.
        """
        name, found = route_for(self._configuration, pipeline, route, to)
        settings = Versions(self._database, self._configuration.node.data).settings(name, found)
        return found.model_copy(update={"settings": settings})

    def preview_run(self, study: str, route: Route, series: Sequence[str] = ()) -> Preview:
        """What `run` would do."""
        title = f"Run {route.pipeline} on the study?"
        try:
            made = list(self._rerouting.run(study, route, series, dry_run=True))
        except CANNOT as error:
            return Preview(title, (), str(error))
        sentences = []
        for one in made:
            if one.problem:
                sentences.append(f"Not on {one.about}: {one.problem}.")
            elif one.action is Action.NEW:
                sentences.append(f"On {one.about}, {counted(one.images, 'image')}: a new job.")
            else:
                sentences.append(f"On {one.about}: the same job is known, {one.action}.")
        if route.shadow:
            sentences.append("The route is a shadow: nothing is sent.")
        else:
            sentences.append(f"The result goes to {listed(route.destination_names)}.")
        able = any(one.action in BEGUN and not one.problem for one in made)
        return Preview(title, tuple(sentences), "" if able else "there is nothing to run that was not run before")

    def run(self, study: str, route: Route, by: str, series: Sequence[str] = ()) -> list[ByHand]:
        """Have a pipeline run on a study, whatever the routes' conditions say; what became of it, or of each series.

        Parameters
        ----------
        study
            Study Instance UID.
        route
            As `chosen` gives it.
        by
            Who asks for it.
        series
            Only these; empty: those that the pipeline accepts.

        Raises
        ------
        StudyNotFound, StillArriving, MustWait, ReadingFailed
            As `Reroute.run`.
        """
        made = list(self._rerouting.run(study, route, series))
        note_run(self._database, study, route.pipeline, made, by)
        return made

    # ---- decide anew
    def preview_reroute(self, study: str) -> Preview:
        """What `reroute` would do."""
        title = "Route the study again?"
        try:
            found = self._rerouting.reroute(study, dry_run=True)
        except CANNOT as error:
            return Preview(title, (), str(error))
        counts = Counter((one.route, one.action) for one in found)
        sentences = [
            f"Route {route} {WHAT[action]}{f' ({number} times)' if number > 1 else ''}."
            for (route, action), number in sorted(counts.items())
        ]
        return Preview(title, tuple(sentences) or ("No route is asked about it: nothing changes.",))

    def reroute(self, study: str, by: str, *, dry_run: bool = False) -> list[Rerouted]:
        """Decide anew about each series of a study and about the whole.

        Raises
        ------
        StudyNotFound, StillArriving, MustWait, ReadingFailed
            As `Reroute.reroute`.
        """
        found = self._rerouting.reroute(study, dry_run=dry_run)
        if not dry_run:
            begun = [one.job_id for one in found if one.action in BEGUN and not one.problem]
            with Session(self._database) as session, session.begin():
                audit.note(session, DECIDED_ANEW, by, study_instance_uid=study, decisions=len(found), jobs=begun)
        return found


def note_run(database: Database, study: str, pipeline: str, made: Sequence[ByHand], by: str) -> None:
    """Write down who had a pipeline run on a study, where a job came of it."""
    jobs = [one.job_id for one in made if one.job_id and not one.problem]
    if jobs:
        with Session(database) as session, session.begin():
            audit.note(session, PIPELINE_RUN, by, study_instance_uid=study, pipeline=pipeline, jobs=jobs)
