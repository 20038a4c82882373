"""The command `condyle`; also `python -m node`.

Each command imports what it needs when it is called, so that help does not wait for the models' libraries.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.words import escaped
from node.access.identity import Role, Scope
from node.commands.exit_codes import EXIT_CODES, NOT_RIGHT, OK
from node.commands.since import SINCE_HELP, since


class _Commands(TyperGroup):
    """Commands whose complaints about arguments, such as the names of files, are escaped."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the arguments."""
        with _escaped_complaints():
            return super().make_context(*args, **options)

    def invoke(self, context: Any) -> Any:
        """Run the command that they name."""
        with _escaped_complaints():
            return super().invoke(context)


@contextmanager
def _escaped_complaints() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Typer has no public name for the base of its own
        if isinstance(message := getattr(error, "message", None), str):
            error.message = escaped(message)  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    name="condyle",
    cls=_Commands,
    help="Musculoskeletal AI node for a PACS: receives studies over DICOM, runs pipelines and sends the results back.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # tracebacks with local variables would show patient data
    context_settings={"help_option_names": ["-h", "--help"]},
)
jobs_app = typer.Typer(help="List, watch, explain, start, cancel, restart and send jobs.", invoke_without_command=True)
app.add_typer(jobs_app, name="jobs")
model_app = typer.Typer(help="See and change which version of its model each route runs.", no_args_is_help=True)
app.add_typer(model_app, name="model")
bundle_app = typer.Typer(help="Add and check MONAI bundles; nothing of a bundle runs.", no_args_is_help=True)
app.add_typer(bundle_app, name="bundle")
alerts_app = typer.Typer(
    help="See what is wrong and was, try the channels that tell of it, hold a rule back.", invoke_without_command=True
)
app.add_typer(alerts_app, name="alerts")

audit_app = typer.Typer(help="See who did what, and whether the files that say so were changed.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")
user_app = typer.Typer(help="Add, list and change those who sign in to the page with a password.", no_args_is_help=True)
app.add_typer(user_app, name="user")
token_app = typer.Typer(help="Make, list and revoke tokens of programs.", no_args_is_help=True)
app.add_typer(token_app, name="token")

CONFIG_HELP = "The configuration file."
ConfigArgument = Annotated[Path, typer.Argument(help=CONFIG_HELP, envvar="CONDYLE_CONFIG", metavar="CONFIG")]
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help=CONFIG_HELP, envvar="CONDYLE_CONFIG")]
DEFAULT_CONFIG = Path("config.yaml")
JobsConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help=f"{CONFIG_HELP[:-1]}; also before the name of the command.")
]


JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON, and nothing else.")]

UID = r"(?=\.*[0-9])[0-9.]{1,64}"


def _path(text: str) -> Path:
    """A file or folder; an empty text, such as a variable that is not set, is not the current folder."""
    if not text.strip():
        raise typer.BadParameter("is empty; should be the path of a file or folder")
    if not Path(text).exists():
        raise typer.BadParameter(f"{text!r} does not exist")
    return Path(text)


def _uid(text: str) -> str:
    if re.fullmatch(UID, text.strip()) is None:
        raise typer.BadParameter(f"{text!r}: should be a StudyInstanceUID: digits and dots")
    return text.strip()


def _job_id(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("is empty; should be the id of a job, as condyle jobs lists them")
    return text.strip()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r}: should be a day, such as 2026-01-31") from None


def _duration(text: str) -> timedelta:
    from node.config.alert_times import read_duration

    try:
        return read_duration(text.strip())
    except ValueError as error:
        raise typer.BadParameter(f"--for: {text!r}: {error}") from None


JobArgument = Annotated[
    str, typer.Argument(help="The id of the job, or its first characters.", metavar="ID", callback=_job_id)
]


class LogFormat(StrEnum):
    """How log records look."""

    JSON = "json"
    CONSOLE = "console"


@app.command()
def serve(
    config: ConfigArgument = DEFAULT_CONFIG,
    log: Annotated[
        LogFormat | None,
        typer.Option(help="Log as JSON or as readable lines; the default is JSON unless standard error is a terminal."),
    ] = None,
    log_level: Annotated[
        str, typer.Option(help="Lowest level that is logged: debug, info, warning or error.")
    ] = "info",
) -> None:
    """Run the node until Ctrl-C or SIGTERM.

    Opens the DICOM port and the status page, receives studies, decides which pipelines run, runs them and sends the
    results. Work that was in progress when the node was last stopped, or crashed, continues.
    """
    from node.commands.serve import serve as run

    raise typer.Exit(run(config, log.value if log else None, log_level))


