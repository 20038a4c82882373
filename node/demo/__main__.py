"""`make demo`: an archive and the node on this machine, studies sent as by a scanner, a table of what came of them."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

import httpx
from rich.console import Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from dicom_sr.words import counted
from node.commands.terminal import SafeConsole
from node.config import Configuration, read
from node.data_folder import keep_private
from node.database.connection import open_database
from node.demo import configuration, samples
from node.demo.orthanc_process import VIEWERS, Orthanc, OrthancFailed, OrthancMissing, plugin
from node.demo.outcome import SampleOutcome, Sent, outcome, progress
from node.demo.result_archive import FolderArchive, OrthancArchive, ResultArchive
from node.demo.scanner import AE_TITLE, File, Receiver, Scanner

START_TIMEOUT_S = 60.0  # of the node; the first start of a fresh installation compiles its modules
STOP_TIMEOUT_S = 20.0
PATIENCE_S = 900.0  # until every study is settled
POLL_S = 0.2

# what is piped into a file has no terminal whose width it could take
console = SafeConsole(keep="\n", width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "120")))


class DemoFailed(RuntimeError):
    """The demo cannot go on; the message says why."""


# ---- the node
@contextmanager
def running_node(config: Path, log: Path) -> Iterator[Configuration]:
    """`condyle serve` on `config`, ready, until the context ends.

    Raises
    ------
    DemoFailed
        With the end of its log, if it does not become ready.
    """
    settings = read(config)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "serve", str(config), "--log", "console"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "NO_COLOR": "1"},
            start_new_session=True,  # Ctrl-C is for the demo, which then ends the node in order
        )
        try:
            _wait_until_ready(process, settings, log)
            yield settings
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                console.print(f"[yellow]the node did not stop within {STOP_TIMEOUT_S:.0f} s and was killed")
            with suppress(ProcessLookupError):  # the node, or what it left behind in its session
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], settings: Configuration, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{page_url(settings)}/health/ready", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise DemoFailed(f"the node did not start:\n{log.read_text(errors='replace')[-3000:]}")


def page_url(settings: Configuration) -> str:
    """Where the page of the node is."""
    return f"http://127.0.0.1:{settings.status.port}"


# ---- what is sent
def studies_of(files: Sequence[File]) -> list[tuple[File, ...]]:
    """The files of each study, in the order they were found."""
    grouped: dict[str, list[File]] = {}
    for file in files:
        grouped.setdefault(file.study_instance_uid, []).append(file)
    return [tuple(study) for study in grouped.values()]


def made_samples(folder: Path) -> list[tuple[str, samples.Sample | None, tuple[File, ...]]]:
    """The samples, written to disk; each is one study."""
    found: list[tuple[str, samples.Sample | None, tuple[File, ...]]] = []
    for number, sample in enumerate(one for one in samples.SAMPLES if one.available()):
        place = folder / f"{number:02d}"
        place.mkdir(parents=True)
        sample.write(place)
        files = [file for path in sorted(place.iterdir()) if (file := File.read(path))]
        found.append((sample.title, sample, tuple(files)))
    return found


def own_studies(folder: Path) -> list[tuple[str, samples.Sample | None, tuple[File, ...]]]:
    """The user's studies; what is not DICOM is passed over.

    Raises
    ------
    DemoFailed
        If there is none.
    """
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    files = [file for path in paths if (file := File.read(path))]
    if not files:
        raise DemoFailed(f"{folder}: no DICOM file (Part 10) is there")
    if len(files) < len(paths):
        console.print(f"passed over, because not DICOM: {len(paths) - len(files)} of {len(paths)} files")
    found: list[tuple[str, samples.Sample | None, tuple[File, ...]]] = []
    for study in studies_of(files):
        modalities = " + ".join(dict.fromkeys(file.modality for file in study))
        series = len({file.series_instance_uid for file in study})
        found.append((f"{modalities}, {series} series, {len(study)} instances", None, study))
    return found


def send_all(
    studies: Sequence[tuple[str, samples.Sample | None, tuple[File, ...]]],
    settings: Configuration,
    archive: Receiver | None,
) -> list[Sent]:
    """Send each study to the archive, where there is one, and to the node, as a scanner with two destinations does.

    A record of the patient goes to the node before the images.

    Parameters
    ----------
    studies
        What is sent.
    settings
        Of the node that it is sent to.
    archive
        Gets every study too, as a PACS would; None: there is none.
    """
    node = Receiver(settings.node.ae_title, settings.receive.dimse.port)
    scanner = Scanner()
    sent = []
    with waiting(len(studies)) as show:
        for number, (title, sample, files) in enumerate(studies):
            show(number, f"sending {title}")
            if archive is not None and (trouble := scanner.send(files, archive)):
                console.print(f"[yellow]the archive did not take all of {title}: {trouble}")
            if sample is not None and sample.record is not None:
                httpx.post(f"{page_url(settings)}/fhir", json=sample.record(), timeout=60).raise_for_status()
            begin = time.monotonic()
            refused = scanner.send(files, node)
            sent.append(Sent(title, files, refused, time.monotonic() - begin, sample))
    console.print(f"sent by {scanner.way([file for one in sent for file in one.files])}")
    return sent


@contextmanager
def waiting(total: int) -> Iterator[Callable[[int, str], None]]:
    """Shows how many of `total` are done and what goes on, by the function that it gives.

    On a terminal as a bar, which is gone in the end; in a file as a line whenever one more is done.
    """
    if console.is_terminal:
        note = TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
        columns = (BarColumn(12), MofNCompleteColumn(), TimeElapsedColumn(), note)
        with Progress(*columns, console=console, transient=True, expand=True) as shown:
            task = shown.add_task("", total=total)
            yield lambda done, note: shown.update(task, completed=done, description=note)
        return
    told = -1

    def line(done: int, note: str) -> None:
        nonlocal told
        if done > told:
            console.print(Text(f"{done} of {total} done: {note}"), soft_wrap=True)
        told = max(told, done)

    yield line


# ---- what came of it
def wait_and_look(settings: Configuration, archive: ResultArchive, sent: Sequence[Sent]) -> list[SampleOutcome]:
    """Wait until everything is settled, or patience ends, and tell what became of each study.

    Parameters
    ----------
    settings
        Of the node.
    archive
        Where the results come back to.
    sent
        What was sent.
    """
    database = open_database(settings.node.database_url)
    try:
        deadline = time.monotonic() + PATIENCE_S
        with waiting(len(sent)) as show:
            while (now := progress(database, sent)).settled < len(sent) and time.monotonic() < deadline:
                show(now.settled, f"waiting for {now.waiting_for}")
                time.sleep(POLL_S)
        return [outcome(database, archive, one) for one in sent]
    finally:
        database.dispose()


def table(outcomes: Sequence[SampleOutcome], destination: str) -> Table:
    """A row per study: what was sent, why something ran or not, what came back and when."""
    shown = Table(title=f"What came of it (results go to {destination})", title_justify="left", box=None, expand=True)
    shown.add_column("", width=1)
    shown.add_column("sent, why it ran or not, and what came back", ratio=1, overflow="fold")
    shown.add_column("after the\nlast image", justify="right", no_wrap=True)
    for one in outcomes:
        mark = Text("✓", "green") if one.good else Text("✗", "red")
        title = Text(one.sent.title, "bold")
        if one.sent.sample is not None:
            title.append(f", {counted(len(one.sent.files), 'instance')}", "not bold dim")
        lines = [title, Text(f"why:  {one.why}"), Text(f"back: {one.returned_in_words or 'nothing'}")]
        last = max((job.after_last_image_s for job in one.jobs), default=None)
        after = "" if last is None else f"{last:.1f} s"
        shown.add_row(mark, Group(*lines, *(Text(line, "red") for line in one.lacking)), after)
    return shown


def where_to_look(
    settings: Configuration, outcomes: Sequence[SampleOutcome], orthanc: Orthanc | None, results: Path
) -> dict[str, str]:
    """What to click, with its address: the page, a study with results there and in the archive, and files."""
    page = page_url(settings)
    found = {"the node's page": f"{page}/"}
    study = next((one.sent.study_instance_uid for one in outcomes if one.good and one.returned), None)
    if study is not None:
        found["a study on it"] = f"{page}/studies/{study}"
    if orthanc is not None:
        words, address = ("the archive", f"{orthanc.url}/") if study is None else orthanc.page_of(study)
        found[words] = address
    return found | {"results as files": results.as_uri()}


def what_else(settings: Configuration, config: Path, log: Path) -> dict[str, str]:
    """What to call in a terminal."""
    condyle = Path(sys.executable).with_name("condyle")
    receiver = f"127.0.0.1 {settings.receive.dimse.port}"
    return {
        "send more": f"storescu -aec {settings.node.ae_title} -aet {AE_TITLE} {receiver} FILES",
        "the node's jobs": f"{condyle} jobs --config {config}",
        "the node's log": str(log),
    }


def show_list(heading: str, entries: dict[str, str]) -> None:
    """Print a short list, each address whole, also where the terminal is narrower."""
    console.print(Text(f"\n{heading}", "bold"))
    width = max(map(len, entries)) + 2
    for words, address in entries.items():
        console.print(Text(f"  {words:<{width}}").append(address, "cyan"), soft_wrap=True)


# ---- all together
def started_orthanc(stack: ExitStack, folder: Path) -> Orthanc | None:
    """Orthanc, until the stack ends; None, with a word about why, where it cannot be had."""
    viewers = tuple(name for name in VIEWERS if plugin(name))
    try:
        return stack.enter_context(Orthanc(folder, plugins=("DicomWeb", *viewers)))
    except (OrthancMissing, OrthancFailed) as error:
        console.print(f"[yellow]{error}: results go to a folder instead")
        return None


def demo(own: Path | None, once: bool) -> int:
    """Run the demo; the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="condyle-demo-"))
    results, log = folder / "results", folder / "node.log"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        studies = own_studies(own) if own else made_samples(folder / "samples")
        orthanc = started_orthanc(stack, folder / "orthanc")
        destinations = {"files": configuration.folder_destination(results)}
        if orthanc:
            destinations["archive"] = configuration.orthanc_destination(orthanc.ae_title, orthanc.dicom_port)
        config = configuration.write(folder / "config.yaml", folder / "node", destinations)
        settings = stack.enter_context(running_node(config, log))
        sent = send_all(
            studies,
            settings,
            Receiver(orthanc.ae_title, orthanc.dicom_port) if orthanc else None,
        )
        archive: ResultArchive = OrthancArchive(orthanc) if orthanc else FolderArchive(results)
        outcomes = wait_and_look(settings, archive, sent)
        console.print(table(outcomes, "Orthanc" if orthanc else f"the folder {results}"))
        good = all(one.good for one in outcomes)
        if once:
            if not good:
                console.print(Text(log.read_text(errors="replace")[-3000:], "dim"))
            return 0 if good else 1
        show_list("Open in a browser", where_to_look(settings, outcomes, orthanc, results))
        show_list("Or on the command line", what_else(settings, config, log))
        console.print("\nModels are trained on simulated data: for research only. Ctrl-C ends everything.")
        signal.pause()
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """The command line of the demo."""
    keep_private()
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit by itself; with code 0 only if all results arrived")
    parser.add_argument("--input", type=Path, help="a folder of your own DICOM to send instead of the samples")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if arguments.input and not arguments.input.exists():
        parser.error(f"{arguments.input} does not exist")
    try:
        return demo(arguments.input, arguments.once)
    except DemoFailed as error:
        console.print(Text(str(error), "red"))
        return 1
    except KeyboardInterrupt:
        console.print("ended")
        return 130 if arguments.once else 0


if __name__ == "__main__":
    sys.exit(main())
