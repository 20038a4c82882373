"""The command `condyle`; also `python -m node`.

Each command imports what it needs when it is called: a help text must not wait for a model's libraries.
"""

from __future__ import annotations

import sys
import warnings
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node.commands.exit_codes import CONFIGURATION, EXIT_CODES, NOT_RIGHT, OK, UNREACHABLE

app = typer.Typer(
    name="condyle",
    help="Musculoskeletal AI node for a PACS: receives studies over DICOM, runs pipelines, sends the results back.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # tracebacks with local variables would show patient data
    context_settings={"help_option_names": ["-h", "--help"]},
)
jobs_app = typer.Typer(help="List, watch, explain, cancel and restart jobs.", invoke_without_command=True)
app.add_typer(jobs_app, name="jobs")

CONFIG_HELP = "The configuration file."
ConfigArgument = Annotated[Path, typer.Argument(help=CONFIG_HELP, envvar="CONDYLE_CONFIG", metavar="CONFIG")]
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help=CONFIG_HELP, envvar="CONDYLE_CONFIG")]
DEFAULT_CONFIG = Path("config.yaml")


class LogFormat(StrEnum):
    """How log records look."""

    JSON = "json"
    CONSOLE = "console"


@app.command()
def serve(
    config: ConfigArgument = DEFAULT_CONFIG,
    log: Annotated[
        LogFormat | None,
        typer.Option(help="JSON lines or lines for people; by default JSON unless standard error is a terminal."),
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the node until Ctrl-C or SIGTERM.

    Opens the DICOM port and the status page, receives, decides, runs and sends. What was under way when the node was
    last stopped, or died, goes on.
    """
    from node.commands.serve import serve as run

    raise typer.Exit(run(config, log.value if log else None, log_level))


@app.command()
def check(
    config: ConfigArgument = DEFAULT_CONFIG,
    online: Annotated[
        bool, typer.Option("--online", help="Also ask every peer and destination by C-ECHO or a DICOMweb query.")
    ] = False,
) -> None:
    """Check the configuration and everything that it names.

    Every route, pipeline, setting, destination and peer is looked at, folders must be writable and ports free. Nothing
    is changed and, without --online, nobody is contacted. Exit code 1 if anything is wrong.
    """
    from node.commands.check import check as run

    raise typer.Exit(run(config, online=online))


@app.command()
def route(
    files: Annotated[list[Path], typer.Argument(help="DICOM files or folders.", exists=True)],
    config: ConfigOption = DEFAULT_CONFIG,
    calling_ae_title: Annotated[
        str, typer.Option("--from", help="Pretend that this AE title had sent them.", metavar="AE")
    ] = "",
    json_output: Annotated[bool, typer.Option("--json", help="The trace as JSON, as the node stores it.")] = False,
) -> None:
    """Say for each series which routes match and, clause by clause, why or why not.

    Nothing is received, run or sent.
    """
    from node.commands.route import route as run

    raise typer.Exit(run(files, config, calling_ae_title=calling_ae_title, as_json=json_output))


@jobs_app.callback()
def jobs(
    context: typer.Context,
    config: ConfigOption = DEFAULT_CONFIG,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay and show changes as they happen.")] = False,
) -> None:
    """List the jobs of the node, the latest first."""
    context.obj = config
    if context.invoked_subcommand is None:
        from node.commands.jobs import list_jobs

        raise typer.Exit(list_jobs(config, watch=watch))


@jobs_app.command("list")
def jobs_list(
    context: typer.Context,
    state: Annotated[
        str | None, typer.Option(help="Only those that are queued, running, sending, done, unsuitable or failed.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay and show changes as they happen.")] = False,
) -> None:
    """List jobs, the latest first."""
    from node.commands.jobs import list_jobs

    raise typer.Exit(list_jobs(context.obj, state=state, limit=limit, watch=watch))


@jobs_app.command("show")
def jobs_show(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="The job's id, or its first characters.", metavar="ID")],
) -> None:
    """Show one job: why it was started, its timeline, what it made and where that is."""
    from node.commands.jobs import show

    raise typer.Exit(show(context.obj, job))


@jobs_app.command("restart")
def jobs_restart(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="The job's id, or its first characters.", metavar="ID")],
) -> None:
    """Queue a failed or unsuitable job again, from the step that failed."""
    from node.commands.jobs import restart

    raise typer.Exit(restart(context.obj, job))


@jobs_app.command("cancel")
def jobs_cancel(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="The job's id, or its first characters.", metavar="ID")],
) -> None:
    """End a job that is queued, running or sending: it counts as failed, and what has not gone out does not go out.

    What a destination has already is not taken back. A job that was cancelled can be restarted.
    """
    from node.commands.jobs import cancel

    raise typer.Exit(cancel(context.obj, job))


@app.command()
def send(
    folder: Annotated[Path, typer.Argument(help="A DICOM file, or a folder with DICOM files.", exists=True)],
    to: Annotated[str, typer.Option("--to", help="A destination of the configuration.", metavar="NAME")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send DICOM files to a destination, as the node sends its results.

    Exit code 1 if any file was refused, 4 if the destination cannot be reached.
    """
    from node.commands.send import send as run

    raise typer.Exit(run(folder, to, config))


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A DICOM file, a folder, or a medium with a DICOMDIR.", exists=True)],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take DICOM files into the node's store, as if a peer had sent them.

    A running node decides on them when their series are complete; otherwise it does when it is next started.
    """
    from node.commands.import_ import import_ as run

    raise typer.Exit(run(path, config))


@app.command("example-results")
def example_results(
    folder: Annotated[Path, typer.Argument(help="Where to write them; made if it is not there.")],
) -> None:
    """Write one example of every object that the node makes.

    To try in your viewer and archive before any patient's study is involved. The studies are simulated.
    """
    from node.commands.example_results import example_results as run

    raise typer.Exit(run(folder))


PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
PipelineArgument = Annotated[str, typer.Argument(help="The pipeline's name; --help after it lists its options.")]


@app.command(context_settings=PASS_ON)
def train(context: typer.Context, pipeline: PipelineArgument = "--help") -> None:
    """Train a pipeline's model: condyle train PIPELINE followed by its own options."""
    _hand_over(context, "train", pipeline)


@app.command(context_settings=PASS_ON)
def evaluate(context: typer.Context, pipeline: PipelineArgument = "--help") -> None:
    """Measure a pipeline and its baselines: condyle evaluate PIPELINE followed by its own options."""
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
    patient: Annotated[str, typer.Option("--patient", help="The patient's ID in the record.", metavar="ID")],
    config: ConfigOption = DEFAULT_CONFIG,
    issuer: Annotated[
        str | None, typer.Option(help="Issuer of the patient ID; by default records.default_issuer.")
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(help="The day for which the risk is asked; by default today.", formats=["%Y-%m-%d"]),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="The answer as a FHIR RiskAssessment.")] = False,
) -> None:
    """Estimate a patient's risk of knee osteoarthritis from the record, without waiting for a study.

    Research use only. Exit code 1 if there is no record, or it cannot be used.
    """
    from node.commands.risk import risk as run

    raise typer.Exit(run(patient, config, issuer, at.date() if at else None, json_output))


