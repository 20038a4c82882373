"""A request for a risk is a job: it outlives its asker, its worker and its node, and the same question is the same job.

The node runs in a process of its own, with a pipeline for tests that declares that it answers from the record; the node
knows neither it nor any other pipeline by name.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from node.config.route_settings import read_with_settings
from node.database.tables import EventRow, JobRow
from node.patient_records.store import new_key
from node.run.job_engine import JobEngine, set_up
from tests.fhir_peer import FhirPeer, serving
from tests.node.run.trial import install_trial
from tests.orthanc import free_port
from tests.running import RunningNode
from tests.waiting import until

BUNDLE = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {
            "resource": {
                "resourceType": "Patient",
                "id": "p",
                "identifier": [{"value": "PAT-4711"}],
                "name": [{"family": "Muster", "given": ["Erika"]}],
                "birthDate": "1960-02-29",
                "gender": "female",
            }
        },
        {
            "resource": {
                "resourceType": "Condition",
                "id": "c",
                "subject": {"reference": "Patient/p"},
                "code": {"coding": [{"system": "http://snomed.info/sct", "code": "73211009"}]},
                "onsetDateTime": "2020-01-01",
                "recordedDate": "2020-01-01",
            }
        },
    ],
}
QUESTION = {"patient_id": "PAT-4711", "index_date": "2026-01-05"}
NO_WAIT = {"Prefer": "respond-async"}

Make = Callable[..., RunningNode]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a node whose route leads to the trial pipeline, not started; its record store is encrypted."""
    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "trial"))
    (tmp_path / "records.key").write_bytes(new_key())

    def made(records: dict[str, Any] | None = None, run: dict[str, Any] | None = None, **more: Any) -> RunningNode:
        settings = {"journal": str(tmp_path / "journal.txt"), **more.pop("settings", {})}
        route = {"when": {"Modality": "MR"}, "level": "study", "pipeline": "trial_risk", "settings": settings}
        return RunningNode(
            tmp_path,
            routes={"risk": {**route, "destinations": []}},
            records={"key_file": "records.key", **(records or {})},
            run={"memory_limit_mb": 2048, **(run or {})},
            **more,
        )

    return made


def tell(node: RunningNode) -> None:
    """Have the node know the patient."""
    answer = httpx.post(f"http://127.0.0.1:{node.page}/fhir", json=BUNDLE, timeout=60)
    assert answer.status_code == 200, answer.text


def ask(node: RunningNode, headers: dict[str, str] | None = None, **more: str) -> httpx.Response:
    url = f"http://127.0.0.1:{node.page}/risk"
    return httpx.post(url, json={**QUESTION, **more}, headers=headers, timeout=120)


def ask_again(node: RunningNode, answer: httpx.Response, wait_s: int = 60) -> httpx.Response:
    url = f"http://127.0.0.1:{node.page}{answer.headers['Content-Location']}"
    return httpx.get(url, headers={"Prefer": f"wait={wait_s}"}, timeout=wait_s + 60)


def job_of(answer: httpx.Response) -> str:
    return answer.headers["Content-Location"].removeprefix("/risk/")


def reason(answer: httpx.Response) -> str:
    return str(answer.json()["issue"][0]["diagnostics"])


def journal(node: RunningNode, what: str) -> int:
    path = node.folder / "journal.txt"
    return sum(line.startswith(f"{what} ") for line in path.read_text().splitlines()) if path.exists() else 0


def events(node: RunningNode, job: str) -> list[str]:
    return node.all(select(EventRow.what).where(EventRow.job_id == job).order_by(EventRow.id))


def workers(node: RunningNode) -> list[int]:
    return [pid for pid in node.descendants() if b"node.run.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def condyle(node: RunningNode, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", *words, "--config", str(node.config)],
        capture_output=True,
        text=True,
        timeout=200,
    )


