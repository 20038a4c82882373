"""`make demo` from the outside: what is sent comes back, the exit code tells, and nothing is left."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from node.commands.terminal import SafeConsole
from node.demo import __main__ as demo
from node.demo import orthanc_process as demo_orthanc
from node.demo import samples

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.timeout(300)


def small_knee(folder: Path) -> Path:
    """A knee of 6 slices of 48 x 48 pixels, which one route of config.yaml takes, by ProtocolName; quick to run."""
    folder.mkdir()
    stack = samples.Stack(6, 48, 48, 3.0, 6.0, 5.0, samples.KNEE_STACK.row, samples.KNEE_STACK.column)
    samples._write_mr(folder, "small", 4, stack, samples.knee_signal, "LEG", "PD SAG", "KNEE ROUTINE")
    (folder / "notes.txt").write_text("not DICOM")
    return folder


@contextmanager
def started(tmp_path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo, with its temporary folder in `tmp_path`."""
    with subprocess.Popen(
        [sys.executable, "-m", "node.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "500"},  # no cell is broken into lines
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()  # where the test failed half way; else it has ended


def read_up_to(process: subprocess.Popen[str], last: str) -> str:
    """What the demo prints up to the line with `last` in it, or to its end."""
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if last in line:
            break
    return told


def left_behind(tmp_path: Path) -> list[str]:
    """Command lines of processes that were started on a folder in `tmp_path`, and such folders."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{tmp_path}/condyle-demo-" in command:
            found.append(command)
    return found + [str(path) for path in tmp_path.glob("condyle-demo-*")]


@pytest.mark.orthanc
def test_ones_own_images_come_back_as_results_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with started(tmp_path, "--input", str(small_knee(tmp_path / "mine"))) as process:
        told = read_up_to(process, "Ctrl-C ends everything")
        assert "passed over, because not DICOM: 1 of 7 files" in told
        assert "why:  knee super resolution ran: every clause holds" in told
        assert "back: 1 MR series" in told
        assert "0 of 1 done: waiting for " in told
        assert "\x1b" not in told, "what goes into a file has no control characters"
        assert "\r" not in told
        addresses = dict(re.findall(r"^  (\S.*?)  +((?:http|file)://\S+)$", told, re.MULTILINE))
        assert {"the node's page", "a study on it", "it in the archive", "results as files"} == set(addresses)
        files = Path(addresses.pop("results as files").removeprefix("file://"))
        assert list(files.rglob("*.dcm"))
        assert [httpx.get(address).status_code for address in addresses.values()] == [200, 200, 200]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, rest
    assert left_behind(tmp_path) == []  # no process of it, so no port of it either


def test_without_orthanc_results_go_to_a_folder_and_the_table_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_orthanc, "program", lambda: None)  # as on a machine without it
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(demo.console, "width", 500)
    assert demo.demo(small_knee(tmp_path / "mine"), once=True) == 0
    told = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "Orthanc is not installed: results go to a folder instead" in told
    assert "results go to the folder" in told
    assert "back: 1 MR series" in told
    assert left_behind(tmp_path) == []


def test_on_a_terminal_a_bar_says_what_is_waited_for_and_is_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    terminal = SafeConsole(keep="\n", file=shown, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(demo, "console", terminal)
    with demo.waiting(10) as show:
        show(3, "waiting for 4 objects to be sent")
    assert "3/10" in shown.getvalue()
    assert "waiting for 4 objects to be sent" in shown.getvalue()
    assert shown.getvalue().endswith("\x1b[2K"), "its line is cleared"


def test_in_a_file_each_number_that_is_done_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(demo, "console", SafeConsole(keep="\n", file=shown, width=40))
    with demo.waiting(2) as show:
        for done, note in ((0, "waiting for the last image of 2 studies"), (0, "another"), (1, "waiting for knees")):
            show(done, note)
    lines = ["0 of 2 done: waiting for the last image of 2 studies", "1 of 2 done: waiting for knees"]
    assert shown.getvalue().splitlines() == lines


def test_a_folder_without_dicom_is_told_and_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with started(tmp_path, "--once", "--input", str(tmp_path / "empty")) as process:
        told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no DICOM file" in told
    assert left_behind(tmp_path) == []
