"""How `condyle jobs` prints jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from node.commands.jobs import list_jobs
from node.database.tables import JobRow
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
