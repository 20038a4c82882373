"""The node's page, health and metrics, from the records alone; read-only, but for verdicts where those are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_sr.words import counted, escaped
from node.config import (
    Configuration,
    Destination,
    DicomWebDestination,
    DimseDestination,
    EmailDestination,
    FhirDestination,
    FolderDestination,
    Hl7Destination,
    WebhookDestination,
)
from node.config.checks import the_box
from node.config.notifications import without_path
from node.data_folder import resolved
from node.database.connection import Database
from node.network.sign_in import UNAUTHORIZED, sign_in_to_page
from node.receive.files_not_taken import files_not_taken
from node.status.asked_for import AskedFor
from node.status.browser_guard import BrowserGuard
from node.status.capture_png import png
from node.status.connections import Connections
from node.status.metrics import Metrics
from node.status.overview import Disk, Overview
from node.status.verdict_list import verdicts_left_alone, verdicts_on
from node.status.verdict_page import VerdictPage

HERE = Path(__file__).parent
STUDIES_SHOWN = 25
REFUSALS_SHOWN = 10
REQUESTS_SHOWN = 10
THUMBNAIL_WIDTH = 480  # pixels

Check = Callable[[], str | None]  # why not ready, or None
View = Callable[[Request], Response]

# Nothing is loaded from elsewhere, nothing of the page may be framed or shown in another page, no address of a study
# travels on as a referrer.
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'self'; "
        b"frame-ancestors 'none'; object-src 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
NOT_KEPT = (b"cache-control", b"no-store")  # studies are shown, and nobody's disk is to keep them


def build_app(
    configuration: Configuration,
    database: Database,
    *,
    checks: Mapping[str, Check] | None = None,
    remarks: Mapping[str, Check] | None = None,
    more: Sequence[BaseRoute] = (),
    connections: Connections | None = None,
) -> ASGIApp:
    """The node's web application.

    Parameters
    ----------
    configuration
        Names, places of destinations, and the data folder are shown; nothing secret is.
    database
        Of the node's records.
    checks
        By name, what else must work for `/health/ready`: a function that says why not, or None.
    remarks
        The same of what can wait, and of one way in among several: it is named there and on the page, and the node is
        ready all the same.
    more
        Routes of other parts that share the port, such as STOW-RS.
    connections
        Those to the port, for the metrics.
    """
    connections = Connections() if connections is None else connections
    page = _Page(configuration, database, dict(checks or {}), dict(remarks or {}), connections)
    app = Starlette(
        routes=[
            Route("/", page.signed_in(page.overview)),
            Route("/studies/{uid}", page.signed_in(page.study)),
            Route("/jobs/{job_id}", page.signed_in(page.job)),
            *page.verdicts.routes(),
            Route("/captures/{uid}.png", page.signed_in(page.capture)),
            Route("/health/live", page.live),
            Route("/health/ready", page.ready),
            Route("/metrics", page.metrics),
            Mount("/static", StaticFiles(directory=HERE / "static")),
            *more,
        ],
        exception_handlers={404: page.not_found, SQLAlchemyError: page.no_database},
    )
    # around all of it, so that answers to what nobody foresaw have the headers too
    return _WithHeaders(BrowserGuard(app, configuration.status, connections.refusals))


class _WithHeaders:
    """Adds `HEADERS` to every answer, and `NOT_KEPT` to all but what the page is made of.

    Plain ASGI, so that the bodies of other parts' requests pass by untouched.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = HEADERS if scope.get("path", "").startswith("/static/") else (*HEADERS, NOT_KEPT)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, with_headers)


