"""STOW-RS into the store: per-instance results, streaming, tokens, broken requests."""

from __future__ import annotations

import asyncio
import copy
import gzip
import io
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pydicom
import pytest
from pydicom.uid import JPEG2000, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from starlette.applications import Starlette

from node.config import DicomWebSettings
from node.receive import stow
from node.receive.store.receipt_log import Failed, decode_all
from node.receive.store.store import Store
from node.receive.stow import routes
from tests.node.receive.harness import data_set, mr, part10, partials, stored_files

JSON = "application/dicom+json"
RELATED = 'multipart/related; type="application/dicom"; boundary=BOUNDARY'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path, "process")
    yield store
    store.close()


class Client:
    """Speaks to the routes as a client at `host` would."""

    def __init__(self, store: Store, host: str, **settings: Any) -> None:
        app = Starlette(routes=routes(store, DicomWebSettings(**settings)))
        self._transport = httpx.ASGITransport(app, client=(host, 5000))

    def post(self, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        return self.stream(path, _pieces(content), headers)

    def stream(self, path: str, content: AsyncIterator[bytes], headers: dict[str, str]) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://127.0.0.1:8042") as client:
                return await client.post(path, content=content, headers=headers)

        return asyncio.run(send())


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    """A body in pieces of an awkward size, so that boundaries fall anywhere."""
    for start in range(0, len(content), 997):
        yield content[start : start + 997]


def client(store: Store, host: str = "127.0.0.1", **settings: Any) -> Client:
    return Client(store, host, **settings)


def multipart(*contents: bytes, media: str = "application/dicom") -> bytes:
    parts = [f"--BOUNDARY\r\nContent-Type: {media}\r\n\r\n".encode() + content + b"\r\n" for content in contents]
    return b"".join(parts) + b"--BOUNDARY--\r\n"


def post(browser: Client, body: bytes, path: str = "/dicom-web/studies", **headers: str) -> Any:
    return browser.post(path, content=body, headers={"content-type": RELATED, "accept": JSON, **headers})


def test_each_instance_is_stored_as_it_came(store: Store, tmp_path: Path) -> None:
    study = generate_uid()
    files = [part10(mr(study, number=number, side=200)) for number in range(3)]
    answer = post(client(store), multipart(*files))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == JSON
    stored = stored_files(tmp_path)
    assert sorted(stored.values()) == sorted(files)
    referenced = json.loads(answer.content)["00081199"]["Value"]
    assert {item["00081155"]["Value"][0] for item in referenced} == set(stored)
    assert {item["00081150"]["Value"][0] for item in referenced} == {MRImageStorage}
    assert partials(tmp_path) == []


def test_what_fails_is_told_one_by_one(store: Store, tmp_path: Path) -> None:
    good, other = mr(), mr()
    answer = post(
        client(store),
        multipart(part10(good), b"no DICOM at all, but long enough to be looked at", part10(other)),
        path=f"/dicom-web/studies/{good.StudyInstanceUID}",
    )
    assert answer.status_code == 202
    body = answer.json()
    assert [item["00081155"]["Value"][0] for item in body["00081199"]["Value"]] == [good.SOPInstanceUID]
    failed = body["00081198"]["Value"]
    assert [item["00081197"]["Value"][0] for item in failed] == [0xC000, 0xA900]
    assert failed[1]["00081155"]["Value"] == [other.SOPInstanceUID]
    assert list(stored_files(tmp_path)) == [good.SOPInstanceUID]
    assert partials(tmp_path) == []


def test_many_bad_parts_have_a_status_each_and_one_record_together(store: Store, tmp_path: Path) -> None:
    good = mr()
    answer = post(client(store), multipart(*[b"x"] * 300, part10(good), b"\0" * 300))
    assert answer.status_code == 202
    body = answer.json()
    assert [item["00081197"]["Value"] for item in body["00081198"]["Value"]] == [[0xC000]] * 301
    assert [item["00081155"]["Value"] for item in body["00081199"]["Value"]] == [[good.SOPInstanceUID]]
    store.close()
    lines = b"".join(path.read_bytes() for path in (tmp_path / "receipts").glob("*.journal"))
    last = {entry.key: entry for entry in decode_all(lines) if isinstance(entry, Failed)}
    assert {entry.reason: (entry.times, entry.named) for entry in last.values()} == {
        "The file is too short for DICOM": (300, "part 1, part 2, part 3, part 4, part 5"),
        "The file is not DICOM": (1, "part 302"),
    }
    assert partials(tmp_path) == []


def test_nothing_stored_is_a_conflict_and_a_full_disk_is_temporary(store: Store, tmp_path: Path) -> None:
    browser = client(store)
    assert post(browser, multipart(b"rubbish " * 50)).status_code == 409
    store.floor_bytes = 2**62
    store._space_checked = float("-inf")
    answer = post(browser, multipart(part10(mr())))
    assert answer.status_code == 503
    assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xA700]
    assert stored_files(tmp_path) == {}
    assert partials(tmp_path) == []


