"""The API shows what the pages and commands show, in the commands' forms, and does what they do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from node.audit.listing import Filter, lines
from node.listings.jobs import job_listings
from node.listings.listing import as_json
from tests.node.actions.test_importing import image, packed
from tests.node.api.asking import Asked
from tests.waiting import until

STUDY = "1.2.826.0.1.3680043.8.498.77"
HAND = "\n  hand: {when: {Modality: DX}, level: study, pipeline: hand_foot_scoring, destinations: [web]}\n"


def audited(api: Asked, what: str) -> list[str]:
    """Who did that, the latest first."""
    return [row.who for row in lines(api.node.database, Filter(what=what), 10)]


def test_the_node_says_how_it_is(api: Asked) -> None:
    with api.by("viewer") as client:
        status = client.get("/status").json()
        assert status["health"]["ready"] is True
        assert [one["name"] for one in status["destinations"]] == ["pacs", "web"]
        assert (len(status["workers"]), len(status["configuration"])) == (1, 64)
        (route,) = client.get("/routes").json()
        assert (route["name"], route["pipeline"], route["paused"]) == ("knee", "knee_super_resolution", "")
        (model,) = client.get("/models").json()
        assert (model["route"], model["in_force"]) == ("knee", True)
        assert client.get("/version").json()["pipelines"]["knee_super_resolution"]
        for path in ("/verdicts", "/pauses"):
            assert client.get(path).json() == []
        assert client.get("/alerts").json()["firing"] == []


def test_jobs_are_listed_in_the_form_of_the_command_page_by_page(api: Asked) -> None:
    made = {api.outgoing.job("pacs") for _ in range(5)}
    with api.by("viewer") as client:
        found: list[dict[str, Any]] = []
        place: dict[str, str] = {}
        while True:
            page = client.get("/jobs", params={"limit": 2, **place}).json()
            found += page["items"]
            if page["next"] is None:
                break
            place = {"before": page["next"]}
        ids = [one["id"] for one in found]
        assert (made <= set(ids), len(ids)) == (True, len(set(ids)))
        listed = json.loads(as_json(job_listings(api.node.database)))
        stable = ("id", "created", "study_instance_uid", "pipeline")
        of_command = {tuple(one[name] for name in stable) for one in listed}
        assert of_command == {tuple(one[name] for name in stable) for one in found}
        whole = client.get(f"/jobs/{ids[0]}").json()
        assert [one["destination"] for one in whole["objects"][0]["deliveries"]] == ["pacs"]
        assert client.get("/jobs", params={"study": whole["study_instance_uid"]}).json()["items"][0]["id"] == ids[0]
        assert client.get("/jobs", params={"state": "unsuitable"}).json()["items"] == []


def test_a_job_is_cancelled_restarted_and_withdrawn_each_after_a_look_at_what_that_does(api: Asked) -> None:
    job = api.outgoing.job("pacs", "web")
    with api.by("operator") as client:
        would = client.post(f"/jobs/{job}/cancel", params={"dry_run": "true"}).json()
        assert (would["done"], would["refusal"]) == (False, "")
        assert "2 objects that wait to be sent are not sent." in would["sentences"]
        assert client.post(f"/jobs/{job}/cancel").json()["jobs"] == [job]
        again = client.post(f"/jobs/{job}/cancel")
        assert (again.status_code, again.json()["detail"]) == (409, f"Job {job} is failed already.")
        assert client.get("/jobs", params={"state": "failed"}).json()["items"][0]["id"] == job
        assert client.post(f"/jobs/{job}/restart").json()["done"] is True
        wrong = client.post(f"/jobs/{job}/send", json={"destinations": ["pax"]})
        assert (wrong.status_code, "'pax': no such destination" in wrong.json()["detail"]) == (409, True)
        done = client.post(f"/jobs/{job}/withdraw", json={"reason": "quality", "why": "for a test"})
        assert done.json()["done"] is True, done.text
        withdrawals = client.get("/withdrawals", params={"job": job}).json()
        assert {one["reason"]["text"] for one in withdrawals} <= {"for a test"}
    for what in ("job cancelled", "job restarted"):
        assert audited(api, what)[0] == "token operator"


def test_a_study_is_imported_and_found_and_named_to_those_only_who_may_see_patients(api: Asked) -> None:
    with api.by("operator") as client:
        many = packed(("one", image(STUDY, 1)), ("two", image(STUDY, 2)), ("notes.txt", b"no DICOM"))
        sent = client.post("/import", content=many, headers={"content-type": "application/zip"}).json()
        assert (sent["stored"], sent["studies"], sent["number_not_taken"]) == (2, {STUDY: 2}, 1)
        nothing = client.post("/import", content=b"no DICOM", headers={"content-type": "application/dicom"})
        assert (nothing.status_code, "is not DICOM" in nothing.json()["detail"].lower()) == (409, False)
        assert client.post("/import", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
        until(lambda: client.get(f"/studies/{STUDY}").status_code == 200, "the study is in the records")
        (listed,) = client.get("/studies", params={"uid": STUDY[-8:]}).json()["items"]
        assert (listed["study_instance_uid"], listed["instances"]) == (STUDY, 2)
        would = client.post(f"/studies/{STUDY}/run", json={"route": "knee"}, params={"dry_run": "true"}).json()
        assert would["done"] is False
        assert client.post(f"/studies/{STUDY}/run", json={"route": "hip"}).status_code == 409
    with api.by("viewer") as client:
        shown = client.get(f"/studies/{STUDY}")
        assert (shown.json()["who"], "Muster" in shown.text) == (None, False)
        assert client.get(f"/studies/{STUDY}", params={"patients": "true"}).status_code == 403
        assert client.post("/study-search", json={"patient_id": "1"}).status_code == 403
    with api.by("seeing") as client:
        (patient,) = client.get(f"/studies/{STUDY}", params={"patients": "true"}).json()["who"]
        assert "Muster" in patient["name"]
        assert client.post("/study-search", json={"patient_id": "nobody's"}).json() == {"items": [], "next": None}
    assert audited(api, "patient viewed") == ["token seeing"]


def test_routes_and_destinations_are_paused_and_resumed(api: Asked) -> None:
    with api.by("operator") as client:
        for path, kind, name in (("/routes/knee", "route", "knee"), ("/destinations/web", "destination", "web")):
            assert client.post(f"{path}/pause", json={"why": "new scanner"}).json()["done"] is True
            (paused,) = client.get("/pauses").json()
            assert (paused["kind"], paused["name"], paused["who"], paused["why"]) == (
                *(kind, name),
                *("token operator", "new scanner"),
            )
            assert client.post(f"{path}/pause", json={"why": "again"}).status_code == 409
            assert client.post(f"{path}/resume").json()["done"] is True
        assert client.get("/pauses").json() == []
        assert client.post("/routes/hip/pause", json={"why": "no such"}).status_code == 404
        since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        again = client.post("/destinations/web/resend", json={"since": since}, params={"dry_run": "true"}).json()
        assert again["refusal"] == "Web has taken nothing since then that is still stored."


def test_routes_are_tried_and_put_in_force_by_an_administrator(api: Asked) -> None:
    with api.by("administrator") as client:
        file = client.get("/routes-file").json()
        wrong = client.post("/routes-file/try", json={"text": file["text"].replace("Modality", "Modalty")}).json()
        assert (wrong["fit"], wrong["mistakes"][0]["line"] > 0) == (False, True)
        text = file["text"].rstrip() + HAND
        tried = client.post("/routes-file/try", json={"text": text}).json()
        assert tried["fit"] is True, tried
        assert any("hand" in one for one in tried["changes"])
        assert client.put("/routes-file", json={"text": text, "seen": "0" * 64}).status_code == 409
        done = client.put("/routes-file", json={"text": text, "seen": file["digest"]})
        assert done.status_code == 200, done.text
        assert [one["name"] for one in client.get("/routes").json()] == ["knee", "hand"]
        back = client.put(
            "/routes-file", json={"text": file["text"], "seen": client.get("/routes-file").json()["digest"]}
        )
        assert back.status_code == 200, back.text
        assert client.post("/reload", params={"dry_run": "true"}).json()["refusal"] == ""
        assert client.post("/reload").json()["done"] is True
        found = client.get("/audit", params={"what": "routes changed", "limit": 1}).json()
        assert (found["items"][0]["who"], found["next"] is None) == ("token administrator", False)
    with api.by("operator") as client:
        assert client.put("/routes-file", json={"text": text, "seen": file["digest"]}).status_code == 403


def test_users_and_tokens_are_made_changed_and_taken_away(api: Asked) -> None:
    with api.by("administrator") as client:
        eva = {"name": "eva", "password": "words for a test", "role": "viewer"}
        assert client.post("/users", json=eva).status_code == 201
        assert client.post("/users", json=eva).status_code == 409
        changed = client.patch("/users/eva", json={"role": "operator", "disabled": True}).json()
        assert (changed["role"], changed["disabled"] is None) == ("operator", False)
        assert client.delete("/users/eva").json()["done"] is True
        assert client.get("/users/eva").status_code == 404
        made = client.post("/tokens", json={"name": "script", "scopes": ["read"], "days": 1}).json()
        api.tokens["script"] = made["token"]
        with api.by("script") as script:
            assert script.get("/jobs").status_code == 200
            assert client.delete("/tokens/script").json()["done"] is True
            assert script.get("/jobs").status_code == 401
        assert made["token"] not in client.get("/tokens").text


@pytest.mark.parametrize("path", ["/alerts/rules/none/silence", "/alerts/channels/none/test"])
def test_alerts_that_there_are_none_of_are_not_found(api: Asked, path: str) -> None:
    with api.by("operator") as client:
        assert client.post(path, json={"minutes": 5}).status_code == 404


def test_the_document_can_be_read_without_scripts_and_without_another_server(api: Asked) -> None:
    with api.by("viewer") as client:
        page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "POST /api/v1/jobs/{job_id}/restart" in page.text
    for foreign in ("<script", "http:", "https:", "style="):
        assert foreign not in page.text