def clean_up(node: RunningNode) -> int:
    """Delete what is deleted `run.keep_jobs_days` after it ended; of how many jobs."""
    configuration = read_with_settings(node.config)
    database = set_up(configuration)
    engine = JobEngine(configuration, database)
    try:
        return engine.clean(datetime.now(UTC) + timedelta(days=31))
    finally:
        engine.stop()
        database.dispose()


# ---- answers
def test_who_does_not_wait_is_told_where_to_ask_and_gets_the_answer_there(make: Make) -> None:
    with make(settings={"run_s": 1.0}) as node:
        tell(node)
        first = ask(node, NO_WAIT)
        assert (first.status_code, first.headers["Retry-After"]) == (202, "1")
        assert job_of(first) in reason(first)
        assert ask_again(node, first, 0).status_code == 202
        answer = ask_again(node, first)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/fhir+json")
        assert answer.json()["prediction"][0]["probabilityDecimal"] == 0.25
        assert answer.json()["identifier"] == [{"system": "urn:condyle:job", "value": job_of(first)}]
        assert answer.json()["subject"]["identifier"] == {"value": "PAT-4711"}

        # the same question is the same job, whose answer is there
        again = ask(node)
        assert (again.status_code, job_of(again), again.json()) == (200, job_of(first), answer.json())
        assert journal(node, "run") == 1
        assert job_of(ask(node, index_date="2026-01-06")) != job_of(first)

        # it is a job as any other, in the database, on the page and on the command line
        (job,) = node.all(select(JobRow).where(JobRow.id == job_of(first)))
        assert (job.state, job.route, job.pipeline, job.study_instance_uid) == ("done", "on request", "trial_risk", "")
        assert {"queued", "prepare", "infer", "encode", "done"} <= set(events(node, job.id))
        page = httpx.get(f"http://127.0.0.1:{node.page}/jobs/{job.id}", timeout=60)
        assert page.status_code == 200
        assert "on request" in page.text
        assert f"/jobs/{job.id}" in httpx.get(f"http://127.0.0.1:{node.page}/", timeout=60).text
        listed = condyle(node, "jobs")
        assert job.id[:12] in listed.stdout, listed.stderr

        # the patient is named in sealed files of the job's folder and nowhere else
        folder = node.folder / "data" / "jobs" / job.id
        assert folder.stat().st_mode & 0o077 == 0
        data = node.folder / "data"
        for path in [*folder.rglob("*"), *data.glob("node.db*"), node.folder / "node.log"]:
            if path.is_file():
                content = path.read_bytes()
                for secret in (b"PAT-4711", b"Muster", b"1960-02-29", b"19600229"):
                    assert secret not in content, path


def test_a_record_that_grew_is_another_question(make: Make) -> None:
    with make() as node:
        tell(node)
        first = ask(node)
        more = json.loads(json.dumps(BUNDLE))
        more["entry"][1]["resource"].update(id="d", onsetDateTime="2021-01-01", recordedDate="2021-01-01")
        assert httpx.post(f"http://127.0.0.1:{node.page}/fhir", json=more, timeout=60).status_code == 200
        second = ask(node)
        assert (first.status_code, second.status_code) == (200, 200)
        assert job_of(first) != job_of(second)


def test_an_answer_that_is_no_longer_kept_is_said_to_be_and_made_anew(make: Make) -> None:
    with make() as node:
        tell(node)
        first = ask(node)
        shutil.rmtree(node.folder / "data" / "jobs" / job_of(first))  # as `run.keep_jobs_days` has it
        gone = ask_again(node, first, 0)
        assert (gone.status_code, reason(gone)) == (410, "the answer is no longer kept; ask again")
        second = ask(node)
        assert second.status_code == 200, second.text
        assert job_of(second) != job_of(first)
        assert ask(node).json() == second.json()


def test_of_several_pipelines_the_request_may_name_one(make: Make) -> None:
    with make() as node:
        tell(node)
        assert ask(node).json()["code"]["text"] == "Trial"  # the one that a route leads to
        other = ask(node, pipeline="knee_oa_risk")
        assert other.json()["code"]["text"] == "Knee osteoarthritis risk from the record"
        refused = ask(node, pipeline="knee_super_resolution")
        assert refused.status_code == 422
        assert "there are: knee_oa_risk, trial_risk" in reason(refused)