@app.command()
def record(
    files: Annotated[
        list[Path] | None, typer.Argument(help="FHIR R4 bundles, HL7 v2 messages, OMOP CDM tables (zip or folder).")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    new_key: Annotated[
        Path | None, typer.Option("--new-key", help="Write a new key for records.key_file to this file.")
    ] = None,
) -> None:
    """Take patients' records into the node, for pipelines that work on them.

    Exit code 1 if any file was refused.
    """
    from node.commands import record as run

    if new_key is not None:
        raise typer.Exit(run.make_key(new_key))
    raise typer.Exit(run.record(files or [], config))


@app.command()
def conformance(
    output: Annotated[
        Path | None, typer.Argument(help="Where to write it; standard output if left out.", metavar="FILE")
    ] = None,
) -> None:
    """Write the DICOM conformance statement from what the code offers."""
    from node.commands.conformance import conformance as run

    raise typer.Exit(run(output))


@app.command()
def version() -> None:
    """Print the version of the node and of its pipelines."""
    from node.commands.version import version as run

    raise typer.Exit(run())


def main() -> None:
    """Entry point of the console script; what went wrong is one sentence, never a traceback with patient data."""
    from dicom_sr.errors import DicomError
    from node.errors import ConfigurationError, NodeError, PeerRefused, PeerUnavailable

    if not sys.warnoptions:  # libraries warn programmers, and some quote values; what matters to a user, we say
        warnings.simplefilter("ignore")
    codes = {ConfigurationError: CONFIGURATION, PeerUnavailable: UNREACHABLE, PeerRefused: NOT_RIGHT}
    try:
        app()
    except (NodeError, DicomError) as error:
        typer.echo(str(error), err=True)
        sys.exit(next((code for kind, code in codes.items() if isinstance(error, kind)), NOT_RIGHT))


if __name__ == "__main__":
    main()
