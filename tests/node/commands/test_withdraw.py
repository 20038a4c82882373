from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from node.database.tables import JobRow, OutboxRow, WithdrawalRow
from tests.command_line import Condyle
from tests.node.send.outgoing import START, Outgoing, outgoing

WHY = ("--reason", "left for right")


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    """Two results of version 1.2.0 that a PACS took, one of which was cancelled before another archive got it."""
    (tmp_path / "config.yaml").write_text(
        "node: {data: data}\n"
        "destinations:\n"
        "  pacs: {kind: dimse, ae_title: PACS, host: 127.0.0.1, port: 9, withdraw: iocm}\n"
        "  vna: {kind: dicomweb, url: 'http://127.0.0.1:9/dicom-web'}\n"
    )
    with outgoing(tmp_path / "data") as made:
        made.job("pacs")
        made.job("pacs", "vna")
        taken = {"state": "delivered", "delivered": START, "sha256": "ab"}
        with Session(made.database) as session, session.begin():
            session.execute(update(JobRow).values(pipeline_version="1.2.0"))
            session.execute(update(OutboxRow).where(OutboxRow.destination == "pacs").values(taken))
            session.execute(update(OutboxRow).where(OutboxRow.destination == "vna").values(state="cancelled"))
            session.execute(update(JobRow).values(state="done"))
        yield made


@pytest.fixture
def config(out: Outgoing) -> tuple[str, Path]:
    return "--config", out.folder.parent / "config.yaml"


def withdrawn(out: Outgoing) -> list[bool]:
    with Session(out.database) as session:
        return [job.withdrawn is not None for job in session.query(JobRow).order_by(JobRow.id)]


def test_a_dry_run_says_what_is_where_and_changes_nothing(
    condyle: Condyle, out: Outgoing, config: tuple[str, Path]
) -> None:
    ended = condyle("withdraw", "--pipeline", "trial", "--version", "1.2.0", *WHY, "--dry-run", *config)
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[0].startswith("2 jobs: ")
    assert "pacs may have 2 objects: told by a rejection note" in ended.stdout
    assert "vna" not in ended.stdout  # nothing was begun to be sent there
    assert withdrawn(out) == [False, False]


def test_results_of_a_version_are_withdrawn_and_shown_with_their_proof(
    condyle: Condyle, out: Outgoing, config: tuple[str, Path]
) -> None:
    chosen = ("--pipeline", "trial", "--version", "1.2.0", "--since", "2026-01-01")
    ended = condyle("withdraw", *chosen, *WHY, "--as", "patient-safety", "--yes", "--wait", "0", *config)
    assert ended.returncode == 0
    assert "2 jobs withdrawn; nothing more of them is sent" in ended.stdout
    assert "not all destinations are told and asked yet" in ended.stdout
    assert withdrawn(out) == [True, True]
    assert "withdrawn by" in condyle("jobs", "show", f"{2:032x}", *config).stdout
    shown = condyle("withdrawals", "--json", *config)
    facts = json.loads(shown.stdout)["withdrawals"]
    assert [(one["job"][-1], one["destination"], one["state"]) for one in facts] == [
        ("1", "pacs", "waiting"),
        ("2", "pacs", "waiting"),
    ]
    meaning = "Rejected for Patient Safety Reasons"
    assert facts[0]["reason"] == {"code": "113037", "meaning": meaning, "text": "left for right"}
    (out.folder.parent / "config.yaml").write_text("node: {data: data}\n")
    plan = condyle("withdraw", f"{1:032x}", *WHY, "--dry-run", *config).stdout
    assert "pacs may have 1 object: no longer in the configuration: it cannot be told" in plan
    again = condyle("withdraw", *chosen, *WHY, "--yes", *config)
    assert (again.returncode, again.stderr) == (1, "No result of trial is to be withdrawn; condyle jobs lists jobs\n")


def test_a_destination_that_refuses_is_an_exit_code(condyle: Condyle, out: Outgoing, config: tuple[str, Path]) -> None:
    assert condyle("withdrawals", *config).stdout == "nothing was withdrawn\n"
    assert condyle("withdraw", f"{1:032x}", *WHY, "--yes", "--wait", "0", *config).returncode == 0
    with Session(out.database) as session, session.begin():
        session.execute(update(WithdrawalRow).values(state="refused", answer="0xA900", held_before=1, held_after=1))
    ended = condyle("withdrawals", f"{1:032x}", *config)
    assert ended.returncode == 1
    assert "refused" in ended.stdout
    assert "1 of 1" in ended.stdout
    assert "0xA900" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "should have either JOB or --pipeline"),
        (("ab", "--pipeline", "trial"), "should have either JOB or --pipeline"),
        (("ab", "--version", "1"), "--version and --since choose among the results of --pipeline"),
        (("--pipeline", "trial", "--since", "soon"), "--since: 'soon'"),
        (("--pipeline", "trial", "--as", "boredom"), "boredom"),
        (("--pipeline", "trial", "--reason", " "), "--reason: is empty"),
    ],
)
def test_what_is_meant_has_to_be_said_in_full(
    condyle: Condyle, config: tuple[str, Path], arguments: tuple[str, ...], said: str
) -> None:
    ended = condyle("withdraw", *WHY, *arguments, *config)
    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_nobody_is_asked_where_nobody_can_answer(condyle: Condyle, out: Outgoing, config: tuple[str, Path]) -> None:
    ended = condyle("withdraw", "--pipeline", "trial", *WHY, *config)
    assert (ended.returncode, ended.stderr) == (2, "say --yes to take them back\n")
    assert withdrawn(out) == [False, False]
