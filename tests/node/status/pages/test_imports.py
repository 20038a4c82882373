"""Files are uploaded: streamed, taken one after the other, and only by the form that the page gave out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from node.receive.status import NotStored, Status
from node.receive.store.store import Store
from tests.browser import open_browser
from tests.node.actions.acting import Acting
from tests.node.actions.test_importing import image, packed
from tests.node.status.pages.acting_page import hidden

if TYPE_CHECKING:
    from playwright.sync_api import Page as BrowserPage

Page = tuple[Acting, httpx.Client]
Files = list[tuple[str, tuple[str, bytes]]]


def upload(client: httpx.Client, *files: tuple[str, bytes], token: str | None = None) -> httpx.Response:
    form = hidden(client.get("/import").text) if token is None else {"token": token}
    return client.post("/import", data=form, files=[("files", file) for file in files])


def instances(act: Acting) -> list[Path]:
    return list((act.configuration.node.data / "instances").rglob("*.dcm"))


def test_what_was_taken_is_told_by_study_and_what_was_not_with_the_reason(page: Page) -> None:
    act, client = page
    answer = upload(client, ("a.dcm", image("1.2.3", 1)), ("b.zip", packed(("IM", image("1.2.4", 1)))), ("c", b"text"))
    assert answer.status_code == 200
    assert "2 instances taken, 1 file not" in answer.text
    assert all(f'<a href="/studies/{uid}">' in answer.text for uid in ("1.2.3", "1.2.4"))
    assert '>c</td><td data-th="Why" class="reason">is not DICOM' in answer.text
    assert len(instances(act)) == 2
    ((what, who, _),) = act.audited()
    assert (what, who) == ("files imported", "this machine")


def test_a_file_that_is_larger_than_a_piece_of_the_body_arrives_whole(page: Page) -> None:
    act, client = page
    content = packed(*((f"IM{number}", image("1.2.3", number)) for number in range(150)))
    assert len(content) > 70_000
    assert upload(client, ("many.zip", content)).status_code == 200
    assert len(instances(act)) == 150


def test_where_nothing_was_taken_the_answer_says_so(page: Page) -> None:
    _, client = page
    assert upload(client, ("c", b"text")).status_code == 422


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_a_form_that_the_node_did_not_give_out_brings_in_nothing(page: Page, token: str) -> None:
    act, client = page
    answer = upload(client, ("a.dcm", image("1.2.3", 1)), token=token)
    assert answer.status_code == 403
    assert instances(act) == []
    assert act.audited() == []


def test_files_before_the_token_are_not_taken(page: Page) -> None:
    act, client = page
    token = hidden(client.get("/import").text)["token"]
    body = (
        b'--cut\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="token"\r\n\r\n' + token.encode() + b"\r\n--cut--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=cut"}
    assert client.post("/import", content=body, headers=headers).status_code == 403
    assert instances(act) == []


@pytest.mark.parametrize(("body", "status"), [(b"--cut\r\nbroken", 400), (b"no boundary", 400), (b"--cut--\r\n", 403)])
def test_a_body_that_is_no_form_is_refused(page: Page, body: bytes, status: int) -> None:
    _, client = page
    headers = {"content-type": "multipart/form-data; boundary=cut"}
    assert client.post("/import", content=body, headers=headers).status_code == status
    assert client.post("/import", data={"token": "1"}).status_code == 415


def test_a_form_without_a_file_says_so(page: Page) -> None:
    _, client = page
    token = hidden(client.get("/import").text)["token"]
    answer = client.post("/import", files={"token": (None, token)})
    assert answer.status_code == 400
    assert "No file was chosen." in answer.text


def test_what_came_before_the_disk_was_full_is_told_with_that(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    act, client = page

    def full(*_: object) -> None:
        if instances(act):
            raise NotStored(Status.OUT_OF_RESOURCES, "The disk is full")

    monkeypatch.setattr(Store, "require_room", full)
    answer = upload(client, ("a.dcm", image("1.2.3", 1)), ("b.dcm", image("1.2.3", 2)))
    assert answer.status_code == 507
    assert "The rest was not taken: The disk is full." in answer.text
    assert len(instances(act)) == 1


@pytest.mark.browser
def test_a_folder_and_a_zip_are_uploaded_in_a_browser_with_and_without_a_script(page: Page, tmp_path: Path) -> None:
    act, client = page
    folder = tmp_path / "medium"
    (folder / "deeper").mkdir(parents=True)
    for number in range(3):
        (folder / "deeper" / f"IM{number}").write_bytes(image("1.2.3", number))
    (folder / "README").write_text("read me")
    (tmp_path / "disc.zip").write_bytes(packed(("IM", image("1.2.4", 1))))
    url = f"{client.base_url}/import"
    with open_browser() as browser:
        plain: BrowserPage = browser.new_context(java_script_enabled=False).new_page()
        plain.goto(url)
        plain.locator("#files").set_input_files(tmp_path / "disc.zip")
        plain.get_by_role("button", name="Import").click()
        assert plain.locator("h1").inner_text() == "1 instance taken"
        scripted = browser.new_page()
        complaints: list[str] = []
        scripted.on("console", lambda message: complaints.append(message.text))
        scripted.goto(url)
        scripted.locator("#folder").set_input_files(folder)
        scripted.get_by_role("button", name="Import").click()
        told = scripted.locator("#imported")
        assert told.locator("h1").inner_text() == "3 instances taken, 1 file not"
        assert "medium/README" in told.inner_text()
        assert scripted.url == url, "the answer is put in place"
        assert complaints == []
    assert len(instances(act)) == 4