@app.command()
def init(
    config: Annotated[
        Path, typer.Argument(help="The configuration file to write.", envvar="CONDYLE_CONFIG", metavar="CONFIG")
    ] = DEFAULT_CONFIG,
    ae_title: Annotated[str | None, typer.Option(help="AE title of the node.", metavar="AE")] = None,
    from_: Annotated[
        list[str] | None,
        typer.Option("--from", help="Who may send: AE@ADDRESS or AE@NETWORK; can be repeated.", metavar="AE@ADDRESS"),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            help="Where results go: AE@HOST:PORT, a DICOMweb URL or a folder; can be repeated.",
            metavar="AE@HOST:PORT",
        ),
    ] = None,
    pipeline: Annotated[
        list[str] | None, typer.Option(help="What is to run; can be repeated; all: every one.", metavar="NAME")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="The data folder; by default data beside the file, or /var/lib/condyle/data for one in /etc."
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(help="The DICOM port, by default 11112.", min=1, max=65535)] = None,
    page_port: Annotated[
        int | None, typer.Option(help="The port of the status page, by default 8090.", min=1, max=65535)
    ] = None,
    online: Annotated[
        bool | None, typer.Option("--online/--offline", help="Whether destinations and senders are contacted.")
    ] = None,
    unit: Annotated[
        Path | None, typer.Option(help="Where to write the systemd unit.", dir_okay=False, metavar="FILE")
    ] = None,
    no_unit: Annotated[bool, typer.Option("--no-unit", help="Write no systemd unit.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the defaults.")] = False,
) -> None:
    """Set up a node: ask a few questions, write its configuration, check it, and offer a systemd unit.

    Each question can be answered by its option. Without a terminal all of them have to be, or --yes takes the defaults.
    Nothing that is there is replaced without asking. Exit code as of condyle check.
    """
    from node.commands.init import Given
    from node.commands.init import init as run

    given = Given(
        ae_title=ae_title,
        senders=from_ or (),
        destinations=to or (),
        pipelines=pipeline or (),
        data=data,
        port=port,
        page_port=page_port,
        online=online,
        unit=unit,
        no_unit=no_unit,
        overwrite=overwrite,
        yes=yes,
    )
    raise typer.Exit(run(config, given))


@app.command()
def reload(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print what became of it as JSON.")] = False,
) -> None:
    """Have the running node read its configuration anew, without a restart.

    The file is checked as a whole first: where anything is wrong, nothing changes and the exit code is 3. Associations
    stay open and jobs go on. What needs a restart is listed, and stays as it was. SIGHUP to the node does the same.
    """
    from node.commands.reload import reload as run

    raise typer.Exit(run(config, as_json=as_json))


class Pausable(StrEnum):
    """What can be paused."""

    ROUTE = "route"
    DESTINATION = "destination"


PausableArgument = Annotated[Pausable, typer.Argument(help="What it is.", metavar="route|destination")]
PausedName = Annotated[str, typer.Argument(help="Its name in the configuration.", metavar="NAME")]


