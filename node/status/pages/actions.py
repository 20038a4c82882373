"""What operators do from the page: each action at an address of its own, below what it is done to."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from starlette.requests import Request

from dicom_sr.rejection_reasons import RejectionReason
from node.actions.desk import Actions
from node.actions.preview import Preview
from node.actions.withdrawing import Chosen
from node.database.pauses import PauseKind
from node.errors import NodeError
from node.route.by_hand import UnknownName
from node.status.pages.confirmations import Confirmation, Field, Typed
from node.status.study_search import YEARS

NOTICES = {
    "restarted": "The job is queued again.",
    "cancelled": "The job is cancelled.",
    "sent": "The job goes to the destinations that were chosen too.",
    "withdrawn": "The result is withdrawn; its destinations are told.",
    "run": "The pipeline runs on the study: its jobs are below.",
    "rerouted": "The routes have decided anew about the study.",
    "paused": "Paused. It stays so over a restart, until somebody resumes it.",
    "resumed": "Resumed: what waited begins.",
    "tested": "The channel took the test.",
    "silenced": "Silenced: nobody is told of it for so long.",
    "heard": "The silence is over: what the rule finds is told again.",
    "resent": "What the destination took since then is sent again.",
}
"""What the page that an action leads to says, by the value of `done` in its address."""

WHY = Field("why", "Why", help="Others read it, also at destinations: name no patient.")
FAR = "2000-01-01T00:00"


def confirmations(actions: Actions) -> list[Confirmation]:
    """Every action that the page offers, but for imports and reloads."""
    return [*_of_jobs(actions), *_of_studies(actions), *_of_pauses(actions), _resend(actions)]


# ---- jobs
def _of_jobs(actions: Actions) -> list[Confirmation]:
    jobs = actions.jobs
    return [
        Confirmation(
            "/jobs/{job_id}/restart",
            "Restart",
            lambda request, _: jobs.preview_restart(_job(request)),
            lambda request, _, by: _to_job(actions, jobs.restart(_job(request), by), "restarted"),
            _back_to_job,
        ),
        Confirmation(
            "/jobs/{job_id}/cancel",
            "Cancel the job",
            lambda request, _: jobs.preview_cancel(_job(request)),
            lambda request, _, by: _to_job(actions, jobs.cancel(_job(request), by), "cancelled"),
            _back_to_job,
            danger=True,
        ),
        Confirmation(
            "/jobs/{job_id}/send",
            "Send",
            lambda request, typed: jobs.preview_send(_job(request), _chosen(typed)),
            lambda request, typed, by: _to_job(actions, jobs.send(_job(request), _some(_chosen(typed)), by), "sent"),
            _back_to_job,
            lambda request: [_destination(name) for name in jobs.destinations(_job(request))],
        ),
        Confirmation(
            "/jobs/{job_id}/withdraw",
            "Withdraw",
            lambda request, _: jobs.preview_withdraw([_job(request)], Chosen(_job(request))),
            partial(_withdraw, actions),
            _back_to_job,
            lambda _: [
                Field("reason", "Reason", "select", tuple((one.word, one.meaning) for one in RejectionReason)),
                WHY,
            ],
            danger=True,
        ),
    ]


def _withdraw(actions: Actions, request: Request, typed: Typed, by: str) -> str:
    reason = next((one for one in RejectionReason if one.word == typed.get("reason")), None)
    if reason is None:
        raise UnknownName("reason: should be one of those in the list")
    actions.jobs.withdraw([_job(request)], reason, typed["why"].strip(), by)
    return _to_job(actions, _job(request), "withdrawn")


def _job(request: Request) -> str:
    job: str = request.path_params["job_id"]
    return job


def _back_to_job(request: Request) -> str:
    return f"/jobs/{_job(request)}"


def _to_job(actions: Actions, job: str, done: str) -> str:
    """A job is shown with its study; one on a record has a page of its own."""
    study = actions.jobs.study(job)
    return f"/studies/{study}?done={done}#job-{job}" if study else f"/jobs/{job}?done={done}"


# ---- studies
def _of_studies(actions: Actions) -> list[Confirmation]:
    routes, destinations = actions.configuration.routes, actions.configuration.destinations
    which = Field(
        "route",
        "Pipeline",
        "select",
        tuple((name, f"{route.pipeline}, as in route {name}") for name, route in routes.items()),
    )
    return [
        Confirmation(
            "/studies/{uid}/run",
            "Run",
            partial(_preview_run, actions),
            partial(_run, actions),
            _back_to_study,
            lambda _: [which, *(_destination(name, "Results to ") for name in destinations)],
            chosen_first=True,
            title="Run a pipeline on the study",
        ),
        Confirmation(
            "/studies/{uid}/reroute",
            "Route again",
            lambda request, _: actions.studies.preview_reroute(_study(request)),
            lambda request, _, by: _rerouted(actions, _study(request), by),
            _back_to_study,
        ),
    ]


def _preview_run(actions: Actions, request: Request, typed: Typed) -> Preview:
    chosen = actions.studies.chosen("", typed.get("route", ""), _chosen(typed))
    return actions.studies.preview_run(_study(request), chosen)


def _run(actions: Actions, request: Request, typed: Typed, by: str) -> str:
    chosen = actions.studies.chosen("", typed["route"], _chosen(typed))
    made = actions.studies.run(_study(request), chosen, by)
    if not any(one.job_id and not one.problem for one in made):
        raise NodeError("; ".join(f"{one.about}: {one.problem}" for one in made) or "there is nothing to run it on")
    return f"/studies/{_study(request)}?done=run"


def _rerouted(actions: Actions, study: str, by: str) -> str:
    found = actions.studies.reroute(study, by)
    if problems := [f"route {one.route}: {one.problem}" for one in found if one.problem]:
        raise NodeError("; ".join(problems))
    return f"/studies/{study}?done=rerouted"


def _study(request: Request) -> str:
    uid: str = request.path_params["uid"]
    return uid


def _back_to_study(request: Request) -> str:
    return f"/studies/{_study(request)}"


# ---- pauses
def _of_pauses(actions: Actions) -> list[Confirmation]:
    return [one for kind in PauseKind for one in _of_kind(actions, kind)]


def _of_kind(actions: Actions, kind: PauseKind) -> list[Confirmation]:
    pauses, back = actions.pauses, "/routes" if kind is PauseKind.ROUTE else "/"

    def pause(request: Request, typed: Typed, by: str) -> str:
        pauses.pause(kind, _name(request), typed["why"].strip(), by)
        return f"{back}?done=paused"

    def resume(request: Request, _: Typed, by: str) -> str:
        pauses.resume(kind, _name(request), by)
        return f"{back}?done=resumed"

    return [
        Confirmation(
            f"/{kind}s/{{name}}/pause",
            "Pause",
            lambda request, _: pauses.preview_pause(kind, _name(request)),
            pause,
            lambda _: back,
            lambda _: [Field("why", "Why", help="Others see it beside what is paused: name no patient.")],
        ),
        Confirmation(
            f"/{kind}s/{{name}}/resume",
            "Resume",
            lambda request, _: pauses.preview_resume(kind, _name(request)),
            resume,
            lambda _: back,
        ),
    ]


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


# ---- sending again
def _resend(actions: Actions) -> Confirmation:
    def act(request: Request, typed: Typed, by: str) -> str:
        actions.resending.send_again(_name(request), _moment(typed), by)
        return "/?done=resent"

    return Confirmation(
        "/destinations/{name}/resend",
        "Send again",
        lambda request, typed: actions.resending.preview(_name(request), _moment(typed)),
        act,
        lambda _: "/",
        lambda _: [Field("since", "All that it took since (UTC)", "moment", help="When it may have lost it.")],
        chosen_first=True,
        title="Send again to a destination",
    )


def _moment(typed: Typed) -> datetime:
    """The time that was chosen; raises `UnknownName` where it is none."""
    try:
        moment = datetime.fromisoformat(typed.get("since", ""))
    except ValueError:
        raise UnknownName(f"since: should be a day and a time, such as {FAR}") from None
    if moment.year not in YEARS:
        raise UnknownName(f"since: should be in one of the years {YEARS[0]} to {YEARS[-1]}")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


# ---- destinations
def _destination(name: str, before: str = "") -> Field:
    return Field(f"to.{name}", f"{before}{name}", "check", required=False)


def _chosen(typed: Typed) -> list[str]:
    """The destinations that are ticked."""
    return [name.removeprefix("to.") for name, value in typed.items() if name.startswith("to.") and value]


def _some(destinations: list[str]) -> list[str]:
    if not destinations:
        raise UnknownName("destinations: none is chosen; tick one or more")
    return destinations
