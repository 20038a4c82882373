"""`make demo` from the outside: what is sent comes back, the exit code tells, and nothing is left."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.demo import __main__ as demo
from node.demo import orthanc as demo_orthanc
from node.demo import samples

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 240.0  # the machine may be busy; it takes some 15 s

pytestmark = pytest.mark.timeout(300)


def small_knee(folder: Path) -> Path:
    """A knee of 6 slices of 48 x 48 pixels: real enough for the route, quick to run."""
    folder.mkdir()
    stack = samples.Stack(6, 48, 48, 3.0, 6.0, 5.0, samples.KNEE_STACK.row, samples.KNEE_STACK.column)
    samples._write_mr(folder, "small", 4, stack, samples.knee_signal, "KNEE", "PD SAG", "KNEE ROUTINE")
    (folder / "notes.txt").write_text("not DICOM")
    return folder


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """The demo, with its temporary folder in `tmp_path`."""
    return subprocess.Popen(
        [sys.executable, "-m", "node.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


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
    process = start(tmp_path, "--input", str(small_knee(tmp_path / "mine")))
    assert process.stdout is not None
    told = ""
    deadline = time.monotonic() + DEADLINE_S
    for line in process.stdout:
        told += line
        if "Ctrl-C ends everything" in line:
            break
        assert time.monotonic() < deadline
    assert "1 files are not DICOM" in told
    row = re.sub(r"[\s│]+", " ", told)
    assert "knee super resolution: every clause holds" in row
    assert "1 MR series" in row
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1[: ](\d+)", told)]
    assert len(ports) == 3  # the page, the archive, the DICOM port
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert left_behind(tmp_path) == []
    for port in ports:
        with socket.socket() as attempt:
            assert attempt.connect_ex(("127.0.0.1", port)) != 0


def test_without_orthanc_results_go_to_a_folder_and_the_table_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_orthanc, "program", lambda: None)  # as on a machine without it
    monkeypatch.setattr(demo.tempfile, "tempdir", str(tmp_path))
    assert demo.demo(small_knee(tmp_path / "mine"), once=True) == 0
    told = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert "Orthanc is not installed: results go to a folder instead" in told
    assert "results go to the folder" in told
    assert "1 MR series" in told
    assert left_behind(tmp_path) == []


def test_a_folder_without_dicom_is_told_and_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    process = start(tmp_path, "--once", "--input", str(tmp_path / "empty"))
    told, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "no DICOM file" in told
    assert left_behind(tmp_path) == []
