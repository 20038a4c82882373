"""`condyle init` as a new user meets it: on a terminal, without one, and with a study sent to what it wrote."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pynetdicom import AE

from node.commands import init as command
from node.config import read
from node.demo import samples
from node.demo.orthanc_process import free_port
from node.demo.scanner import File, Receiver, Scanner
from node.network.sop_classes import Verification
from tests.command_line import Condyle
from tests.scp import end, listen, port_of
from tests.waiting import until

COMMAND = (sys.executable, "-m", "node", "init")
PATIENCE_S = 30.0


class Terminal:
    """A command on a pseudo-terminal: what it shows is read, and what a user types is written."""

    def __init__(self, *arguments: object) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # its own terminal, for Ctrl-C
            env={**os.environ, "COLUMNS": "200", "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        self.shown = ""

    def answer(self, question: str, text: str) -> None:
        """Wait for a question after all that was shown before, and type an answer."""
        self.read_to(question)
        os.write(self._ours, text.encode())

    def read_to(self, wanted: str) -> str:
        """What is shown up to some words, which are taken off."""
        deadline = time.monotonic() + PATIENCE_S
        while wanted not in self.shown:
            assert time.monotonic() < deadline, f"{wanted!r} is not shown:\n{self.shown}"
            if select.select([self._ours], [], [], 1)[0]:
                self._read()
        before, _, self.shown = self.shown.partition(wanted)
        return before

    def _read(self) -> None:
        self.shown = re.sub(r"\x1b\[[0-9;]*m", "", self.shown + os.read(self._ours, 65536).decode())  # no colours

    def end(self) -> str:
        """The rest, once the command has ended."""
        with self.process:
            while select.select([self._ours], [], [], PATIENCE_S)[0]:
                try:
                    self._read()
                except OSError:  # the other side is closed
                    break
        return self.shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(*arguments: object) -> Terminal:
        opened.append(Terminal(*arguments))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


def ports() -> tuple[object, ...]:
    return "--port", free_port(), "--page-port", free_port()


# ---- on a terminal
def test_enter_five_times_makes_a_node_to_try(tmp_path: Path, terminal: Callable[..., Terminal]) -> None:
    config = tmp_path / "node" / "config.yaml"
    asked = terminal(config, *ports(), "--no-unit")
    for question in ("AE title", "sender", "one more", "destination", "one more", "numbers or names"):
        asked.answer(f"{question} [", "\n")
    assert "fit to run" in asked.end()
    assert asked.process.returncode == 0
    written = read(config)
    assert written.node.ae_title == "CONDYLE"
    assert written.peers["scanner"].ae_title == "SCANNER"
    assert len(written.routes) == 4
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_a_wrong_answer_is_told_at_once_and_asked_again(tmp_path: Path, terminal: Callable[..., Terminal]) -> None:
    asked = terminal(tmp_path / "config.yaml", *ports(), "--no-unit", "--to", "results", "--pipeline", "all")
    asked.answer("AE title [", "RADIOLOGY_DEPARTMENT\n")
    asked.read_to("has 20 characters; should have at most 16")
    asked.answer("AE title [", "NODE\n")
    asked.answer("sender [", "MR1@10.2.0.5/16\n")
    asked.read_to("10.2.0.0/16 for all of them, or 10.2.0.5 alone")
    asked.answer("sender [", "MR1@10.2.0.0/16\n")
    asked.answer("one more [", "CT1@10.3.0.1\n")
    asked.answer("one more [", "\n")
    asked.end()
    assert list(read(tmp_path / "config.yaml").peers) == ["mr1", "ct1"]


def test_a_file_that_is_there_stays_unless_one_says_yes(tmp_path: Path, terminal: Callable[..., Terminal]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("mine")
    asked = terminal(config)
    asked.answer("Replace it?", "\n")
    assert "stays as it is" in asked.end()
    assert asked.process.returncode == 1
    assert config.read_text() == "mine"


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_whoever_leaves_in_the_middle_leaves_nothing(
    tmp_path: Path, terminal: Callable[..., Terminal], key: str
) -> None:
    asked = terminal(tmp_path / "new" / "config.yaml")
    asked.answer("AE title [", "NODE\n")
    asked.answer("sender [", key)
    assert "config.yaml is not written" in asked.end()
    assert asked.process.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_the_destinations_are_asked_whether_they_answer(tmp_path: Path, terminal: Callable[..., Terminal]) -> None:
    ae = AE("ARCHIVE")
    ae.add_supported_context(Verification)
    archive = listen(ae)
    try:
        to = f"ARCHIVE@127.0.0.1:{port_of(archive)}"
        given = ("--ae-title", "NODE", "--from", "SCANNER@localhost", "--to", to, "--pipeline", "all", "--no-unit")
        asked = terminal(tmp_path / "config.yaml", *ports(), *given)
        asked.answer("Ask destinations and senders now", "y\n")
        assert f"ARCHIVE at 127.0.0.1:{port_of(archive)} " in asked.end()
        assert asked.process.returncode == 0
    finally:
        end(archive)


# ---- without one
def test_without_a_terminal_it_says_which_options_are_missing(tmp_path: Path, condyle: Condyle) -> None:
    ended = condyle("init", tmp_path / "config.yaml", "--ae-title", "NODE", "--from", "MR1@10.0.0.1")
    assert ended.returncode == 2
    assert "there is no terminal" in ended.stderr
    assert [line.split()[0] for line in ended.stderr.splitlines()[1:]] == ["--to", "--pipeline"]
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_is_wrong_is_named_with_what_would_be_right(tmp_path: Path, condyle: Condyle) -> None:
    ended = condyle("init", tmp_path / "config.yaml", "--to", "pacs.example.org:104", "--yes")
    assert ended.returncode == 2
    assert "--to 'pacs.example.org:104': should be AE@HOST:PORT" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_yes_takes_defaults_but_replaces_nothing(tmp_path: Path, condyle: Condyle) -> None:
    config = tmp_path / "config.yaml"
    arguments = ("init", config, "--yes", "--no-unit", *ports())
    assert condyle(*arguments).returncode == 0
    first = config.read_text()
    again = condyle(*arguments, "--ae-title", "OTHER")
    assert again.returncode == 1
    assert "--overwrite replaces it" in again.stdout
    assert config.read_text() == first
    assert condyle(*arguments, "--ae-title", "OTHER", "--overwrite").returncode == 0
    assert read(config).node.ae_title == "OTHER"


def test_what_cannot_be_written_is_told(tmp_path: Path, condyle: Condyle) -> None:
    (tmp_path / "file").touch()
    ended = condyle("init", tmp_path / "file" / "config.yaml", "--yes")
    assert ended.returncode == 1
    assert "cannot be written: Not a directory" in ended.stderr


# ---- the unit
def test_a_unit_is_written_beside_the_configuration_for_those_who_are_not_root(
    tmp_path: Path, condyle: Condyle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "SYSTEMD_RUNS", tmp_path)  # as on a machine with systemd
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(command, "operator", lambda: "somebody")
    ended = condyle("init", tmp_path / "config.yaml", "--yes", *ports())
    unit = (tmp_path / "condyle.service").read_text()
    assert "\nUser=somebody\n" in unit
    assert f"ReadWritePaths={tmp_path / 'data'} {tmp_path / 'results'}\n" in unit
    assert (tmp_path / "data").is_dir(), "systemd starts no unit whose folders are missing"
    assert f"install -m 644 {tmp_path / 'condyle.service'} /etc/systemd/system/condyle.service" in ended.stdout
    assert "systemctl enable --now condyle" in ended.stdout
    assert "useradd" not in ended.stdout


def test_for_root_the_unit_has_an_account_of_its_own(
    tmp_path: Path, condyle: Condyle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(command, "ACCOUNT", "condyle-of-a-test")
    unit = tmp_path / "units" / "condyle.service"
    unit.parent.mkdir()
    ended = condyle("init", tmp_path / "new" / "config.yaml", "--yes", "--unit", unit, *ports())
    assert "\nUser=condyle-of-a-test\n" in unit.read_text()
    assert "useradd --system" in ended.stdout
    assert f"chown -R condyle-of-a-test: {tmp_path / 'new'}" in ended.stdout


def test_where_systemd_runs_root_gets_the_unit_in_its_place_and_one_that_is_there_stays(
    tmp_path: Path, condyle: Condyle, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "units" / "condyle.service"
    place.parent.mkdir()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(command, "SYSTEMD_RUNS", tmp_path)
    monkeypatch.setattr(command, "PLACE", place)
    ended = condyle("init", tmp_path / "one" / "config.yaml", "--yes", *ports())
    first = place.read_text()
    assert f"Written: {place}" in ended.stdout
    assert "install -m 644" not in ended.stdout, "it is where it belongs"
    assert f"{place} stays as it is" in condyle("init", tmp_path / "two" / "config.yaml", "--yes", *ports()).stdout
    assert place.read_text() == first


# ---- for real
def test_a_study_that_is_sent_to_what_was_written_comes_back(tmp_path: Path, condyle: Condyle) -> None:
    port, page = free_port(), free_port()
    config = tmp_path / "config.yaml"
    ended = condyle("init", config, "--yes", "--no-unit", "--pipeline", "knee_super_resolution",
                    "--port", port, "--page-port", page)  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    with (tmp_path / "node.log").open("wb") as log:
        node = subprocess.Popen([*COMMAND[:-1], "serve", config], stdout=log, stderr=log)
    try:
        until(lambda: _is_ready(page), "the node is ready")
        assert Scanner().send(small_knee(tmp_path / "knee"), Receiver("CONDYLE", port)) == ""
        found = until(lambda: list((tmp_path / "results").rglob("*.dcm")), "a result is in the folder")
        assert dcmread(found[0]).PatientID == "DEMO-SMALL"
    finally:
        node.send_signal(signal.SIGTERM)
        assert node.wait(30) == 0, (tmp_path / "node.log").read_text()


def small_knee(folder: Path) -> list[File]:
    """A knee of 6 slices of 48 x 48 pixels whose headers say how many they are, so that nothing more is waited for."""
    folder.mkdir()
    stack = samples.Stack(6, 48, 48, 3.0, 6.0, 5.0, samples.KNEE_STACK.row, samples.KNEE_STACK.column)
    samples._write_mr(folder, "small", 4, stack, samples.knee_signal, "KNEE", "PD SAG", "KNEE ROUTINE")
    for path in folder.iterdir():
        ds = dcmread(path)
        ds.NumberOfSeriesRelatedInstances = 6
        ds.save_as(path)
    return [file for path in sorted(folder.iterdir()) if (file := File.read(path))]


def _is_ready(page: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{page}/health/ready", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