def test_a_bare_data_set_gets_its_file_meta(store: Store, tmp_path: Path) -> None:
    ds = mr()
    assert post(client(store), multipart(data_set(ds))).status_code == 200
    (content,) = stored_files(tmp_path).values()
    assert content.endswith(data_set(ds))
    assert content[128:132] == b"DICM"


def test_the_answer_can_be_xml(store: Store) -> None:
    ds = mr()
    answer = post(client(store), multipart(part10(ds)), accept="application/dicom+xml")
    root = ElementTree.fromstring(answer.content)
    space = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
    values = [value.text for value in root.iter(f"{space}Value")]
    assert values == [MRImageStorage, ds.SOPInstanceUID]


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, 400),
        (b"--BOUNDARY--\r\n", {}, 400),
        (multipart(b"x" * 300)[:-40], {}, 400),
        (b"nothing of the kind" * 100, {}, 400),
        (multipart(b"x"), {"content-type": "application/dicom"}, 415),
        (multipart(b"x"), {"content-type": 'multipart/related; type="application/dicom+json"; boundary=B'}, 415),
        (multipart(b"x"), {"content-type": 'multipart/related; type="application/dicom"'}, 400),
        (multipart(b"x"), {"content-type": "multipart/related; boundary*=utf-8''%0D%0AB"}, 400),
        (multipart(b"x"), {"content-type": "multipart/related; boundary*=x'%ff"}, 400),
        (multipart(b"x"), {"content-type": "multipart/related; boundary*=B; boundary*0*=B"}, 400),
        (multipart(b"x"), {"content-type": "multipart/related; type*=utf-8''image%2Fjpeg; boundary=B"}, 415),
        (multipart(b"x"), {"accept": "text/html"}, 406),
    ],
)
def test_a_request_that_cannot_be_read_says_so(
    store: Store, tmp_path: Path, body: bytes, headers: dict[str, str], code: int
) -> None:
    answer = post(client(store), body, **headers)
    assert answer.status_code == code, answer.content
    assert answer.json()["error"]
    assert stored_files(tmp_path) == {}
    assert partials(tmp_path) == []


