"""POST /run on a node in a process of its own: what is made of a request, what is refused, and who may ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from dicom_sr import phantoms
from node.database.tables import SeriesRow
from tests.node.on_demand.told import Told
from tests.running import RunningNode
from tests.test_flow import fresh
from tests.waiting import until

TOKEN = "a-token-of-the-tests"
KNEE = {
    "when": {"Modality": "MR", "series.slices": {"min": 100}},  # takes none of what is sent here
    "pipeline": "knee_super_resolution",
    "settings": {"method": "tricubic", "spacing": 2.0},
    "destinations": ["out", {"to": "alarm", "when": {"state": "unsuitable"}}],
}


@pytest.fixture(scope="module")
def listener() -> Iterator[Told]:
    with Told() as made:
        yield made


@pytest.fixture(scope="module")
def node(listener: Told, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folders = {name: {"kind": "folder", "path": name} for name in ("out", "alarm", "second")}
    routes = {"knee": KNEE, "hands": {**KNEE, "pipeline": "hand_foot_scoring", "level": "study", "settings": {}}}
    settings: dict[str, Any] = {
        "receive": {"series_quiet_s": 5, "study_quiet_s": 0.5},
        "routes": routes,
        "destinations": folders,
        "run_requests": {"enabled": True, "token": TOKEN, "callbacks": {"ris": {"url": listener.url}}},
    }
    with RunningNode(tmp_path_factory.mktemp("node"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(node: RunningNode) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{node.page}", headers=headers, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def study(node: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A stored study that no route takes."""
    header = phantoms.study_header(phantoms.Person(), "run", "Simulated knee")
    files = phantoms.write_knee_mr(tmp_path_factory.mktemp("in"), header, (6, 48, 44), (4.0, 1.25, 1.25))
    new = fresh(files, counted=True)
    assert set(node.send(new.images)) == {0}
    settled = select(SeriesRow).where(SeriesRow.study_instance_uid == new.study, SeriesRow.study_routed_instances > 0)
    until(lambda: node.all(settled), "the study is decided about")
    assert node.jobs(new.study) == []
    return new.study


def test_a_request_is_a_job_and_the_same_request_the_same_job(
    node: RunningNode, client: httpx.Client, study: str
) -> None:
    answer = client.post("/run", json={"study": study, "pipeline": "knee_super_resolution", "priority": 7})
    assert answer.status_code == 202
    (made,) = answer.json()["jobs"]
    assert answer.headers["Location"] == f"/run/{made['job']}"
    (job,) = node.ended_jobs(1, study=study)
    assert (job.id, job.state, job.priority, job.route) == (made["job"], "done", 7, "by hand")
    state = client.get(answer.headers["Location"]).json()
    assert (state["state"], state["pipeline"], state["reason"]) == ("done", "knee_super_resolution", "")
    assert set(state["destinations"]["out"]) == {"delivered"}
    assert state["destinations"]["alarm"] == {}  # its condition does not hold
    again = client.post("/run", json={"study": study, "route": "knee"})
    assert [one["job"] for one in again.json()["jobs"]] == [job.id]
    assert again.json()["jobs"][0]["what"] == "done before"


def test_who_asked_is_told_of_the_end_of_the_job(client: httpx.Client, study: str, listener: Told) -> None:
    asked = {"study": study, "route": "knee", "priority": 5, "callback": f"{listener.url}/ends?of=7"}
    (made,) = client.post("/run", json=asked).json()["jobs"]
    until(lambda: listener.posts, "the callback has come")
    (post,) = listener.posts
    assert (post.path, post.headers["webhook-id"]) == ("/hook/ends?of=7", post.content["id"])
    assert {name: post.content[name] for name in ("request", "study", "state", "reason")} == {
        "request": None,
        "study": study,
        "state": "done",
        "reason": "",
    }
    assert post.content["jobs"] == [client.get(f"/run/{made['job']}").json()]


def test_other_destinations_get_what_is_there_already(node: RunningNode, client: httpx.Client, study: str) -> None:
    asked = {"study": study, "route": "knee", "destinations": ["second"]}
    (made,) = client.post("/run", json=asked).json()["jobs"]

    def delivered() -> bool:
        return set(client.get(f"/run/{made['job']}").json()["destinations"].get("second", {})) == {"delivered"}

    until(delivered, "the further destination has it")
    assert len(node.jobs(study)) == 1


@pytest.mark.parametrize(
    ("more", "status", "told"),
    [
        ({"route": "kne"}, 422, "did you mean 'knee'?"),
        ({"pipeline": "x"}, 422, "no route runs it"),
        ({}, 422, "route: is missing"),
        ({"route": "knee", "destinations": ["x"]}, 422, "destinations: one is not configured"),
        ({"route": "knee", "priority": -1}, 422, "priority: should be"),
        ({"route": "knee", "call_back": "http://x"}, 422, "call_back: there is no such key"),
        ({"route": "knee", "callback": "http://127.0.0.1/"}, 422, "callback: is at or below no address of run_"),
        ({"route": "knee", "callback": "file:///etc"}, 422, "callback: should be a URL that begins with http"),
        ({"route": "knee", "series": ["1.2.3"]}, 404, "no image of series 1.2.3 is stored"),
        ({"route": "knee", "study": "1.2.3"}, 404, "no image of it is stored"),
        ({"route": "knee", "study": "1" * 65}, 422, "study: should be a Study Instance UID"),
        ({"route": "knee", "study": 7}, 422, "study: should be a text"),
    ],
)
def test_what_cannot_be_run_is_told(
    client: httpx.Client, study: str, more: dict[str, object], status: int, told: str
) -> None:
    answer = client.post("/run", json={"study": study, **more})
    assert (answer.status_code, told in answer.json()["error"]) == (status, True), answer.text


def test_a_pipeline_that_does_not_take_the_study_says_why(client: httpx.Client, study: str) -> None:
    answer = client.post("/run", json={"study": study, "pipeline": "hand_foot_scoring"})
    assert answer.status_code == 422
    (left_out,) = answer.json()["not_run"]
    assert left_out["reason"].startswith("needs a radiograph of a hand or a foot")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{", 400),
        ({"Content-Type": "application/json"}, b"[" * 10_000, 400),
        ({"Content-Type": "application/json"}, b"[]", 422),
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({"Content-Type": "application/json"}, b" " * 300_000, 413),
    ],
)
def test_a_body_that_is_no_request_is_refused(
    client: httpx.Client, headers: dict[str, str], body: bytes, status: int
) -> None:
    assert client.post("/run", content=body, headers=headers).status_code == status


def test_only_who_shows_the_token_may_ask(node: RunningNode, study: str) -> None:
    base = f"http://127.0.0.1:{node.page}"
    for answer in (httpx.post(f"{base}/run", json={"study": study, "route": "knee"}), httpx.get(f"{base}/run/1")):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_job_that_nobody_asked_for_is_not_shown(client: httpx.Client) -> None:
    assert client.get(f"/run/{'0' * 32}").status_code == 404
