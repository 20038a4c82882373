"""The page of a study, of a job, of a report, and the pictures that jobs made."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.access.identity import identity_of
from node.config import Configuration
from node.data_folder import resolved
from node.database.connection import Database
from node.database.queries import UNDER_WAY
from node.reading import Reader
from node.status.capture_png import png
from node.status.overview import Overview, StudyView
from node.status.patients_shown import REPORTS, CannotBeShown, PatientsShown
from node.status.site import Site
from node.status.study_search import RECEIVING
from node.status.verdict_list import verdicts_left_alone, verdicts_on
from node.study.shown_patient import ShownPatient

LIVE_S = 5  # between two looks of an open page, while something of the study goes on
REFUSALS_SHOWN = 10
THUMBNAIL_WIDTH = 480  # pixels
NOT_YOURS = "Reports name the patient; they are for those who may see patients."


class StudyPages:
    """Their routes.

    Parameters
    ----------
    reader
        Reads what names patients.
    """

    def __init__(
        self, site: Site, configuration: Configuration, database: Database, overview: Overview, reader: Reader
    ) -> None:
        self._site, self._data, self._database = site, configuration.node.data.absolute(), database
        self._overview, self._viewer_url = overview, configuration.status.viewer_url
        self._patients = PatientsShown(self._data, database, reader)

    def routes(self) -> list[BaseRoute]:
        """Of studies, jobs, reports and pictures."""
        guarded = self._site.guarded
        return [
            Route("/studies/{uid}", guarded(self._study)),
            Route("/jobs/{job_id}", guarded(self._job)),
            Route("/reports/{uid}", guarded(self._report)),
            Route("/captures/{uid}.png", guarded(self._capture)),
        ]

    def _study(self, request: Request) -> Response:
        uid = request.path_params["uid"]
        study = self._overview.study(uid)
        if study is None:
            raise HTTPException(404, "The node has no such study.")
        not_stored, more_not_stored = self._overview.not_stored(REFUSALS_SHOWN, uid)
        patients, unseen = self._people(request, uid)
        return self._site.page(
            request,
            "study.html",
            live_s=LIVE_S if study.state in (*UNDER_WAY, RECEIVING) else 0,
            htmx=True,
            study=study,
            patients=patients,
            unseen=unseen,
            viewer=self._viewer(study, patients),
            reports=REPORTS,
            not_stored=not_stored,
            more_not_stored=more_not_stored,
            verdicts=verdicts_on(self._database, [job.row.id for job in study.jobs]),
            left_alone=verdicts_left_alone(self._database, uid),
        )

    def _people(self, request: Request, uid: str) -> tuple[Sequence[ShownPatient], str]:
        """Whom a study is of, for those who may see it, or why that is not shown."""
        identity = identity_of(request)
        if not identity.sees_patients:
            return (), ""
        try:
            return self._patients.patients(uid, identity), ""
        except CannotBeShown as why:
            return (), str(why)

    def _viewer(self, study: StudyView, patients: Sequence[ShownPatient]) -> str:
        """The address of the study in the viewer; empty where there is none."""
        values = {
            "{StudyInstanceUID}": study.uid,
            "{AccessionNumber}": next((p.accession_number for p in patients), ""),
        }
        address = self._viewer_url or ""
        for name, value in values.items():
            if name in address and not value:
                return ""
            address = address.replace(name, quote(value, safe=""))
        return address

    def _job(self, request: Request) -> Response:
        job_id = request.path_params["job_id"]
        job = self._overview.job(job_id)
        if job is None:
            raise HTTPException(404, "The node has no such job.")
        if (uid := job.row.study_instance_uid) and self._overview.is_with_its_study(job.row):
            return RedirectResponse(f"/studies/{uid}#job-{job_id}")
        return self._site.page(
            request,
            "job.html",
            live_s=LIVE_S if job.row.state in UNDER_WAY else 0,
            htmx=True,
            job=job,
            reports=REPORTS,
            verdicts=verdicts_on(self._database, [job_id]),
        )

    def _report(self, request: Request) -> Response:
        identity = identity_of(request)
        if not identity.sees_patients:
            return self._site.sentence(request, 403, NOT_YOURS)
        try:
            shown = self._patients.report(request.path_params["uid"], identity)
        except CannotBeShown as why:
            raise HTTPException(404, f"This report cannot be shown: {why}.") from None
        if shown is None:
            raise HTTPException(404, "The node has no such report.")
        return self._site.page(request, "report.html", shown=shown)

    def _capture(self, request: Request) -> Response:
        noted = self._overview.capture(request.path_params["uid"])
        path = resolved(noted, self._data).resolve() if noted else None
        if path is None or not path.is_relative_to(self._data.resolve()):
            raise HTTPException(404, "The node has no such picture.")
        try:
            content = png(path, THUMBNAIL_WIDTH if "small" in request.query_params else None)
        except OSError:  # the job's folder is older than the node keeps them
            raise HTTPException(404, "The node does not keep this picture any more.") from None
        return Response(content, media_type="image/png")