def test_a_study_in_the_address_that_is_no_uid_is_refused(store: Store) -> None:
    assert post(client(store), multipart(b"x"), path="/dicom-web/studies/abc").status_code == 400


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ("Content-Type: image/jpeg", "The part is image/jpeg: only application/dicom is taken"),
        ("Content-Type: <b>/x", "The part is something else: only application/dicom is taken"),
        (
            "Content-Type: application/dicom\r\nContent-Encoding: gzip",
            "The part has a Content-Encoding: only the whole body may have one",
        ),
        (
            "Content-Transfer-Encoding: base64\r\nContent-Type: application/dicom",
            "The part has a Content-Transfer-Encoding: send it binary",
        ),
    ],
)
def test_parts_that_are_not_supported_are_a_415_that_says_so(
    store: Store, tmp_path: Path, headers: str, sentence: str
) -> None:
    bad = f"--BOUNDARY\r\n{headers}\r\n\r\n".encode() + part10(mr()) + b"\r\n"
    answer = post(client(store), bad + bad + b"--BOUNDARY--\r\n")
    assert (answer.status_code, answer.json()) == (415, {"error": sentence})
    assert stored_files(tmp_path) == {}
    answer = post(client(store), bad + multipart(part10(mr())))  # where one is stored, each is answered for itself
    assert (answer.status_code, len(stored_files(tmp_path))) == (202, 1)
    assert partials(tmp_path) == []


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_a_packed_body_is_unpacked(store: Store, tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    content = part10(mr(side=300))
    body = multipart(content)
    half = len(body) // 2
    packed = pack(body[:half]) + pack(body[half:]) if "gzip" in encoding else pack(body)  # gzip may come in members
    assert post(client(store), packed, **{"content-encoding": encoding}).status_code == 200
    assert list(stored_files(tmp_path).values()) == [content]


@pytest.mark.parametrize(
    ("encoding", "body", "code", "says"),
    [
        ("br", b"x", 415, "This Content-Encoding is not supported: send gzip, deflate, or none"),
        ("gzip, gzip", b"x", 415, "This Content-Encoding is not supported: send gzip, deflate, or none"),
        ("gzip", multipart(b"x" * 300), 400, "The body is not whole gzip, as its Content-Encoding says"),
        ("gzip", gzip.compress(multipart(b"x" * 300), mtime=0)[:-9], 400, "The body is not whole gzip"),
        (
            "gzip",
            gzip.compress(multipart(bytes(4 * 2**20)), mtime=0),
            413,
            "The body unpacks to far more than its size",
        ),
    ],
)
def test_a_body_that_cannot_be_unpacked_says_why(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, body: bytes, code: int, says: str
) -> None:
    monkeypatch.setattr("node.files.UNPACKED_ALLOWANCE", 2**20)
    answer = post(client(store), body, **{"content-encoding": encoding})
    assert answer.status_code == code
    assert answer.json()["error"].startswith(says)
    assert stored_files(tmp_path) == {}
    assert partials(tmp_path) == []


@pytest.mark.parametrize(
    "before",
    [
        b"\r\n",
        b"This is a message in parts.\r\n",
        b"It mentions --BOUNDARY, which\r\n --BOUNDARY\r\nis none here.\r\n" * 100,
    ],
)
def test_what_stands_before_the_first_boundary_and_after_the_last_is_passed_over(
    store: Store, tmp_path: Path, before: bytes
) -> None:
    content = part10(mr())
    body = multipart(content).replace(b"--BOUNDARY\r\n", b"--BOUNDARY \t\r\n", 1)
    assert post(client(store), before + body + b"and that was it\r\n").status_code == 200
    assert list(stored_files(tmp_path).values()) == [content]


def test_a_boundary_that_is_not_in_the_body_is_told(store: Store) -> None:
    for body in (multipart(part10(mr())).replace(b"BOUNDARY", b"OTHER"), b"x" * 100_000):
        answer = post(client(store), body)
        assert (answer.status_code, "boundary" in answer.json()["error"]) == (400, True)


def test_the_transfer_syntax_that_a_part_names_is_that_of_a_bare_data_set(store: Store, tmp_path: Path) -> None:
    ds = mr()
    headers = {"content-type": RELATED.replace('n/dicom"', f'n/dicom; transfer-syntax={JPEG2000}"')}
    for content in (part10(mr()), data_set(ds)):
        body = multipart(content, media=f'application/dicom; transfer-syntax="{JPEG2000}"')
        assert post(client(store), body, **headers).status_code == 200
    metas = {uid: pydicom.dcmread(io.BytesIO(file)).file_meta for uid, file in stored_files(tmp_path).items()}
    assert metas.pop(ds.SOPInstanceUID).TransferSyntaxUID == JPEG2000
    assert [meta.TransferSyntaxUID for meta in metas.values()] == [ExplicitVRLittleEndian]  # the file says it itself


def test_parameters_of_content_types_may_be_encoded(store: Store, tmp_path: Path) -> None:
    ds = mr()
    body = multipart(data_set(ds), media=f"application/dicom; transfer-syntax*=utf-8''{JPEG2000}")
    related = "multipart/related; type*=utf-8''application%2Fdicom; boundary*=utf-8''%42OUNDARY"
    answer = post(client(store), body, **{"content-type": related})
    assert answer.status_code == 200, answer.content
    file = stored_files(tmp_path)[ds.SOPInstanceUID]
    assert pydicom.dcmread(io.BytesIO(file)).file_meta.TransferSyntaxUID == JPEG2000


@pytest.mark.parametrize(
    ("opening", "endless"),
    [
        (b"--BOUNDARY\r\nX: ", b"a" * 65536),
        (b"--BOUNDARY\r\n", b"X: a\r\n" * 10_000),
        (b"--BOUNDARY\r\nContent-Type: ", b"a" * 65536),
    ],
    ids=["a header without end", "headers without end", "a media type without end"],
)
def test_a_part_that_never_begins_is_left_early(store: Store, tmp_path: Path, opening: bytes, endless: bytes) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield opening
        while sent < 2**30:
            sent += len(endless)
            yield endless

    answer = client(store).stream("/dicom-web/studies", body(), {"content-type": RELATED, "accept": JSON})
    assert answer.status_code == 400
    assert sent < 2**20
    assert partials(tmp_path) == []


def test_more_parts_than_are_allowed_leave_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stow, "MAXIMUM_PARTS", 100)
    answer = post(client(store), b"--BOUNDARY\r\n\r\n\r\n" * 10_000)
    assert (answer.status_code, answer.json()) == (413, {"error": "More than 100 parts"})
    assert (stored_files(tmp_path), partials(tmp_path)) == ({}, [])


