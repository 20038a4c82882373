"""Who may ask what; and what is answered where something is not done."""

from __future__ import annotations

import httpx
import pytest

from node.access.users import Users, identity_of
from node.api.guard import LARGEST_BODY
from node.api.problems import ALWAYS
from node.config import StatusSettings
from tests.node.access.quick import PASSWORD
from tests.node.api.asking import Asked

JOB = "/jobs/0123456789abcdef"


def test_nobody_asks_without_saying_who_they_are_and_no_body_of_theirs_is_read(api: Asked) -> None:
    for headers in ({}, {"authorization": "Bearer condyle_made-up"}):
        with httpx.Client(base_url=f"{api.url}/api/v1", headers=headers) as nobody:
            for path in ("/jobs", "/openapi.json", "/"):
                refused = nobody.get(path)
                assert refused.status_code == 401
                assert refused.headers["content-type"] == "application/problem+json"
                assert refused.headers["www-authenticate"].startswith("Bearer")
                assert refused.json()["title"] == "Unauthorized"
            assert nobody.post("/users", content=b"{" * 100).status_code == 401


@pytest.mark.parametrize(
    ("who", "method", "path", "status"),
    [
        ("viewer", "GET", "/jobs", 200),
        ("viewer", "POST", f"{JOB}/restart", 403),
        ("viewer", "GET", "/audit", 403),
        ("operator", "POST", f"{JOB}/restart", 404),
        ("operator", "GET", "/users", 403),
        ("operator", "DELETE", "/tokens/viewer", 403),
        ("administrator", "GET", "/audit", 200),
        ("administrator", "POST", f"{JOB}/restart", 404),
    ],
)
def test_each_operation_has_the_role_that_it_needs(api: Asked, who: str, method: str, path: str, status: int) -> None:
    with api.by(who) as client:
        answer = client.request(method, path)
    assert answer.status_code == status, answer.text
    if status == 403:
        assert f"yours is {who}" in answer.json()["detail"]


def test_what_a_browser_adds_by_itself_changes_nothing_without_a_header_that_no_form_can_send(api: Asked) -> None:
    sessions = api.sessions(StatusSettings())
    user = Users(api.node.database).named("anna")
    assert user is not None
    token = sessions.begin(identity_of(user), "", "", password=user.password)
    assert token is not None
    with httpx.Client(base_url=f"{api.url}/api/v1", cookies={"condyle-session": token}) as browser:
        assert browser.get("/jobs").status_code == 200
        refused = browser.post(f"{JOB}/restart")
        assert (refused.status_code, "X-Requested-With" in refused.json()["detail"]) == (403, True)
        assert browser.post(f"{JOB}/restart", headers={"x-requested-with": "program"}).status_code == 404
    with api.by("operator") as added_by_a_proxy:
        own = {"origin": api.url, "sec-fetch-site": "same-origin"}
        assert added_by_a_proxy.post(f"{JOB}/restart", headers=own).status_code == 403


def test_a_request_that_is_not_as_the_document_says_is_told_where_without_what_it_held(api: Asked) -> None:
    with api.by("administrator") as client:
        short = client.post("/users", json={"name": "eva", "password": "hunter2", "role": "viewer"})
        assert (short.status_code, "hunter2" in short.text) == (422, False)
        assert short.json()["detail"].startswith("Body.password: ")
        more = client.get("/jobs", params={"stat": "failed"})
        assert "no such parameter; there are: before, limit, route" in more.json()["detail"]
        assert client.post("/reload", content=b"{").status_code in (200, 409)  # it has no body
        assert (
            client.post("/study-search", content=b"{", headers={"content-type": "application/json"}).status_code == 422
        )
        large = client.post("/study-search", content=b" " * (LARGEST_BODY + 1))
        assert (large.status_code, large.json()["status"]) == (413, 413)
        other = client.put("/jobs")
        assert (other.status_code, other.headers["allow"]) == (405, "GET")
        assert client.get("/nothing").json()["status"] == 404


def test_every_operation_says_who_may_and_what_else_it_may_answer(api: Asked) -> None:
    with api.by("viewer") as client:
        document = client.get("/openapi.json").json()
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len(operations) > 35
    for one in operations:
        assert {str(status) for status in ALWAYS} <= one["responses"].keys(), one["operationId"]
        assert one["description"]
    restart = document["paths"]["/jobs/{job_id}/restart"]["post"]
    assert restart["x-role"] == "operator"
    assert PASSWORD not in str(document)
