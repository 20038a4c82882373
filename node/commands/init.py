"""`condyle init`: four questions, a configuration that fits the answers, its check, and a systemd unit."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from node import gpus
from node.commands.check import check
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.init_answers import (
    EVERY,
    Answers,
    Destination,
    WrongAnswer,
    ae_title,
    destination,
    not_offered,
    offered,
    pipelines,
    sender,
)
from node.commands.init_config import written
from node.commands.init_questions import Questions
from node.commands.operator import operator
from node.commands.systemd_unit import PLACE, STATE, Unit, program
from node.commands.terminal import console
from node.config import DimseSettings, FolderDestination, NodeSettings, Peer, StatusSettings
from node.files import make_folder, write_whole
from pipelines.base import takes_and_makes
from pipelines.registry import pipeline_type

T = TypeVar("T")
SYSTEMD_RUNS = Path("/run/systemd/system")  # as sd_booted(3) asks
ACCOUNT = "condyle"  # of the unit, where root makes it


@dataclass(frozen=True)
class Given:
    """What the command line says; what is None or empty is asked for."""

    ae_title: str | None = None
    senders: Sequence[str] = ()
    destinations: Sequence[str] = ()
    pipelines: Sequence[str] = ()
    data: Path | None = None
    port: int | None = None
    page_port: int | None = None
    online: bool | None = None
    unit: Path | None = None
    no_unit: bool = False
    overwrite: bool = False
    yes: bool = False

    def missing(self) -> list[str]:
        """The options that answer the questions which the command line leaves open."""
        options = {
            "--ae-title AE": self.ae_title,
            "--from AE@ADDRESS": self.senders,
            "--to AE@HOST:PORT, a URL or a folder": self.destinations,
            "--pipeline NAME": self.pipelines,
        }
        return [option for option, value in options.items() if not value]


def init(config: Path, given: Given) -> int:
    """Ask what is not given, write the configuration, check it, and offer a unit.

    Returns
    -------
    int
        `USAGE` if a question is open and nobody can be asked, or an option has a wrong value; else as `check`.
    """
    out, complaints = console(), console(error=True)
    asking = sys.stdin.isatty() and not given.yes
    if not asking and not given.yes and (missing := given.missing()):
        complaints.print("there is no terminal to ask on; give these options too, or --yes for their defaults:")
        for option in missing:
            complaints.print(f"  {option}", markup=False)
        return USAGE
    questions = Questions(out, asking=asking)
    try:
        return _Init(config.absolute(), given, questions, out).run()
    except WrongAnswer as error:
        complaints.print(str(error), markup=False)
        return USAGE
    except OSError as error:
        complaints.print(f"{error.filename or config}: cannot be written: {error.strerror}", markup=False)
        return NOT_RIGHT
    except (KeyboardInterrupt, EOFError):
        out.print()
        out.print(f"ended; {config} is {'there' if config.exists() else 'not written'}", markup=False)
        return NOT_RIGHT


class _Init:
    def __init__(self, config: Path, given: Given, questions: Questions, out: Console) -> None:
        self._config = config
        self._given = given
        self._questions = questions
        self._out = out

    def run(self) -> int:
        self._look_at_options()
        if not self._may_write(self._config):
            return NOT_RIGHT
        answers = self._answers()
        made = self._write(answers)
        self._say(f"\nWritten: {self._config}\n")
        code = check(self._config, online=self._online(answers))
        service = self._unit(answers, made)
        self._what_now(answers, good=code == OK, service=service)
        return code

    # ---- the questions
    def _look_at_options(self) -> None:
        """Refuse what is wrong on the command line before anything is asked."""
        for given, read in (
            (self._given.ae_title, self._ae_title),
            (self._given.senders, self._senders),
            (self._given.destinations, self._destinations),
            (self._given.pipelines, self._pipelines),
        ):
            if given:
                read()

    def _answers(self) -> Answers:
        given = self._given
        data, port, page = given.data, given.port, given.page_port
        return Answers(
            ae_title=self._ae_title(),
            senders=self._senders(),
            destinations=self._destinations(),
            pipelines=self._pipelines(),
            data=str(data.expanduser()) if data is not None else self._data_folder(),
            port=DimseSettings.model_fields["port"].default if port is None else port,
            page_port=StatusSettings.model_fields["port"].default if page is None else page,
        )

    def _ae_title(self) -> str:
        if self._given.ae_title is not None:
            return _option("--ae-title", ae_title, self._given.ae_title)
        self._questions.explain("1. The AE title of this node", "The name under which scanners send to it.")
        return self._questions.ask("AE title", NodeSettings.model_fields["ae_title"].default, ae_title)

    def _senders(self) -> tuple[Peer, ...]:
        if self._given.senders:
            return tuple(_option("--from", sender, one) for one in self._given.senders)
        self._questions.explain(
            "2. Where images come from",
            "Each sender as AE@ADDRESS or AE@NETWORK, such as MR1@10.2.0.15 or MR1@10.2.0.0/16; others are refused.",
            "With a port, MR1@10.2.0.15:104, the node can also call it. Enter: this machine only, to try it.",
        )
        return self._questions.several("sender", "SCANNER@localhost", sender)

    def _destinations(self) -> tuple[Destination, ...]:
        def read(text: str) -> Destination:
            return destination(text, self._config.parent)

        if self._given.destinations:
            return tuple(_option("--to", read, one) for one in self._given.destinations)
        self._questions.explain(
            "3. Where results go",
            "An archive as AE@HOST:PORT, such as PACS@pacs.example.org:104; a DICOMweb URL, such as "
            "https://pacs.example.org/dicom-web; or a folder.",
        )
        return self._questions.several("destination", self._results_folder(), read)

    def _pipelines(self) -> tuple[str, ...]:
        if self._given.pipelines:
            return _option("--pipeline", pipelines, ",".join(self._given.pipelines))
        self._questions.explain("4. What is to run")
        if self._questions.asking:
            self._out.print(_offer())
            if others := not_offered():
                self._say(f"Also installed, with a route that you write by hand: {', '.join(others)}")
        return self._questions.ask("numbers or names", EVERY, pipelines)

    # ---- folders
    @property
    def _of_the_system(self) -> bool:
        """Whether this is a configuration of the machine, whose data belong under /var."""
        return self._config.is_relative_to("/etc")

    def _data_folder(self) -> str:
        return str(STATE / "data") if self._of_the_system else "data"

    def _results_folder(self) -> str:
        return str(STATE / "results") if self._of_the_system else "results"

    # ---- files
    def _may_write(self, path: Path) -> bool:
        if path.is_dir():
            self._say(f"{path} is a folder; should be a file")
            return False
        if not path.exists() or self._given.overwrite:
            return True
        if self._questions.confirm(f"{path} is there already. Replace it?", default=False):
            return True
        self._say(f"{path} stays as it is" + ("" if self._questions.asking else "; --overwrite replaces it"))
        return False

    def _write(self, answers: Answers) -> list[Path]:
        """Write the configuration; the files and folders that it made, outermost first."""
        folder = self._config.parent
        new = [path for path in (folder, *folder.parents) if not path.exists()][-1:]
        make_folder(folder)
        if os.geteuid() == 0 and answers.data == str(STATE / "data"):
            make_folder(STATE)  # systemd gives it to the account of the unit
        write_whole(self._config, written(answers, self._config.name).encode(), sync="name")
        return new or [self._config]

    # ---- the check
    def _online(self, answers: Answers) -> bool:
        called = any(not isinstance(one, FolderDestination) for one in answers.destinations)
        if not called and all(one.host is None for one in answers.senders):
            return False
        if self._given.online is not None:
            return self._given.online
        question = "Ask destinations and senders now whether they answer (C-ECHO, or a query by DICOMweb)?"
        return self._questions.confirm(question, default=True)

    # ---- the unit
    def _unit(self, answers: Answers, made: Sequence[Path]) -> bool:
        """Write the unit, if it is wanted; whether it was."""
        given, root = self._given, os.geteuid() == 0
        if given.no_unit or (given.unit is None and not SYSTEMD_RUNS.exists()):
            return False
        unit = self._unit_of(answers, ACCOUNT if root else operator())
        place = given.unit or (PLACE if root else self._config.with_name(PLACE.name))
        self._out.print()
        if given.unit is None and not self._questions.confirm(f"Write a systemd unit, {place}?", default=True):
            return False
        if not self._may_write(place):
            return False
        write_whole(place, unit.text.encode(), sync="name", mode=0o644)
        self._say(f"Written: {place}")
        for path in unit.hidden if root else ():
            self._say(f"But the account {unit.account} cannot look into /root, where {path} lies: move it, as to /opt")
        self._say("These commands, as root, start the node now and with the machine:")
        for command in _commands(unit, place.absolute(), [*made, *self._folders_to_make(unit)], root=root):
            self._say(f"  {command}")
        return True

    def _unit_of(self, answers: Answers, account: str) -> Unit:
        folder = self._config.parent
        results = [one.path for one in answers.destinations if isinstance(one, FolderDestination)]
        return Unit(
            account=account,
            config=self._config,
            data=(folder / answers.data).absolute(),
            folders=tuple((folder / path).absolute() for path in results),
            gpu=bool(gpus.gpus("auto", os.environ)),
        )

    def _folders_to_make(self, unit: Unit) -> list[Path]:
        """The folders that the unit may write to have to be there when it starts; made here."""
        for path in unit.outside:
            make_folder(path)
        return [path for path in unit.outside if path != self._config.parent]

    # ---- the end
    def _what_now(self, answers: Answers, *, good: bool, service: bool) -> None:
        condyle = shlex.join(map(str, program()))
        self._out.print()
        if not good:
            self._say(f"Mend what is bad, in {self._config} or around it, and look again:")
            self._say(f"  {condyle} check --online {shlex.quote(str(self._config))}")
        if not service:  # which has an account of its own: what another one writes would be in its way
            self._say("Run the node in this terminal, until Ctrl-C:")
            self._say(f"  {condyle} serve {shlex.quote(str(self._config))}")
        self._say(f"Its page: http://127.0.0.1:{answers.page_port}/")
        self._say(f"On the sender: AE title {answers.ae_title}, the address of this machine, port {answers.port}")

    def _say(self, text: str) -> None:
        for line in text.split("\n"):
            self._out.print(Text(line), soft_wrap=True)


def _offer() -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    table.add_column("pipeline", no_wrap=True)
    table.add_column("takes", ratio=1)
    table.add_column("makes", ratio=1)
    for number, name in enumerate(offered(), 1):
        table.add_row(str(number), name, *takes_and_makes(pipeline_type(name)))
    return table


def _commands(unit: Unit, place: Path, owned: Sequence[Path], *, root: bool) -> list[str]:
    """What makes systemd run the unit: the account, if it is missing, who owns the files, and the start."""
    found = [] if place == PLACE else [f"install -m 644 {shlex.quote(str(place))} {PLACE}"]
    if root:
        if not _is_account(unit.account):
            nologin = shutil.which("nologin") or "/usr/sbin/nologin"
            found.append(f"useradd --system --user-group --home-dir {STATE} --shell {nologin} {unit.account}")
        found.append(f"chown -R {unit.account}: {shlex.join(str(path) for path in dict.fromkeys(owned))}")
    return [*found, "systemctl daemon-reload", "systemctl enable --now condyle", "journalctl --unit condyle --follow"]


def _is_account(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _option(name: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except WrongAnswer as error:
        raise WrongAnswer(f"{name} {text!r}: {error}") from None
