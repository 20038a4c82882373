"""One view of a job for page, commands and tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from node.database.queries import count_jobs, delivered_counts, find_job, in_chunks, list_jobs, show_job
from node.database.tables import OutboxRow
from node.errors import JobNotFound
from tests.node.send.outgoing import Outgoing, outgoing


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


def test_chunks_hold_every_value_once_and_in_order() -> None:
    assert list(in_chunks((str(number) for number in range(5)), 2)) == [["0", "1"], ["2", "3"], ["4"]]


def test_no_values_are_no_chunks() -> None:
    assert list(in_chunks([])) == []


def test_a_view_has_the_timeline_the_objects_and_where_they_went(out: Outgoing) -> None:
    other = out.job("pacs")
    job = out.job("pacs", "research", kinds=("report", "secondary_capture"))
    with Session(out.database) as session, session.begin():
        session.execute(update(OutboxRow).where(OutboxRow.destination == "research").values(state="refused"))
    view = show_job(out.database, job)
    assert [event.what for event in view.events] == ["queued", "running", "sending"]
    assert [made.kind for made in view.objects] == ["secondary_capture", "report"]  # images first
    assert view.deliveries == {"pacs": {"waiting": 2}, "research": {"refused": 2}}
    assert view.kinds == {"secondary_capture": 1, "report": 1}
    assert [made.kind for made in view.captures] == ["secondary_capture"]
    assert {line.destination for line in view.lines[view.objects[0].sop_instance_uid]} == {"pacs", "research"}
    assert view.ended is None
    assert view.at("sending") == view.events[-1].at
    assert view.at("done") is None
    assert {line.job_id for line in show_job(out.database, other).outbox} == {other}


def test_a_job_is_found_by_the_beginning_of_its_id_if_that_is_its_alone(out: Outgoing) -> None:
    jobs = [out.job("pacs"), out.job("pacs")]
    assert find_job(out.database, jobs[1]).id == jobs[1]
    with pytest.raises(JobNotFound, match="more than one job has an id that begins with '000'"):
        find_job(out.database, "000")
    for unknown in ("zz", "", "%"):
        with pytest.raises(JobNotFound, match="no job has an id that begins with"):
            find_job(out.database, unknown)


def test_jobs_are_listed_and_counted_by_state(out: Outgoing) -> None:
    job = out.job("pacs", kinds=("report", "secondary_capture"))
    assert [row.id for row in list_jobs(out.database)] == [job]
    assert delivered_counts(out.database, [job, "unknown"]) == {job: (0, 2)}
    with Session(out.database) as session:
        assert count_jobs(session) == {"sending": 1}