@app.command()
def pause(
    kind: PausableArgument,
    name: PausedName,
    why: Annotated[
        str, typer.Option("--reason", help="Why, for others who see it paused; name no patient.", metavar="TEXT")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Pause a route or a destination, until condyle resume.

    A paused route goes on deciding, and its jobs wait. What is to be sent to a paused destination waits, and it does
    not count as down. A restart does not end a pause.
    """
    from node.commands.pauses import pause as run

    raise typer.Exit(run(kind.value, name, why.strip(), config))


@app.command()
def resume(kind: PausableArgument, name: PausedName, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """End the pause of a route or a destination: what waited begins at once."""
    from node.commands.pauses import resume as run

    raise typer.Exit(run(kind.value, name, config))


@app.command()
def pauses(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False, config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """List the routes and destinations that are paused, since when, by whom and why."""
    from node.commands.pauses import list_pauses as run

    raise typer.Exit(run(config, as_json=as_json))


@app.command()
def check(
    config: ConfigArgument = DEFAULT_CONFIG,
    online: Annotated[
        bool, typer.Option("--online", help="Also contact every peer, destination, feed and FHIR server.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Check the configuration and everything that it names.

    Checks every route, pipeline, setting, destination, peer, certificate and secret, that folders are writable, that
    ports are free and that the database answers. Changes nothing and, without --online, contacts nobody but the node's
    own database. Exit code 3 if the file itself is wrong, 1 if something that it names is.
    """
    from node.commands.check import check as run

    raise typer.Exit(run(config, online=online, json_output=json_output))


@app.command()
def route(
    files: Annotated[
        list[Path] | None, typer.Argument(help="DICOM files or folders.", metavar="FILES", parser=_path)
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    calling_ae_title: Annotated[
        str, typer.Option("--from", help="Decide as if this AE title had sent the files.", metavar="AE")
    ] = "",
    try_: Annotated[
        Path | None,
        typer.Option("--try", help="Try the routes of this file on stored studies.", metavar="FILE", parser=_path),
    ] = None,
    since_: Annotated[
        str, typer.Option("--since", help=f"With --try: studies received since then. {SINCE_HELP}", metavar="WHEN")
    ] = "7d",
    all_: Annotated[bool, typer.Option("--all", help="With --try: list every difference.")] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the trace as JSON, as the node stores it; with --try, the trial.")
    ] = False,
) -> None:
    """Show which routes match each series and, clause by clause, why or why not.

    With --try, show what the routes of another file would have decided otherwise about the studies of the last days.
    Receives, runs and sends nothing. Exit code 1 if a file or series cannot be read, or a file is named and is no
    DICOM.
    """
    if try_ is not None:
        if files:
            raise typer.BadParameter("--try: is about stored studies; should be without FILES")
        from node.commands.route_trial import try_routes

        raise typer.Exit(try_routes(try_, since(since_), config, as_json=json_output, every=all_))
    if not files:
        raise typer.BadParameter("FILES: should be at least one DICOM file or folder, or --try with a file of routes")
    from node.commands.route import route as run

    raise typer.Exit(run(files, config, calling_ae_title=calling_ae_title, as_json=json_output))


@jobs_app.callback()
def jobs(
    context: typer.Context,
    config: ConfigOption = DEFAULT_CONFIG,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep running and show changes as they happen.")] = False,
) -> None:
    """List the jobs of the node, latest first."""
    context.obj = config
    if context.invoked_subcommand is None:
        from node.commands.jobs import list_jobs

        raise typer.Exit(list_jobs(config, watch=watch))


@jobs_app.command("list")
def jobs_list(
    context: typer.Context,
    state: Annotated[
        str | None, typer.Option(help="Only jobs in this state: queued, running, sending, done, unsuitable or failed.")
    ] = None,
    limit: Annotated[int, typer.Option(help="List at most this many jobs.", min=1, max=1_000_000)] = 50,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep running and show changes as they happen.")] = False,
    json_output: JsonOption = False,
    config: JobsConfigOption = None,
) -> None:
    """List jobs, latest first."""
    from node.commands.jobs import list_jobs

    raise typer.Exit(list_jobs(config or context.obj, state=state, limit=limit, watch=watch, json_output=json_output))


@jobs_app.command("show")
def jobs_show(
    context: typer.Context,
    job: JobArgument,
    json_output: JsonOption = False,
    config: JobsConfigOption = None,
) -> None:
    """Show one job: why it was started, its timeline, its objects and where they were sent."""
    from node.commands.jobs import show

    raise typer.Exit(show(config or context.obj, job, json_output=json_output))


@jobs_app.command("start")
def jobs_start(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="The name of the pipeline.")],
    study: Annotated[str, typer.Argument(help="The StudyInstanceUID of a stored study.", metavar="STUDY", parser=_uid)],
    series: Annotated[
        list[str] | None, typer.Option("--series", help="Only this series; can be repeated.", metavar="UID")
    ] = None,
    route: Annotated[
        str | None, typer.Option(help="The route whose settings are used, if several run the pipeline.", metavar="NAME")
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", help="A destination in place of the route's; can be repeated.", metavar="NAME"),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            help="Another bundle: its folder, or the first characters of an earlier version.",
            metavar="FOLDER",
        ),
    ] = None,
    config: JobsConfigOption = None,
) -> None:
    """Have a pipeline run on a stored study, whatever the conditions of its route say.

    With --bundle that one is tried and kept as by condyle model use, and runs here only; what is in force stays. Exit
    code 1 if the pipeline does not accept the study, or accepts none of its series, or if the bundle cannot be run.
    """
    from node.commands.reroute import start

    raise typer.Exit(
        start(pipeline, study, config or context.obj, series=series or [], route=route, to=to or [], bundle=bundle)
    )


@jobs_app.command("restart")
def jobs_restart(
    context: typer.Context,
    job: JobArgument,
    config: JobsConfigOption = None,
) -> None:
    """Restart a failed or unsuitable job at the step that failed."""
    from node.commands.jobs import restart

    raise typer.Exit(restart(config or context.obj, job))


@jobs_app.command("cancel")
def jobs_cancel(
    context: typer.Context,
    job: JobArgument,
    config: JobsConfigOption = None,
) -> None:
    """Cancel a job that is queued, running or sending. It counts as failed, and its unsent objects are not sent.

    Objects that a destination already has are not recalled. A cancelled job can be restarted.
    """
    from node.commands.jobs import cancel

    raise typer.Exit(cancel(config or context.obj, job))


@jobs_app.command("send")
def jobs_send(
    context: typer.Context,
    job: JobArgument,
    to: Annotated[list[str], typer.Option("--to", help="The name of a destination; can be repeated.", metavar="NAME")],
    config: JobsConfigOption = None,
) -> None:
    """Send what a job made to a destination that it did not go to.

    The objects are encoded as that destination wants them; the pipeline does not run again. What a shadow job made,
    or what an operator cancelled, goes to these destinations only.
    """
    from node.commands.jobs import send_to

    raise typer.Exit(send_to(config or context.obj, job, to))


RouteArgument = Annotated[str, typer.Argument(help="The name of a route.", metavar="ROUTE")]