# ---- what goes wrong
def test_a_request_outlives_the_node(make: Make) -> None:
    node = make(settings={"run_s": 3.0})
    with node:
        tell(node)
        first = ask(node, NO_WAIT)
        until(lambda: journal(node, "run") == 1, "the pipeline runs")
        node.kill()
        node.start()
        answer = ask_again(node, first)
        assert answer.status_code == 200, answer.text
        assert job_of(ask(node)) == job_of(first)
        assert events(node, job_of(first)).count("done") == 1


def test_a_worker_that_dies_is_replaced_and_the_request_answered(make: Make) -> None:
    with make(settings={"behaviour": "crash_once"}) as node:
        tell(node)
        answer = ask(node)
        assert answer.status_code == 200, answer.text
        assert "worker died" in events(node, job_of(answer))
        (worker,) = workers(node)
        subprocess.run(["kill", "-9", str(worker)], check=True)
        assert ask(node, index_date="2026-01-06").status_code == 200


def test_a_job_that_takes_too_long_is_an_answer_and_is_tried_again_when_it_is_asked_for_again(make: Make) -> None:
    with make(settings={"behaviour": "hang"}, run={"time_limit_s": 2}) as node:
        tell(node)
        first = ask(node)
        assert (first.status_code, reason(first)) == (500, "took longer than run.time_limit_s, 2 s")
        second = ask(node)
        assert (second.status_code, job_of(second)) == (500, job_of(first))
        assert journal(node, "run") == 2


def test_a_failed_request_whose_files_were_deleted_is_tried_again_with_the_record(make: Make) -> None:
    with make(settings={"behaviour": "hang"}, run={"time_limit_s": 2}) as node:
        tell(node)
        first = ask(node)
        assert first.status_code == 500
        (job,) = node.jobs()
        assert clean_up(node) == 1
        second = ask(node)
        assert (second.status_code, reason(second)) == (500, "took longer than run.time_limit_s, 2 s")
        assert [one.id for one in node.jobs()] == [job.id]


def test_while_the_database_cannot_be_used_the_asker_is_told_where_to_ask_later(make: Make) -> None:
    with make() as node:
        tell(node)
        first = ask(node)
        database = sqlite3.connect(node.folder / "data" / "node.db", isolation_level=None)
        with contextlib.closing(database):
            database.execute("PRAGMA legacy_alter_table = ON")
            database.execute("ALTER TABLE job RENAME TO job_away")
            away = httpx.get(f"http://127.0.0.1:{node.page}/risk/{job_of(first)}", timeout=60)
            database.execute("ALTER TABLE job_away RENAME TO job")
        assert (away.status_code, away.headers["Content-Location"]) == (503, f"/risk/{job_of(first)}")
        assert reason(away) == "the database cannot be used now, ask again"
        assert ask_again(node, away, 0).json() == first.json()


def test_a_job_that_takes_too_much_memory_is_an_answer_too(make: Make) -> None:
    with make(settings={"behaviour": "swell"}, run={"memory_limit_mb": 700}) as node:
        tell(node)
        answer = ask(node)
        assert (answer.status_code, reason(answer)) == (500, "took more memory than run.memory_limit_mb, 700 MB")


def test_a_pipeline_that_quotes_the_patient_is_not_repeated(make: Make) -> None:
    with make(settings={"behaviour": "raise", "quote": "PAT-4711 Muster"}) as node:
        tell(node)
        answer = ask(node)
        assert (answer.status_code, reason(answer)) == (500, "the pipeline broke while it ran; the log says where")
        assert "ValueError: cannot use *** ***" in node.log_text()
        assert "PAT-4711" not in node.log_text()


def test_what_cannot_be_used_is_said_with_the_reason_and_not_tried_again(make: Make) -> None:
    with make(settings={"behaviour": "refuse_pixels"}) as node:
        tell(node)
        answers = [ask(node), ask(node)]
        assert [(one.status_code, reason(one)) for one in answers] == [(422, "the images are empty")] * 2
        assert journal(node, "run") == 1