def test_an_instance_over_the_limit_is_refused(store: Store, tmp_path: Path) -> None:
    store.maximum_bytes = 10_000
    answer = post(client(store), multipart(part10(mr(side=200)), part10(mr())))
    assert answer.status_code == 202
    assert len(stored_files(tmp_path)) == 1
    assert partials(tmp_path) == []


def test_without_a_token_only_this_machine_may_send(store: Store) -> None:
    assert post(client(store, host="10.1.2.3"), multipart(part10(mr()))).status_code == 403
    assert post(client(store, host="::1"), multipart(part10(mr()))).status_code == 200


def test_a_token_is_needed_where_one_is_set(store: Store, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct-horse-battery\n")
    browser = client(store, host="10.1.2.3", token_file=tmp_path / "token")
    body = multipart(part10(mr()))
    refused = post(browser, body)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert post(browser, body, authorization="Bearer wrong").status_code == 401
    assert post(browser, body, authorization="Bearer correct-horse-battery").status_code == 200


def test_it_can_be_switched_off(store: Store) -> None:
    assert routes(store, DicomWebSettings(enabled=False)) == []


def test_stored_by_stow_is_what_pydicom_reads(store: Store, tmp_path: Path) -> None:
    ds = mr(side=100)
    post(client(store), multipart(part10(ds)))
    (path,) = (tmp_path / "instances").rglob("*.dcm")
    assert pydicom.dcmread(path) == ds


def test_a_uid_of_another_patients_instance_is_a_failure_of_its_own(store: Store, tmp_path: Path) -> None:
    first = mr()
    second = copy.deepcopy(first)
    second.PatientID = "OTHER"
    answer = post(client(store), multipart(part10(first), part10(second)))
    assert answer.status_code == 202
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081197"]["Value"] == [0xC002]
    assert failed["00081155"]["Value"] == [second.SOPInstanceUID]
    (content,) = stored_files(tmp_path).values()
    assert content == part10(first)