@model_app.command("list")
def model_list(
    route: Annotated[str | None, typer.Argument(help="Only this route.", metavar="ROUTE")] = None,
    json_output: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List the versions that routes ran or run, the latest first, with who put them in force and when."""
    from node.commands.model_versions import list_versions

    raise typer.Exit(list_versions(route, config, json_output=json_output))


@model_app.command("use")
def model_use(
    route: RouteArgument,
    bundle: Annotated[
        str,
        typer.Argument(
            help="The folder of a bundle, as condyle train writes it, or the first characters of an earlier version.",
            metavar="FOLDER",
        ),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Put another version of its model in force for a route.

    The bundle is copied into the data folder, loaded, and run on the pipeline's simulated example study; if any of that
    fails, nothing changes and the exit code is 1. A running node takes it for its next decision: it is not restarted,
    and jobs that were decided before keep the version that they were decided with.
    """
    from node.commands.model_versions import use

    raise typer.Exit(use(route, bundle, config))


@model_app.command("back")
def model_back(route: RouteArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Put the version in force again that a route ran before the present one; at last, what is configured."""
    from node.commands.model_versions import back

    raise typer.Exit(back(route, config))


@model_app.command("forget")
def model_forget(
    version: Annotated[
        str,
        typer.Argument(help="The first characters of a version, as condyle model list has it.", metavar="VERSION"),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Delete the files of a version. Exit code 1 if it is in force, can be gone back to, or a job still needs it."""
    from node.commands.model_versions import forget

    raise typer.Exit(forget(version, config))


@audit_app.command("list")
def audit_list(
    what: Annotated[str, typer.Option(help="Only lines of this kind, such as 'study erased'.", metavar="KIND")] = "",
    who: Annotated[str, typer.Option(help="Only by this account or sender.", metavar="NAME")] = "",
    study: Annotated[
        str | None, typer.Option(help="Only about this StudyInstanceUID.", metavar="UID", parser=_uid)
    ] = None,
    since_: Annotated[str | None, typer.Option("--since", help=SINCE_HELP, metavar="WHEN")] = None,
    limit: Annotated[int, typer.Option(help="List at most this many lines.", min=1, max=1_000_000)] = 50,
    json_output: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List the lines of the audit trail, the latest first."""
    from node.commands.audit import list_lines

    begin = None if since_ is None else since(since_)
    raise typer.Exit(
        list_lines(config, what=what, who=who, study=study or "", since=begin, limit=limit, json_output=json_output)
    )


@audit_app.command("verify")
def audit_verify(
    contains: Annotated[
        str | None,
        typer.Option(help="A digest that an earlier verify printed: that line must still be there.", metavar="DIGEST"),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Say whether the files of the audit trail are as they were written.

    Each line holds the digest of the line before it. Exit code 1 if one was changed, removed, inserted or replaced, or
    if the end is missing.
    """
    from node.commands.audit import verify_files

    raise typer.Exit(verify_files(config, contains=contains, json_output=json_output))


@alerts_app.callback()
def alerts(
    context: typer.Context,
    config: ConfigOption = DEFAULT_CONFIG,
    json_output: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    limit: Annotated[int, typer.Option(help="List at most this many that are over.", min=0, max=10_000)] = 20,
) -> None:
    """List what is wrong now, what was, the rules and the channels."""
    context.obj = config
    if context.invoked_subcommand is None:
        from node.commands.alerts import list_alerts

        raise typer.Exit(list_alerts(config, as_json=json_output, limit=limit))


@alerts_app.command("test")
def alerts_test(
    context: typer.Context,
    channel: Annotated[str | None, typer.Argument(help="Only this channel.", metavar="CHANNEL")] = None,
    config: JobsConfigOption = None,
) -> None:
    """Send a test message to every channel, or to one, and print what its server answers. Exit code 1 if one fails."""
    from node.commands.alerts import test

    raise typer.Exit(test(channel, config or context.obj))


@alerts_app.command("silence")
def alerts_silence(
    context: typer.Context,
    rule: Annotated[str, typer.Argument(help="The name of a rule, as condyle alerts lists them.", metavar="RULE")],
    long: Annotated[
        timedelta | None,
        typer.Option("--for", help="How long: 90s, 10m, 4h, 7d or 2w.", metavar="TIME", parser=_duration),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Tell of it again from now on.")] = False,
    config: JobsConfigOption = None,
) -> None:
    """Have nobody told of what a rule finds for a while. What still lasts when the time is over is told then."""
    from node.commands.alerts import silence

    if (long is None) != off:
        raise typer.BadParameter("should have one of --for TIME and --off")
    raise typer.Exit(silence(rule, long, config or context.obj))


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="The name of a route.", metavar="ROUTE")],
    second: Annotated[str, typer.Argument(help="Another route, such as its shadow.", metavar="SHADOW")],
    since_: Annotated[str, typer.Option("--since", help=SINCE_HELP, metavar="WHEN")],
    json_output: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A folder for a report with pictures.", file_okay=False, metavar="FOLDER"),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Compare what two routes say of the same images: first where they disagree, then how far they agree.

    Measurements by bias and limits of agreement, grades by kappa, regions by Dice, derived volumes by differences.
    Exit code 1 if they have no images in common.
    """
    from node.commands.compare import compare as run

    raise typer.Exit(run(first, second, since(since_), config, as_json=json_output, out=out))


@app.command()
def reroute(
    studies: Annotated[
        list[str] | None,
        typer.Argument(help="StudyInstanceUIDs of studies that are stored.", metavar="STUDY", parser=_uid),
    ] = None,
    since_: Annotated[
        str | None, typer.Option("--since", help=f"All studies received since then. {SINCE_HELP}", metavar="WHEN")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="List every decision, however many there are.")] = False,
    json_output: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Decide anew about old studies, after a change of routes, settings, destinations or models.

    Other settings or another model make a new job, whose report names the earlier one. The same job is not run twice:
    it is begun again if it failed or was unsuitable, and goes to the destinations that its route did not have. Say
    condyle reload first if the configuration was changed. Exit code 1 if a study is not stored or not complete.
    """
    from node.commands.reroute import reroute as run

    begin = None if since_ is None else since(since_)
    raise typer.Exit(run(studies or [], begin, config, dry_run=dry_run, every=all_, json_output=json_output))


@app.command("run-study")
def run_study(
    studies: Annotated[
        list[str] | None, typer.Argument(help="StudyInstanceUIDs.", metavar="STUDY", parser=_uid)
    ] = None,
    accession: Annotated[
        list[str] | None, typer.Option(help="An accession number, with --from; can be repeated.", metavar="NUMBER")
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="A CSV file of accession_number or study_instance_uid.",
            metavar="FILE",
            parser=_path,
        ),
    ] = None,
    archive: Annotated[
        str, typer.Option("--from", help="The archive to fetch from, of run_requests.archives.", metavar="NAME")
    ] = "",
    route: Annotated[str, typer.Option(help="The route whose pipeline and settings are used.", metavar="NAME")] = "",
    pipeline: Annotated[str, typer.Option(help="The pipeline, if one route runs it.", metavar="NAME")] = "",
    to: Annotated[
        list[str] | None,
        typer.Option("--to", help="A destination in place of the route's; can be repeated.", metavar="NAME"),
    ] = None,
    at_a_time: Annotated[int, typer.Option(help="Jobs of the list that may be under way.", min=1)] = 2,
    hours: Annotated[
        str | None, typer.Option(help="Begin work only between these times of day.", metavar="HH:MM-HH:MM")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="A CSV file for what became of each; what it lists as run is left out.", metavar="FILE"),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the jobs.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Have a pipeline run on studies that are stored, or fetched from an archive first, whatever the routes say.

    A list is worked off one study after the other; called again with the same --report it goes on where it ended. No
    route is asked about what is fetched. Exit code 1 if a study could not be run, or, with --wait, a job has no result.
    """
    from node.commands.run_study import pace
    from node.commands.run_study import run_study as run

    raise typer.Exit(
        run(
            studies or [],
            config,
            accession_numbers=accession or [],
            listed_in=listed,
            archive=archive,
            pipeline=pipeline,
            route=route,
            to=to or [],
            pace=pace(at_a_time, hours),
            report=report,
            wait=wait,
        )
    )


def _input(text: str) -> Path:
    """A file or folder to run a pipeline on; a UID is one of a study that a node has stored."""
    if re.fullmatch(UID, text.strip()) and not Path(text).exists():
        stored = f"a study that a node has stored is run by condyle jobs start PIPELINE {text.strip()}"
        raise typer.BadParameter(f"{text!r} does not exist; {stored}")
    return _path(text)


class Modality(StrEnum):
    """What a picture can be taken for."""

    DX = "DX"


@app.command()
def run(
    pipeline: Annotated[str, typer.Argument(help="The name of the pipeline, or bundle:NAME.")],
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="DICOM files or folders; pictures (PNG, JPEG) with --as DX.", metavar="PATH", parser=_input
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write to; created if missing.", metavar="FOLDER")],
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the summaries as a JSON list, and nothing else.")
    ] = False,
    nifti: Annotated[
        bool, typer.Option("--nifti", help="Also write derived volumes and segmentations as .nii.gz.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Also write index.html, which shows all results in the folder.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N, for pipelines that can choose.", metavar="DEVICE")
    ] = "auto",
    as_: Annotated[
        Modality | None, typer.Option("--as", help="Take pictures (PNG, JPEG) for images of this modality.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="The patients' records, for a pipeline that reads them: a FHIR R4 bundle, HL7 v2 messages, OMOP CDM "
            "tables (zip or folder).",
            metavar="FILE",
            parser=_path,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--settings", help="A setting of the pipeline; can be repeated.", metavar="KEY=VALUE"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results of the same images.")] = False,
    config: Annotated[
        Path,
        typer.Option("--config", "-c", help="The configuration of a bundle.", envvar="CONDYLE_CONFIG"),
    ] = DEFAULT_CONFIG,
) -> None:
    """Run a pipeline on files, without a node and without a database.

    A pipeline for series runs once for each series, one for studies once for each study. Each gets a folder with its
    DICOM objects, its captures as PNG and summary.json. Exit code 1 if one was unsuitable or failed, or a file cannot
    be read; the others are done all the same.
    """
    from node.commands.run import run as run_files

    raise typer.Exit(
        run_files(
            pipeline,
            paths,
            out,
            as_json=json_output,
            nifti=nifti,
            preview=preview,
            device=device,
            as_modality=as_,
            record=record,
            settings=settings or [],
            overwrite=overwrite,
            config=config,
        )
    )


@bundle_app.command("add")
def bundle_add(
    folder: Annotated[Path, typer.Argument(help="The folder of the bundle.", metavar="FOLDER", parser=_path)],
    name: Annotated[
        str | None, typer.Option("--name", help="Its name in the configuration; the default is that of the folder.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Read a bundle, convert its weights to safetensors beside them, and print its entry for the configuration.

    The bundle's configuration is read as plain values and its weights as tensors alone: nothing of it runs. Exit code 1
    if it cannot be read.
    """
    from node.commands.bundle import add as run

    raise typer.Exit(run(folder, name, config))


@bundle_app.command("check")
def bundle_check(
    bundle: Annotated[str, typer.Argument(help="Its name in the configuration, or its folder.", metavar="BUNDLE")],
    json_output: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Say what is known of a bundle without running it: digest, classes, expressions, and whether results lie in place.

    A body whose place is known is sent through the bundle's own transforms, with a threshold in place of the network.
    Exit code 1 if something is wrong, or something that trust: declarative needs is not understood.
    """
    from node.commands.bundle import check as run

    raise typer.Exit(run(bundle, config, json_output=json_output))


UserArgument = Annotated[str, typer.Argument(help="The user's name.", metavar="NAME")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help="A file with the password, or - for standard input; else it is asked for.",
        metavar="FILE",
    ),
]


@user_app.command("add")
def user_add(
    name: UserArgument,
    role: Annotated[Role, typer.Option("--role", help="What the user may do.")] = Role.VIEWER,
    patients: Annotated[bool, typer.Option("--patients", help="The user sees patients' names and IDs.")] = False,
    password_file: PasswordFile = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Add a user, also before the node's first start. With the first user everybody has to sign in.

    A viewer looks; an operator also acts: restarts, sends, pauses; an administrator may all, and adds users and tokens.
    """
    from node.commands.user import add as run

    raise typer.Exit(run(name, role, config, sees_patients=patients, password_file=password_file))


@user_app.command("list")
def user_list(
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List the users."""
    from node.commands.user import list_users as run

    raise typer.Exit(run(config, as_json=json_output))


@user_app.command("role")
def user_role(
    name: UserArgument,
    role: Annotated[Role, typer.Argument(help="The new role.")],
    patients: Annotated[
        bool | None,
        typer.Option("--patients/--no-patients", help="Whether the user sees patients' names; without it as before."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Give a user another role; that ends the user's sessions."""
    from node.commands.user import set_role as run

    raise typer.Exit(run(name, role, config, sees_patients=patients))


@user_app.command("password")
def user_password(
    name: UserArgument, password_file: PasswordFile = None, config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Give a user another password; that ends the user's sessions."""
    from node.commands.user import set_password as run

    raise typer.Exit(run(name, config, password_file=password_file))


@user_app.command("disable")
def user_disable(name: UserArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Have a user not sign in any more; that ends the user's sessions."""
    from node.commands.user import disable as run

    raise typer.Exit(run(name, config))


@user_app.command("enable")
def user_enable(name: UserArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Have a user sign in again."""
    from node.commands.user import enable as run

    raise typer.Exit(run(name, config))


@user_app.command("remove")
def user_remove(name: UserArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Remove a user; that ends the user's sessions. The audit trail keeps what the user did."""
    from node.commands.user import remove as run

    raise typer.Exit(run(name, config))


TokenArgument = Annotated[str, typer.Argument(help="The token's name.", metavar="NAME")]


@token_app.command("new")
def token_new(
    name: TokenArgument,
    scope: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What it is good for; can be repeated. [default: read]")
    ] = None,
    days: Annotated[int, typer.Option("--days", help="How long it holds; 0: until it is revoked.", min=0)] = 365,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Make a token for a program, and print it once. The program shows it as Authorization: Bearer TOKEN."""
    from node.commands.token import new as run

    raise typer.Exit(run(name, scope or [Scope.READ], days or None, config))


@token_app.command("list")
def token_list(
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List the tokens, the latest first."""
    from node.commands.token import list_tokens as run

    raise typer.Exit(run(config, as_json=json_output))


@token_app.command("revoke")
def token_revoke(name: TokenArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Have a token hold no more."""
    from node.commands.token import revoke as run

    raise typer.Exit(run(name, config))


@app.command()
def resend(
    to: Annotated[str, typer.Option("--to", help="The name of the destination.", metavar="NAME")],
    since_: Annotated[str, typer.Option("--since", help=SINCE_HELP, metavar="WHEN")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say how much it would be.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send again all that a destination took since then, for example after it was restored from an older copy.

    The same bytes go out under the same UIDs. Exit code 1 if some of the objects are no longer stored.
    """
    from node.commands.resend import resend as run

    raise typer.Exit(run(to, since(since_), config, dry_run=dry_run))


class Rejection(StrEnum):
    """`RejectionReason` in words."""

    QUALITY = RejectionReason.QUALITY.word
    PATIENT_SAFETY = RejectionReason.PATIENT_SAFETY.word
    WORKLIST_ENTRY = RejectionReason.WORKLIST_ENTRY.word
    RETENTION = RejectionReason.RETENTION.word


@app.command()
def withdraw(
    why: Annotated[
        str,
        typer.Option("--reason", help="Why, in words; destinations get it, so name no patient.", metavar="TEXT"),
    ],
    job: Annotated[
        str, typer.Argument(help="The first characters of the job's id; or say --pipeline.", metavar="JOB")
    ] = "",
    pipeline: Annotated[str, typer.Option("--pipeline", help="All results of this pipeline.", metavar="NAME")] = "",
    version: Annotated[
        str | None,
        typer.Option(
            "--version",
            help="Only by this version of the pipeline, or by weights whose digest begins so (8 characters at least).",
            metavar="VERSION",
        ),
    ] = None,
    since_: Annotated[
        str | None, typer.Option("--since", help=f"Only results since then. {SINCE_HELP}", metavar="WHEN")
    ] = None,
    as_: Annotated[
        Rejection, typer.Option("--as", help="What rejection notes give as the reason.")
    ] = Rejection.QUALITY,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what is where.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for the running node to tell the destinations.", min=0.0)
    ] = 60.0,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take results back everywhere they went, with proof: each destination is told as its `withdraw` says, then asked.

    What is under way ends, and nothing of it is sent again. Exit code 1 if there is no such result, or a destination
    refuses. condyle withdrawals shows the proof later.
    """
    from node.actions.withdrawing import Chosen
    from node.commands.withdraw import withdraw as run

    if bool(job) == bool(pipeline):
        raise typer.BadParameter("should have either JOB or --pipeline")
    if job and (version is not None or since_ is not None):
        raise typer.BadParameter("--version and --since choose among the results of --pipeline, and go with it only")
    if not why.strip():
        raise typer.BadParameter("--reason: is empty; say why, for those who read the results")
    chosen = Chosen(job, pipeline, version, since(since_) if since_ is not None else None)
    reason = RejectionReason[as_.name]
    raise typer.Exit(run(chosen, why.strip(), reason, config, dry_run=dry_run, yes=yes, wait_s=wait_s))


@app.command("withdrawals")
def withdrawals(
    job: Annotated[str, typer.Argument(help="Only of the job whose id begins so.", metavar="JOB")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show what was taken back, or replaced by a later result: how each destination was told, what it had and has.

    Exit code 1 if a destination refused.
    """
    from node.commands.withdraw import show as run

    raise typer.Exit(run(config, job, as_json=as_json))


@app.command()
def verdicts(
    since_: Annotated[str | None, typer.Option("--since", help=f"Received since. {SINCE_HELP}", metavar="WHEN")] = None,
    pipeline: Annotated[str, typer.Option(help="Only about results of this pipeline.", metavar="NAME")] = "",
    all_: Annotated[
        bool, typer.Option("--all", help="Also those that a later one by the same reader takes the place of.")
    ] = False,
    limit: Annotated[int, typer.Option(help="How many to show.", min=1)] = 50,
    export: Annotated[Path | None, typer.Option(help="Write all of them into a CSV file.", metavar="FILE")] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write how far readers agree, as a page with tables and pictures.", metavar="FOLDER"),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(help="Write what readers took over or corrected, as data for condyle train.", metavar="FOLDER"),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="All of them as JSON.")] = False,
    read_all: Annotated[
        bool, typer.Option("--read-all", help="Have all that is stored looked into, also what came before.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List what readers say about results: accepted, modified, rejected.

    Verdicts come in as Assessment SRs and as edited copies of reports, or are given on the page. A reader is shown as a
    digest.
    """
    from node.commands.verdict_dataset import dataset as write_dataset
    from node.commands.verdict_report import report as write_report
    from node.commands.verdicts import read_all as look_into_all
    from node.commands.verdicts import verdicts as run

    if read_all:
        raise typer.Exit(look_into_all(config))
    begin = None if since_ is None else since(since_)
    for folder, write in ((report, write_report), (dataset, write_dataset)):
        if folder is not None:
            raise typer.Exit(write(folder, config, since=begin, pipeline=pipeline))
    raise typer.Exit(
        run(
            config,
            since=begin,
            pipeline=pipeline,
            superseded=all_,
            export=export,
            as_json=json_output,
            limit=limit,
        )
    )


@app.command()
def erase(
    study: Annotated[str, typer.Argument(help="The StudyInstanceUID.", metavar="STUDY", parser=_uid)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    arriving: Annotated[
        bool, typer.Option("--arriving", help="Also if the study is not complete; what comes later is a new study.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Delete a study and everything that was made of it from this node. The audit trail says that it was deleted.

    What destinations have is not deleted: they are named. Exit code 1 if a job of the study has not ended.
    """
    from node.commands.erase import erase as run

    raise typer.Exit(run(study, config, yes=yes, arriving=arriving))


@app.command()
def send(
    folder: Annotated[
        Path, typer.Argument(help="A DICOM file, or a folder with DICOM files.", metavar="FOLDER", parser=_path)
    ],
    to: Annotated[str, typer.Option("--to", help="The name of a destination in the configuration.", metavar="NAME")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send DICOM files to a destination, in the same way as the node sends its results.

    Results of kinds that the destination's profile leaves out are left out here too.

    Exit code 1 if a file was refused or cannot be read, 4 if the destination cannot be reached.
    """
    from node.commands.send import send as run

    raise typer.Exit(run(folder, to, config))


@app.command("import")
def import_(
    path: Annotated[
        Path,
        typer.Argument(
            help="A DICOM file, folder, packed file or medium with a DICOMDIR.", metavar="PATH", parser=_path
        ),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Import DICOM files into the node's store, as if a peer had sent them.

    A running node processes them when their series are complete; a stopped node, when it is next started.
    """
    from node.commands.import_ import import_ as run

    raise typer.Exit(run(path, config))


@app.command("example-results")
def example_results(
    folder: Annotated[Path, typer.Argument(help="The folder to write to; created if missing.", file_okay=False)],
) -> None:
    """Write one example of every object that the node makes.

    Use them to try your viewer and archive before any patient's study is involved. The studies are simulated.
    """
    from node.commands.example_results import example_results as run

    raise typer.Exit(run(folder))


PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
PipelineArgument = Annotated[str, typer.Argument(help="The name of the pipeline; add --help to list its options.")]


@app.command(context_settings=PASS_ON)
def train(context: typer.Context, pipeline: PipelineArgument = "--help") -> None:
    """Train the model of a pipeline: condyle train PIPELINE, followed by the options of the pipeline."""
    _hand_over(context, "train", pipeline)


@app.command(context_settings=PASS_ON)
def evaluate(context: typer.Context, pipeline: PipelineArgument = "--help") -> None:
    """Measure a pipeline and its baselines: condyle evaluate PIPELINE, followed by the options of the pipeline."""
    _hand_over(context, "evaluate", pipeline)


def _hand_over(context: typer.Context, what: str, pipeline: str) -> None:
    from node.commands.model import hand_over, installed

    if pipeline in ("-h", "--help"):
        typer.echo(context.get_help())
        typer.echo(f"Installed pipelines: {installed()}")
        raise typer.Exit(OK)
    raise typer.Exit(hand_over(what, pipeline, context.args))


@app.command()
def risk(
    patient: Annotated[str, typer.Option("--patient", help="The patient ID in the record.", metavar="ID")],
    config: ConfigOption = DEFAULT_CONFIG,
    issuer: Annotated[
        str | None, typer.Option(help="Issuer of the patient ID; the default is records.default_issuer.")
    ] = None,
    at: Annotated[
        date | None,
        typer.Option(
            help="The day from which the risk is counted; the default is today.", parser=_day, metavar="YYYY-MM-DD"
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the answer as a FHIR RiskAssessment.")] = False,
) -> None:
    """Estimate a patient's risk of knee osteoarthritis from the record, without waiting for a study.

    Research use only. Exit code 1 if there is no record or it cannot be used.
    """
    from node.commands.risk import risk as run

    raise typer.Exit(run(patient, config, issuer, at, json_output))


@app.command()
def record(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="FHIR R4 bundles, HL7 v2 messages, OMOP CDM tables (zip or folder).", metavar="FILES", parser=_path
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    new_key: Annotated[
        Path | None, typer.Option("--new-key", help="Create a key for records.key_file in this file.")
    ] = None,
) -> None:
    """Import patient records into the node, for pipelines that use them.

    Exit code 1 if a file was refused.
    """
    from node.commands import record as run

    if new_key is not None:
        raise typer.Exit(run.make_key(new_key))
    if not files:
        raise typer.BadParameter("there is none; give files to import, or --new-key FILE", param_hint="FILES")
    raise typer.Exit(run.record(files, config))


@app.command()
def conformance(
    output: Annotated[
        Path | None, typer.Argument(help="The file to write; the default is standard output.", metavar="FILE")
    ] = None,
) -> None:
    """Write the DICOM conformance statement from what the code offers."""
    from node.commands.conformance import conformance as run

    raise typer.Exit(run(output))


@app.command()
def version(json_output: JsonOption = False) -> None:
    """Print the versions of the node and of its pipelines."""
    from node.commands.version import version as run

    raise typer.Exit(run(json_output=json_output))


def main() -> None:
    """Entry point of the console script. An error is one sentence, never a traceback, which could show patient data."""
    from dicom_sr.errors import DicomError
    from node.data_folder import keep_private
    from node.errors import ConfigurationError, NodeError

    keep_private()  # whatever a command writes
    logging.getLogger().addHandler(logging.NullHandler())  # a command says itself what matters; `serve` sets up its log
    if (
        not sys.warnoptions
    ):  # libraries warn programmers and may quote values; the node itself tells the user what matters
        warnings.simplefilter("ignore")
    try:
        app()
    except (NodeError, DicomError) as error:
        several = "\n" if isinstance(error, ConfigurationError) else ""  # it has a line for each mistake
        typer.echo(escaped(str(error), keep=several), err=True)
        sys.exit(error.exit_code if isinstance(error, NodeError) else NOT_RIGHT)


if __name__ == "__main__":
    main()
