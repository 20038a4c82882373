"""One study, one job, one picture of a result."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.data_folder import resolved
from node.database.connection import Database
from node.status.capture_png import png
from node.status.overview import Overview
from node.status.site import Site
from node.status.verdict_list import verdicts_left_alone, verdicts_on

REFUSALS_SHOWN = 10
THUMBNAIL_WIDTH = 480  # pixels


class StudyPages:
    """Their routes.

    Parameters
    ----------
    data
        The data folder: pictures lie in it.
    """

    def __init__(self, site: Site, data: Path, database: Database, overview: Overview) -> None:
        self._site, self._data, self._database, self._overview = site, data.absolute(), database, overview

    def routes(self) -> list[BaseRoute]:
        """Of studies, jobs and pictures."""
        guarded = self._site.guarded
        return [
            Route("/studies/{uid}", guarded(self._study)),
            Route("/jobs/{job_id}", guarded(self._job)),
            Route("/captures/{uid}.png", guarded(self._capture)),
        ]

    def _study(self, request: Request) -> Response:
        uid = request.path_params["uid"]
        study = self._overview.study(uid)
        if study is None:
            raise HTTPException(404, "The node has no such study.")
        not_stored, more_not_stored = self._overview.not_stored(REFUSALS_SHOWN, uid)
        return self._site.page(
            request,
            "study.html",
            study=study,
            not_stored=not_stored,
            more_not_stored=more_not_stored,
            verdicts=verdicts_on(self._database, [job.row.id for job in study.jobs]),
            left_alone=verdicts_left_alone(self._database, uid),
        )

    def _job(self, request: Request) -> Response:
        job_id = request.path_params["job_id"]
        job = self._overview.job(job_id)
        if job is None:
            raise HTTPException(404, "The node has no such job.")
        if (uid := job.row.study_instance_uid) and self._overview.is_with_its_study(job.row):
            return RedirectResponse(f"/studies/{uid}#job-{job_id}")
        return self._site.page(request, "job.html", job=job, verdicts=verdicts_on(self._database, [job_id]))

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
