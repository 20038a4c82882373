"""Studies that a real archive holds are fetched by C-GET, C-MOVE and WADO-RS, and run on; no other route takes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from node.database.tables import AssociationRow, DecisionRow, FetchRow, InstanceRow
from node.demo.orthanc_process import free_port
from tests.hostile_archive import HostileArchive, drip, then
from tests.needs import missing
from tests.node.on_demand.fetched import KNEE, SLICES, archived
from tests.orthanc import Archive, Modality, OrthancMissing
from tests.running import RunningNode
from tests.waiting import until

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def node_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, node_port: int) -> Iterator[Archive]:
    """An Orthanc that knows the node under its AE title and under the one for requests."""
    known = {"condyle": Modality("CONDYLE", node_port), "fetch": Modality("CONDYLE_FETCH", node_port)}
    other = free_port()  # of a node that has images moved
    known |= {"move": Modality("CONDYLE_MOVE", other), "moved": Modality("MOVE_FETCH", other)}
    try:
        made = Archive(tmp_path_factory.mktemp("archive"), modalities=known)
    except OrthancMissing as error:
        missing(str(error))
    with made:
        yield made


@pytest.fixture(scope="module")
def node(archive: Archive, node_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    dimse = {"kind": "dimse", "ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.dicom_port}
    settings: dict[str, Any] = {
        "peers": {"archive": {"ae_title": archive.ae_title}},
        "receive": {"series_quiet_s": 60, "study_quiet_s": 60, "dimse": {"ae_titles": ["CONDYLE_FETCH"]}},
        "routes": {"knee": KNEE},
        "destinations": {
            "out": {"kind": "folder", "path": "out"},
            "dimse": dimse,
            "web": {"kind": "dicomweb", "url": archive.dicom_web_url},
            "away": {**dimse, "port": free_port()},
            "secret": dimse,
        },
        "run_requests": {
            "enabled": True,
            "token": TOKEN,
            "archives": ["dimse", "web", "away"],
            "move_ae_title": "CONDYLE_FETCH",
        },
    }
    with RunningNode(tmp_path_factory.mktemp("node"), port=node_port, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(node: RunningNode) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{node.page}", headers=headers, timeout=60) as made:
        yield made


def ended(client: httpx.Client, location: str) -> dict[str, Any]:
    """The state of a request, once it has come to its end and so have its jobs."""

    def state() -> dict[str, Any]:
        found: dict[str, Any] = client.get(location).json()
        over = found["state"] in ("done", "failed") and all(job["state"] == "done" for job in found["jobs"])
        return found if over else {}

    return until(state, "the request has come to its end")


@pytest.mark.parametrize("by", ["dimse", "web"])
def test_a_study_is_fetched_and_run_on_at_once_and_no_route_is_asked(
    node: RunningNode, client: httpx.Client, archive: Archive, tmp_path: Path, by: str
) -> None:
    new = archived(archive, tmp_path, f"ACC-{by}")
    answer = client.post("/run", json={"accession_number": f"ACC-{by}", "from": by, "route": "knee"})
    assert answer.status_code == 202, answer.text
    state = ended(client, answer.headers["Location"])  # long before the study would have been quiet for a minute
    assert (state["state"], state["study"], state["reason"]) == ("done", new.study, "")
    (job,) = node.jobs(new.study)
    assert (job.id, job.route, job.state) == (state["jobs"][0]["job"], "by hand", "done")
    assert len(job.sop_instance_uids) == SLICES
    ways = select(AssociationRow.way).join(InstanceRow, InstanceRow.association_id == AssociationRow.id)
    assert set(node.all(ways.where(InstanceRow.study_instance_uid == new.study))) == {"fetch"}
    assert node.all(select(DecisionRow).where(DecisionRow.study_instance_uid == new.study)) == []
    again = client.post("/run", json={"study": new.study, "from": by, "route": "knee"})
    assert again.headers["Location"] == answer.headers["Location"]  # the same request
    assert [one["job"] for one in ended(client, again.headers["Location"])["jobs"]] == [job.id]


def test_by_c_move_images_come_to_the_nodes_own_port(
    archive: Archive, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    new = archived(archive, tmp_path, "ACC-move")
    dimse = {"kind": "dimse", "ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.dicom_port}
    settings: dict[str, Any] = {
        "node": {"data": "data", "ae_title": "CONDYLE_MOVE"},
        "peers": {"archive": {"ae_title": archive.ae_title}},
        "receive": {"series_quiet_s": 60, "study_quiet_s": 60, "dimse": {"ae_titles": ["MOVE_FETCH"]}},
        "routes": {"knee": KNEE},
        "destinations": {"out": {"kind": "folder", "path": "out"}, "dimse": dimse},
        "run_requests": {
            "enabled": True,
            "archives": ["dimse"],
            "retrieve": "move",
            "move_ae_title": "MOVE_FETCH",
        },
    }
    port = archive.modalities["move"].port
    with RunningNode(tmp_path_factory.mktemp("move"), port=port, **settings) as node:
        client = httpx.Client(base_url=f"http://127.0.0.1:{node.page}", timeout=60)
        with client:
            asked = {"study": new.study, "from": "dimse", "pipeline": "knee_super_resolution"}
            state = ended(client, client.post("/run", json=asked).headers["Location"])
        assert (state["state"], state["reason"]) == ("done", "")
        (job,) = node.jobs(new.study)
        assert (job.state, len(job.sop_instance_uids)) == ("done", SLICES)
        assert {one.called_ae_title for one in node.all(select(AssociationRow)) if one.way == "dimse"} == {"MOVE_FETCH"}
        assert node.all(select(DecisionRow)) == []


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        ({"accession_number": "NONE", "from": "dimse"}, 404, "dimse: has no study with this accession number"),
        ({"accession_number": "NONE", "from": "web"}, 404, "web: has no study with this accession number"),
        ({"accession_number": "TWICE", "from": "dimse"}, 404, "dimse: has 2 studies with this accession number"),
        ({"accession_number": "TWICE", "from": "web"}, 404, "web: has 2 studies with this accession number"),
        ({"accession_number": "*", "from": "dimse"}, 422, "wildcard"),
        ({"accession_number": "A?C", "from": "web"}, 422, "wildcard"),
        ({"accession_number": "X", "from": "away"}, 503, "away: "),
        ({"accession_number": "X", "from": "secret"}, 422, "from: is no archive of run_requests.archives"),
        ({"accession_number": "X"}, 422, "accession_number: needs from"),
        ({"accession_number": "X", "study": "1.2.3", "from": "dimse"}, 422, "and not both"),
        ({"from": "dimse"}, 422, "study: should be given"),
        ({"study": "1.2.3", "from": "dimse", "route": "kne"}, 422, "did you mean"),
    ],
)
def test_what_cannot_be_fetched_is_told(
    client: httpx.Client, two_of_a_number: None, asked: dict[str, str], status: int, told: str
) -> None:
    answer = client.post("/run", json={"route": "knee", **asked})
    assert (answer.status_code, told in answer.json()["error"]) == (status, True), answer.text


@pytest.fixture(scope="module")
def two_of_a_number(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> None:
    for _ in range(2):
        archived(archive, tmp_path_factory.mktemp("twice"), "TWICE")


@pytest.mark.parametrize("by", ["dimse", "web"])
def test_a_study_that_the_archive_has_not_fails_with_a_sentence(client: httpx.Client, by: str) -> None:
    answer = client.post("/run", json={"study": "1.2.3.4", "from": by, "route": "knee"})
    state = ended(client, answer.headers["Location"])
    assert (state["state"], state["reason"]) == ("failed", f"{by}: has no image of this study")


def test_an_archive_that_is_away_is_asked_again_later(client: httpx.Client) -> None:
    location = client.post("/run", json={"study": "1.2.3.4", "from": "away", "route": "knee"}).headers["Location"]

    def waits() -> bool:
        state = client.get(location).json()
        return bool(state["state"] == "waiting" and state["reason"].startswith("away: "))

    until(waits, "the request waits, with the reason")


def test_a_study_that_is_being_fetched_at_the_end_of_the_node_is_left_to_the_next_one(tmp_path: Path) -> None:
    with HostileArchive(then(drip)) as archive:
        slow = {"kind": "dimse", "ae_title": "SLOW", "host": "127.0.0.1", "port": archive.port}
        settings: dict[str, Any] = {
            "routes": {"knee": KNEE},
            "destinations": {"out": {"kind": "folder", "path": "out"}, "slow": slow},
            "run_requests": {"enabled": True, "archives": ["slow"]},
        }
        with RunningNode(tmp_path, **settings) as node:
            asked = {"study": "1.2.3", "from": "slow", "route": "knee"}
            httpx.post(f"http://127.0.0.1:{node.page}/run", json=asked).raise_for_status()
            until(lambda: archive.opened, "the archive is asked")
            assert node.stop() == 0
            (row,) = node.all(select(FetchRow))
            assert (row.state, row.claimed_until, row.attempts, row.jobs) == ("waiting", None, 0, [])


def test_a_study_that_does_not_suit_the_pipeline_says_why(
    node: RunningNode, client: httpx.Client, archive: Archive, tmp_path: Path
) -> None:
    new = archived(archive, tmp_path, "ACC-series")
    asked = {"study": new.study, "from": "dimse", "route": "knee", "series": ["1.2.3"]}
    state = ended(client, client.post("/run", json=asked).headers["Location"])
    assert state["state"] == "failed"
    assert "no image of series 1.2.3 is stored" in state["reason"]
    assert node.jobs(new.study) == []
