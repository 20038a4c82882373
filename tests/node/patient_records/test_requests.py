"""A request for a risk is a job: it outlives its asker, its worker and its node, and the same question is the same job.

The node runs in a process of its own, with a pipeline for tests that declares that it answers from the record; the node
knows neither it nor any other pipeline by name.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from node.database import withdrawals
from node.database.tables import EventRow, JobRow
from tests.fhir_peer import FhirPeer, serving
from tests.node.patient_records.asking import BUNDLE, OTHER, Make, ask, clean_up, condyle, maker, runs, tell
from tests.orthanc import free_port
from tests.running import RunningNode
from tests.waiting import until

CRASH_ONCE, SWELL = "2026-01-10", "2026-01-11"
HANG, RAISE, REFUSE = "2026-01-12", "2026-01-13", "2026-01-14"
FAILURES = {CRASH_ONCE: "crash_once", SWELL: "swell", RAISE: "raise", REFUSE: "refuse_pixels"}
NO_WAIT = {"Prefer": "respond-async"}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    return maker(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def _usual_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with pytest.MonkeyPatch.context() as patch:
        made = maker(tmp_path_factory.mktemp("usual"), patch)
        settings = {"behaviour_at": FAILURES, "quote": "PAT-4712 Beispiel"}
        with made(settings=settings, run={"memory_limit_mb": 1500}) as node:
            tell(node)
            yield node


@pytest.fixture
def usual(_usual_of_the_module: RunningNode) -> RunningNode:
    """A node that knows the patient; a test may kill and start it. One that counts asks for days of its own."""
    _usual_of_the_module.start()
    return _usual_of_the_module


@pytest.fixture
def hold(usual: RunningNode) -> Iterator[Path]:
    """A file that keeps the node's pipeline running while it is there."""
    path = usual.folder / "hold"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node that knows the patient and gives its pipeline little time."""
    with pytest.MonkeyPatch.context() as patch:
        made = maker(tmp_path_factory.mktemp("hasty"), patch)
        with made(settings={"behaviour_at": {HANG: "hang"}}, run={"time_limit_s": 2}) as node:
            tell(node)
            yield node


def ask_again(node: RunningNode, answer: httpx.Response, wait_s: int = 60) -> httpx.Response:
    url = f"http://127.0.0.1:{node.page}{answer.headers['Content-Location']}"
    return httpx.get(url, headers={"Prefer": f"wait={wait_s}"}, timeout=wait_s + 60)


def job_of(answer: httpx.Response) -> str:
    return answer.headers["Content-Location"].removeprefix("/risk/")


def reason(answer: httpx.Response) -> str:
    return str(answer.json()["issue"][0]["diagnostics"])


def events(node: RunningNode, job: str) -> list[str]:
    return node.all(select(EventRow.what).where(EventRow.job_id == job).order_by(EventRow.id))


def workers(node: RunningNode) -> list[int]:
    return [pid for pid in node.descendants() if b"node.run.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


# ---- answers
def test_who_does_not_wait_is_told_where_to_ask_and_gets_the_answer_there(usual: RunningNode, hold: Path) -> None:
    day = "2026-01-09"
    first = ask(usual, NO_WAIT, index_date=day)
    assert (first.status_code, first.headers["Retry-After"]) == (202, "1")
    assert job_of(first) in reason(first)
    assert ask_again(usual, first, 0).status_code == 202
    hold.unlink()
    answer = ask_again(usual, first)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert answer.json()["prediction"][0]["probabilityDecimal"] == 0.25
    assert answer.json()["identifier"] == [{"system": "urn:condyle:job", "value": job_of(first)}]
    assert answer.json()["subject"]["identifier"] == {"value": "PAT-4711"}

    # the same question is the same job, whose answer is there
    again = ask(usual, index_date=day)
    assert (again.status_code, job_of(again), again.json()) == (200, job_of(first), answer.json())
    assert runs(usual, day) == 1
    assert job_of(ask(usual, index_date="2026-01-06")) != job_of(first)

    # it is a job as any other, in the database, on the page and on the command line
    (job,) = usual.all(select(JobRow).where(JobRow.id == job_of(first)))
    assert (job.state, job.route, job.pipeline, job.study_instance_uid) == ("done", "on request", "trial_risk", "")
    assert {"queued", "prepare", "infer", "encode", "done"} <= set(events(usual, job.id))
    page = httpx.get(f"http://127.0.0.1:{usual.page}/jobs/{job.id}", timeout=60)
    assert page.status_code == 200
    assert "on request" in page.text
    assert f"/jobs/{job.id}" in httpx.get(f"http://127.0.0.1:{usual.page}/", timeout=60).text
    listed = condyle(usual, "jobs")
    assert job.id[:12] in listed.stdout, listed.stderr

    # the patient is named in sealed files of the job's folder and nowhere else
    folder = usual.folder / "data" / "jobs" / job.id
    assert folder.stat().st_mode & 0o077 == 0
    data = usual.folder / "data"
    for path in [*folder.rglob("*"), *data.glob("node.db*"), usual.folder / "node.log"]:
        if path.is_file():
            content = path.read_bytes()
            for secret in (b"PAT-4711", b"Muster", b"1960-02-29", b"19600229"):
                assert secret not in content, path


def test_a_record_that_grew_is_another_question(usual: RunningNode) -> None:
    first = ask(usual)
    more = json.loads(json.dumps(BUNDLE))
    more["entry"][1]["resource"].update(id="d", onsetDateTime="2021-01-01", recordedDate="2021-01-01")
    assert httpx.post(f"http://127.0.0.1:{usual.page}/fhir", json=more, timeout=60).status_code == 200
    second = ask(usual)
    assert (first.status_code, second.status_code) == (200, 200)
    assert job_of(first) != job_of(second)


def test_an_answer_that_is_no_longer_kept_is_said_to_be_and_made_anew(usual: RunningNode) -> None:
    first = ask(usual)
    shutil.rmtree(usual.folder / "data" / "jobs" / job_of(first))  # as `run.keep_jobs_days` has it
    gone = ask_again(usual, first, 0)
    assert (gone.status_code, reason(gone)) == (410, "the answer is no longer kept; ask again")
    second = ask(usual)
    assert second.status_code == 200, second.text
    assert job_of(second) != job_of(first)
    assert ask(usual).json() == second.json()


def test_an_answer_that_was_withdrawn_is_not_given_out_again(usual: RunningNode) -> None:
    day = "2026-01-17"
    first = ask(usual, index_date=day)
    assert first.status_code == 200, first.text
    with Session(usual.database) as session, session.begin():
        quality = RejectionReason.QUALITY
        withdrawals.withdraw(session, job_of(first), reason=quality, why="wrong", by="mary", now=datetime.now(UTC))
    for gone in (ask_again(usual, first), ask(usual, index_date=day)):
        assert (gone.status_code, reason(gone)) == (410, "the answer was withdrawn: wrong")


def test_of_several_pipelines_the_request_may_name_one(usual: RunningNode) -> None:
    assert ask(usual).json()["code"]["text"] == "Trial"  # the one that a route leads to
    other = ask(usual, pipeline="knee_oa_risk")
    assert other.json()["code"]["text"] == "Knee osteoarthritis risk from the record"
    refused = ask(usual, pipeline="knee_super_resolution")
    assert refused.status_code == 422
    assert "pipeline: 'knee_super_resolution'" in reason(refused)
    assert "should be one of: knee_oa_risk, trial_risk" in reason(refused)


# ---- what goes wrong
def test_however_many_wait_the_next_is_told_where_to_ask_and_the_page_answers(usual: RunningNode, hold: Path) -> None:
    first = ask(usual, NO_WAIT, index_date="2026-02-03")
    request = f"GET /risk/{job_of(first)} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=600\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(64):  # as many connections as an address has
            client = stack.enter_context(socket.create_connection(("127.0.0.1", usual.page), timeout=20))
            client.sendall(request)
        assert client.recv(65536).startswith(b"HTTP/1.1 202 ")
        assert usual.get("/health/ready")["ready"]
    hold.unlink()
    until(lambda: ask_again(usual, first).status_code == 200, "those that went away have left their places")


def test_a_request_outlives_the_node(usual: RunningNode, hold: Path) -> None:
    first = ask(usual, NO_WAIT, index_date="2026-01-07")
    until(lambda: runs(usual, "2026-01-07") == 1, "the pipeline runs")
    usual.kill()
    usual.start()
    hold.unlink()
    answer = ask_again(usual, first)
    assert answer.status_code == 200, answer.text
    assert job_of(ask(usual, index_date="2026-01-07")) == job_of(first)
    assert events(usual, job_of(first)).count("done") == 1


def test_a_worker_that_dies_is_replaced_and_the_request_answered(usual: RunningNode) -> None:
    answer = ask(usual, index_date=CRASH_ONCE)
    assert answer.status_code == 200, answer.text
    assert "worker died" in events(usual, job_of(answer))
    (worker,) = workers(usual)
    subprocess.run(["kill", "-9", str(worker)], check=True)
    assert ask(usual, index_date="2026-01-08").status_code == 200


def test_a_job_that_takes_too_long_is_an_answer_and_is_tried_again_when_it_is_asked_for_again(
    hasty: RunningNode,
) -> None:
    first = ask(hasty, index_date=HANG)
    assert (first.status_code, reason(first)) == (500, "took longer than run.time_limit_s, 2 s")
    second = ask(hasty, index_date=HANG)
    assert (second.status_code, job_of(second)) == (500, job_of(first))
    assert runs(hasty, HANG) == 2

    # and with the record, where its files were deleted meanwhile
    jobs = hasty.jobs()
    assert clean_up(hasty) == len(jobs)
    third = ask(hasty, index_date=HANG)
    assert (third.status_code, reason(third)) == (500, "took longer than run.time_limit_s, 2 s")
    assert [one.id for one in hasty.jobs()] == [one.id for one in jobs]
    assert runs(hasty, HANG) == 3


def test_while_the_database_cannot_be_used_the_asker_is_told_where_to_ask_later(usual: RunningNode) -> None:
    first = ask(usual)
    database = sqlite3.connect(usual.folder / "data" / "node.db", isolation_level=None)
    with contextlib.closing(database):
        database.execute("PRAGMA legacy_alter_table = ON")
        database.execute("ALTER TABLE job RENAME TO job_away")
        away = httpx.get(f"http://127.0.0.1:{usual.page}/risk/{job_of(first)}", timeout=60)
        database.execute("ALTER TABLE job_away RENAME TO job")
    assert (away.status_code, away.headers["Content-Location"]) == (503, f"/risk/{job_of(first)}")
    assert reason(away) == "the database cannot be used now, ask again"
    assert ask_again(usual, away, 0).json() == first.json()


def test_a_job_that_takes_too_much_memory_is_an_answer_too(usual: RunningNode) -> None:
    answer = ask(usual, index_date=SWELL)
    assert (answer.status_code, reason(answer)) == (500, "took more memory than run.memory_limit_mb, 1500 MB")


def test_a_pipeline_that_quotes_the_patient_is_not_repeated(usual: RunningNode) -> None:
    tell(usual, OTHER)  # as the pipeline quotes what its settings say, and these are in the database
    answer = ask(usual, patient_id="PAT-4712", index_date=RAISE)
    assert (answer.status_code, reason(answer)) == (500, "the pipeline broke while it ran; the log says where")
    assert "ValueError: cannot use *** ***" in usual.log_text()
    assert "PAT-4712" not in usual.log_text()


def test_what_cannot_be_used_is_said_with_the_reason_and_not_tried_again(usual: RunningNode) -> None:
    answers = [ask(usual, index_date=REFUSE), ask(usual, index_date=REFUSE)]
    assert [(one.status_code, reason(one)) for one in answers] == [(422, "the images are empty")] * 2
    assert runs(usual, REFUSE) == 1


# ---- the FHIR server
def test_answers_go_to_a_fhir_destination_once_and_in_order_when_it_is_back_after_a_restart(make: Make) -> None:
    peer = FhirPeer({"entry": [{"resource": {"resourceType": "Patient", "id": "patient"}}]})
    port = free_port()
    emr = {"kind": "fhir", "url": f"http://127.0.0.1:{port}/r4", "identifier_system": "urn:h", "confirm": True}
    with make(records={"answer_destinations": ["emr"]}, destinations={"emr": emr}) as node:
        tell(node)
        first, second = ask(node), ask(node, index_date="2026-01-06")
        assert (first.status_code, second.status_code) == (200, 200)  # who asks does not wait for the server
        until(lambda: "destination cannot be reached" in node.log_text(), "the server was tried")
        assert {job.state for job in node.jobs()} == {"sending"}
        node.kill()
        with serving(peer.app, port):
            node.start()
            assert {job.state for job in node.ended_jobs(2, seconds=120)} == {"done"}
    assert sorted(one["identifier"][0]["value"] for one in peer.given) == sorted([job_of(first), job_of(second)])
    assert {one["subject"]["identifier"]["system"] for one in peer.given} == {"urn:h"}
    assert "system" not in first.json()["subject"]["identifier"]  # the asker's patient IDs have no system