# ---- the FHIR server
def test_answers_go_to_a_fhir_destination_once_and_in_order_when_it_is_back(make: Make) -> None:
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
        node.start()
        with serving(peer.app, port):
            assert {job.state for job in node.ended_jobs(2, seconds=120)} == {"done"}
    assert sorted(one["identifier"][0]["value"] for one in peer.given) == sorted([job_of(first), job_of(second)])
    assert {one["subject"]["identifier"]["system"] for one in peer.given} == {"urn:h"}
    assert "system" not in first.json()["subject"]["identifier"]  # the asker's patient IDs have no system


# ---- the command
def test_the_command_answers_without_a_node_and_with_one_by_the_same_job(make: Make) -> None:
    node = make()
    bundle = node.folder / "bundle.json"
    bundle.write_text(json.dumps(BUNDLE))
    (node.folder / "data").mkdir()
    assert condyle(node, "record", str(bundle)).returncode == 0
    words = ("risk", "--patient", "PAT-4711", "--at", "2026-01-05", "--json")
    alone = condyle(node, *words)
    assert alone.returncode == 0, alone.stderr
    answer = json.loads(alone.stdout)
    assert answer["prediction"][0]["probabilityDecimal"] == 0.25
    assert journal(node, "run") == 1
    with node:
        assert ask(node).json() == answer
        assert json.loads(condyle(node, *words).stdout) == answer
        assert journal(node, "run") == 1
        text = condyle(node, "risk", "--patient", "PAT-4711", "--at", "2026-01-06")
        assert (text.returncode, text.stdout.splitlines()[0]) == (0, "A trial."), text.stderr
        assert [job.state for job in node.jobs()] == ["done", "done"]
        unknown = condyle(node, "risk", "--patient", "NOBODY")
        assert (unknown.returncode, unknown.stderr.strip()) == (
            1,
            "there is no record under that patient ID and issuer",
        )


def test_the_command_holds_to_the_limits_without_a_node_too(make: Make) -> None:
    node = make(settings={"behaviour": "hang"}, run={"time_limit_s": 2})
    bundle = node.folder / "bundle.json"
    bundle.write_text(json.dumps(BUNDLE))
    assert condyle(node, "record", str(bundle)).returncode == 0
    answer = condyle(node, "risk", "--patient", "PAT-4711")
    assert (answer.returncode, answer.stderr.strip()) == (1, "took longer than run.time_limit_s, 2 s")

    # what no node ever ran is deleted in its time all the same
    assert (clean_up(node), clean_up(node)) == (1, 0)
    assert list((node.folder / "data" / "jobs").iterdir()) == []


def test_the_command_tells_when_the_node_is_still_at_it(make: Make) -> None:
    with make(records={"answer_wait_s": 0.5}, settings={"run_s": 5.0}) as node:
        tell(node)
        answer = condyle(node, "risk", "--patient", "PAT-4711")
        assert answer.returncode == 4
        assert "The node is still at it" in answer.stderr


def test_two_commands_at_once_without_a_node_are_both_answered(make: Make) -> None:
    node = make(settings={"run_s": 2.0})
    bundle = node.folder / "bundle.json"
    bundle.write_text(json.dumps(BUNDLE))
    assert condyle(node, "record", str(bundle)).returncode == 0
    command = [sys.executable, "-m", "node", "risk", "--patient", "PAT-4711", "--json", "--config", str(node.config)]
    days = ("2026-01-05", "2026-01-06")
    asked = [subprocess.Popen([*command, "--at", day], stdout=subprocess.PIPE, text=True) for day in days]
    answers = [json.loads(one.communicate(timeout=200)[0]) for one in asked]
    assert [one.returncode for one in asked] == [0, 0]
    assert [answer["occurrenceDateTime"] for answer in answers] == list(days)
    assert journal(node, "run") == 2