class _Page:
    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        checks: dict[str, Check],
        remarks: dict[str, Check],
        connections: Connections,
    ) -> None:
        self._node = configuration.node
        self._sign_in = sign_in_to_page(configuration.status)
        self._disk_floor_mb = configuration.receive.disk_floor_mb
        self._watched = [folder.path for folder in configuration.receive.watched_folders]
        self._database = database
        self._checks = checks
        self._remarks = {"destinations": self._destinations_remark, **remarks}
        destinations = {name: where(of) for name, of in configuration.destinations.items()}
        self._overview = Overview(database, destinations, configuration.run.workers)
        self._asked_for = AskedFor(database)
        self._metrics = Metrics(database, self._node.data, self._disk_floor_mb, connections)
        self.verdicts = VerdictPage(configuration, database, self._verdict, self._refused, self._plain)
        self._templates = Jinja2Templates(directory=HERE / "templates")
        self._templates.env.finalize = _finalized
        self._templates.env.filters |= {"clock": clock, "seconds": seconds, "bytes": size, "words": words, "tail": tail}
        self._templates.env.filters |= {"counted": counted, "called": called}
        self._templates.env.globals |= {
            "ae_title": self._node.ae_title,
            "institution": self._node.institution,
            "dicom_port": configuration.receive.dimse.port,
            "notices": [one for one in the_box(configuration) if one.state != "good"],
            "takes_verdicts": configuration.verdicts.form,
            "can_be_judged": self.verdicts.can_be_judged,
        }

    def signed_in(self, view: View) -> View:
        """The view, for those who may see it. Health and metrics need no sign-in: they tell of no patient."""

        def guarded(request: Request) -> Response:
            refused = self._refused(request)
            return view(request) if refused is None else refused

        return guarded

    def _refused(self, request: Request) -> Response | None:
        """Why the caller may not see the page; None where they may."""
        if (refusal := self._sign_in.refusal(request)) is None:
            return None
        response = self._plain(request, refusal.status, f"{refusal.sentence}.")
        if refusal.status == UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="Condyle: any name, the token as password"'
        return response

    # ---- pages
    def overview(self, request: Request) -> Response:
        now = datetime.now(UTC)
        not_stored, more_not_stored = self._overview.not_stored(REFUSALS_SHOWN)
        fetches, more_fetches = self._asked_for.fetches(REQUESTS_SHOWN)
        failing_callbacks, more_failing_callbacks = self._asked_for.callbacks_that_fail(REQUESTS_SHOWN)
        files, files_count = files_not_taken(self._node.data, self._watched)
        return self._templates.TemplateResponse(
            request,
            "overview.html",
            {
                "now": now,
                **self._well_being(),
                "totals": self._overview.totals(now),
                "under_way": self._overview.under_way(),
                "studies": self._overview.studies(STUDIES_SHOWN),
                "requests": self._overview.requests(REQUESTS_SHOWN),
                "fetches": fetches,
                "more_fetches": more_fetches,
                "failing_callbacks": failing_callbacks,
                "more_failing_callbacks": more_failing_callbacks,
                "destinations": self._overview.destinations(),
                "refused": self._overview.refused_associations(REFUSALS_SHOWN),
                "records_not_read": self._overview.records_not_read(REFUSALS_SHOWN),
                "files": files[:REFUSALS_SHOWN],
                "more_files": files_count - len(files[:REFUSALS_SHOWN]),
                "not_stored": not_stored,
                "more_not_stored": more_not_stored,
                "disk": self._disk,
            },
        )

    def study(self, request: Request) -> Response:
        uid = request.path_params["uid"]
        study = self._overview.study(uid)
        if study is None:
            raise HTTPException(404, "The node has no such study.")
        not_stored, more_not_stored = self._overview.not_stored(REFUSALS_SHOWN, uid)
        now = datetime.now(UTC)
        return self._templates.TemplateResponse(
            request,
            "study.html",
            {
                "now": now,
                **self._well_being(),
                "study": study,
                "not_stored": not_stored,
                "more_not_stored": more_not_stored,
                "verdicts": verdicts_on(self._database, [job.row.id for job in study.jobs]),
                "left_alone": verdicts_left_alone(self._database, uid),
            },
        )

    def job(self, request: Request) -> Response:
        job_id = request.path_params["job_id"]
        job = self._overview.job(job_id)
        if job is None:
            raise HTTPException(404, "The node has no such job.")
        if (uid := job.row.study_instance_uid) and self._overview.is_with_its_study(job.row):
            return RedirectResponse(f"/studies/{uid}#job-{job_id}")
        return self._templates.TemplateResponse(
            request,
            "job.html",
            {
                "now": datetime.now(UTC),
                **self._well_being(),
                "job": job,
                "verdicts": verdicts_on(self._database, [job_id]),
            },
        )

    def _verdict(self, request: Request, job_id: str, content: dict[str, Any], status: int) -> Response:
        """The page on which a reader judges the result of a job that is there."""
        shown = {"now": datetime.now(UTC), "problems": {}, "remarks": {}, "job": self._overview.job(job_id), **content}
        return self._templates.TemplateResponse(request, "verdict.html", shown, status_code=status)

    def capture(self, request: Request) -> Response:
        noted = self._overview.capture(request.path_params["uid"])
        data = self._node.data.absolute()
        path = resolved(noted, data).resolve() if noted else None
        if path is None or not path.is_relative_to(data.resolve()):
            raise HTTPException(404, "The node has no such picture.")
        try:
            content = png(path, THUMBNAIL_WIDTH if "small" in request.query_params else None)
        except OSError:  # the job's folder is older than the node keeps them
            raise HTTPException(404, "The node does not keep this picture any more.") from None
        return Response(content, media_type="image/png")

    def not_found(self, request: Request, error: Exception) -> Response:
        detail = error.detail if isinstance(error, HTTPException) else ""
        return self._plain(request, 404, "There is no such page." if detail in ("", "Not Found") else detail)

    def no_database(self, request: Request, _error: Exception) -> Response:
        return self._plain(request, 503, "The node's database does not answer; the node's log says why.")

    def _plain(self, request: Request, status_code: int, sentence: str) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(f"{sentence}\n", status_code)
        return self._templates.TemplateResponse(
            request,
            "plain.html",
            {"now": datetime.now(UTC), "problems": {}, "remarks": {}, "sentence": sentence},
            status_code=status_code,
        )

    # ---- for machines
    def live(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n")

    def ready(self, _request: Request) -> Response:
        problems, remarks = self._problems(), _found(self._remarks)
        names = dict.fromkeys(("database", "disk", *self._checks, *self._remarks))
        told = {name: [found[name] for found in (problems, remarks) if name in found] for name in names}
        answers = {name: "; ".join(found) or "ok" for name, found in told.items()}
        return JSONResponse({"ready": not problems, "checks": answers}, status_code=503 if problems else 200)

    def metrics(self, _request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    # ----
    @property
    def _disk(self) -> Disk:
        return Disk.of(self._node.data, self._disk_floor_mb)

    def _problems(self) -> dict[str, str]:
        """What keeps the node from being ready, by name."""
        return _found({"database": self._database_problem, "disk": self._disk_problem, **self._checks})

    def _well_being(self) -> dict[str, dict[str, str]]:
        """What every page says at its top."""
        return {"problems": self._problems(), "remarks": _found(self._remarks)}

    def _disk_problem(self) -> str | None:
        disk = self._disk
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


def where(destination: Destination) -> str:
    """A destination's place, for people; without secrets."""
    match destination:
        case DimseDestination():
            return f"{destination.ae_title} at {destination.host}:{destination.port}"
        case DicomWebDestination():
            return f"DICOMweb at {destination.url.split('@')[-1]}"
        case FhirDestination():
            return f"FHIR server at {destination.url.split('@')[-1]}"
        case Hl7Destination(host=None):
            return f"HL7 messages in folder {destination.path}"
        case Hl7Destination():
            return f"HL7 receiver at {destination.host}:{destination.port}"
        case FolderDestination():
            return f"folder {destination.path}"
        case EmailDestination():
            return f"e-mail by {destination.host}:{destination.port}"
        case WebhookDestination():
            return f"webhook at {without_path(destination.url)}"


# ---- how values look
def clock(moment: datetime | None, now: datetime) -> str:
    """Time of day where the node stands; with the date unless it is today."""
    if moment is None:
        return "–"
    local, today = moment.astimezone(), now.astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%d %b %H:%M}"


def seconds(number: float | None) -> str:
    """A duration to about three digits."""
    if number is None:
        return "–"
    if number < 0.9995:
        return f"{number * 1000:.0f} ms"
    if number < 59.95:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def size(number: float) -> str:
    """Bytes in the largest fitting unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


KINDS = {
    "derived_series": "derived image",
    "secondary_capture": "capture",
    "segmentation_binary": "segmentation",
    "segmentation_fractional": "fractional segmentation",
    "segmentation_labelmap": "label map",
    "key_objects": "key object note",
}


def called(kind: str) -> str:
    """What an object of that kind is called."""
    return KINDS.get(kind, words(kind))


def words(name: str) -> str:
    """A name of the code as words."""
    return name.replace("_", " ")


def tail(uid: str, length: int = 10) -> str:
    """The end of a UID: where UIDs of one site differ."""
    return uid if len(uid) <= length + 1 else f"…{uid[-length:]}"


def _finalized(value: object) -> object:
    """What a template shows: texts of others, such as an AE title, cannot turn, hide or break what stands beside."""
    return escaped(value) if type(value) is str else value
