"""How `condyle jobs` prints jobs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.commands.jobs import list_jobs, show
from node.database.tables import JobRow, ObjectRow, OutboxRow
from tests.node.send.outgoing import outgoing


def test_a_long_reason_cuts_no_other_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("node: {data: data}\n")
    with outgoing(tmp_path / "data") as out:
        jobs = [out.job("pacs"), out.job("pacs")]
        with Session(out.database) as session, session.begin():
            long = {
                "reason": "a reason of many words; " * 20,
                "state": "unsuitable",
                "route": "a_route_with_a_long_name",
            }
            session.execute(update(JobRow).where(JobRow.id == jobs[0]).values(long))
    assert list_jobs(tmp_path / "config.yaml") == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["Job", "Created", "State", "Duration", "Route", "Images", "Delivered", "Reason"]
    (row,) = [row for row in rows if "a reason" in row]
    assert len(rows) == 2
    assert jobs[0][:12] in row
    assert all(f" {whole} " in row for whole in ("unsuitable", "a_route_with_a_long_name", "0 of 1"))
    assert row.rstrip().endswith("…")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.commands.terminal.PIPE_WIDTH", 80)


@pytest.mark.usefixtures("narrow")
def test_ids_are_whole_on_a_narrow_terminal_while_jobs_are_watched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("node.commands.jobs.time", SimpleNamespace(sleep=interrupt))
    (tmp_path / "config.yaml").write_text("node: {data: data}\n")
    with outgoing(tmp_path / "data") as out:
        job = out.job("pacs")
        with Session(out.database) as session, session.begin():
            session.execute(update(JobRow).values(route="a_route_with_a_long_name"))
    assert list_jobs(tmp_path / "config.yaml", watch=True) == 0
    _, row = capsys.readouterr().out.splitlines()
    assert f"{job[:12]} " in row
    assert " a_route_with_a_long_name" in row


@pytest.mark.usefixtures("narrow")
def test_only_the_answers_of_the_objects_of_a_job_wrap_on_a_narrow_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("node: {data: data}\n")
    series = "2.25." + "7" * 59
    with outgoing(tmp_path / "data") as out:
        job = out.job("pacs")
        with Session(out.database) as session, session.begin():
            session.execute(update(OutboxRow).values(answer="the archive has no room"))
            session.execute(update(ObjectRow).values(series_instance_uid=series))
            (kind,) = session.scalars(select(ObjectRow.kind))
    assert show(tmp_path / "config.yaml", job) == 0
    told = capsys.readouterr().out
    heading, row = told[told.index("objects\n") :].splitlines()[1:3]
    assert heading.split() == ["Kind", "Number", "Series", "Destination", "State", "Answer"]
    assert row.split()[:5] == [kind, "1", series, "pacs", "waiting"]
    assert "the archive has no" in row


def test_a_condition_of_a_destination_is_shown_with_what_became_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("node: {data: data}\n")
    clause = {"key": "state", "expected": "failed", "found": "done", "holds": False}
    trace = {"holds": False, "why": "state: found done, expected failed", "clauses": [clause]}
    with outgoing(tmp_path / "data") as out:
        job = out.job("pacs")
        with Session(out.database) as session, session.begin():
            conditions = {"alarm": {"state": "failed"}, "later": {"state": "done"}}
            session.execute(update(JobRow).values(conditions=conditions, hand_over={"alarm": trace}))
    assert show(tmp_path / "config.yaml", job) == 0
    printed = capsys.readouterr().out
    assert "not to alarm: state: found done, expected failed" in printed
    assert "✗ state: found done, expected failed" in printed
    assert "to later: decided when there is a result" in printed


def test_jobs_are_listed_and_shown_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("node: {data: data}\n")
    with outgoing(tmp_path / "data") as out:
        job = out.job("pacs")
        failed = out.job("pacs", "vna")
        with Session(out.database) as session, session.begin():
            session.execute(update(JobRow).where(JobRow.id == failed).values(state="failed", reason="no memory"))
    assert list_jobs(config, json_output=True) == 0
    listed = {one["id"]: one for one in json.loads(capsys.readouterr().out)}
    assert listed.keys() == {job, failed}
    assert (listed[failed]["state"], listed[failed]["reason"]) == ("failed", "no memory")
    assert list_jobs(config, state="failed", json_output=True) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == [failed]
    assert show(config, failed, json_output=True) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["destinations"] == ["pacs", "vna"]
    assert [line["destination"] for made in shown["objects"] for line in made["deliveries"]] == ["pacs", "vna"]
    assert all(line["state"] == "waiting" for made in shown["objects"] for line in made["deliveries"])
    assert shown.keys() > listed[failed].keys()
