from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from node.send.lane import Lane
from tests.node.send.outgoing import HandClock, Outgoing, destinations, outgoing
from tests.orthanc import Archive


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def lane(out: Outgoing, clock: HandClock, **destination: Any) -> Lane:
    configuration = destinations(web={"kind": "dicomweb", "timeout_s": 10, **destination})
    return Lane("web", configuration.destinations["web"], "CONDYLE", out.database, clock, data=out.folder)


def drain(of: Lane) -> None:
    while of.turn():
        pass


@dataclass
class Server:
    """An HTTP server that answers as told and keeps what it was asked."""

    answer: Callable[[], tuple[int, Any]]  # status and body: bytes, None for nothing, or anything that JSON can say
    found: bytes | None = None  # what queries are answered with; None: they are not offered
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @contextmanager
    def listen(self) -> Iterator[str]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.asked.append((self.path, dict(self.headers), body))
                status, content = server.answer()
                text = content if isinstance(content, bytes) else json.dumps(content).encode() if content else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self) -> None:
                self.send_response(501 if server.found is None else 200)
                self.send_header("Content-Length", str(len(server.found or b"")))
                self.end_headers()
                self.wfile.write(server.found or b"")

            def log_message(self, *_: object) -> None:
                """Nothing is said."""

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/dicom-web"
        finally:
            http.shutdown()
            thread.join()
            http.server_close()


def response(stored: list[str], failed: dict[str, int] | None = None, warned: dict[str, int] | None = None) -> Any:
    """A Store Instances Response (PS3.18 I.2)."""

    def item(uid: str, tag: str = "", reason: int = 0) -> dict[str, Any]:
        made: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
        if tag:
            made[tag] = {"vr": "US", "Value": [reason]}
        return made

    good = [item(uid) for uid in stored] + [item(uid, "00081196", reason) for uid, reason in (warned or {}).items()]
    bad = [item(uid, "00081197", reason) for uid, reason in (failed or {}).items()]
    return {
        **({"00081199": {"vr": "SQ", "Value": good}} if good else {}),
        **({"00081198": {"vr": "SQ", "Value": bad}} if bad else {}),
    }


@pytest.mark.orthanc
def test_orthanc_stores_byte_for_byte_and_says_that_it_has_it(
    out: Outgoing, clock: HandClock, orthanc: Archive
) -> None:
    job = out.job("web", kinds=("derived_series",) * 70 + ("secondary_capture", "report"), confirm=True)
    drain(lane(out, clock, url=orthanc.dicom_web_url, confirm=True))
    assert set(out.states(job)) == {"confirmed"}
    assert {line.answer for line in out.lines(job)} == {"found by query"}
    uids = [line.sop_instance_uid for line in out.lines(job)]
    assert orthanc.sop_instance_uids() == set(uids)
    for uid in (uids[0], uids[-1]):
        assert orthanc.file(uid) == out.path(uid).read_bytes()
    assert out.job_record(job).state == "done"


@pytest.mark.orthanc
def test_what_waits_for_orthanc_goes_out_when_it_is_back(out: Outgoing, clock: HandClock, orthanc: Archive) -> None:
    job = out.job("web")
    url = orthanc.dicom_web_url
    orthanc.stop()
    sending = lane(out, clock, url=url)
    drain(sending)
    assert out.lines(job)[0].answer == "web: ConnectError"
    orthanc.start()
    clock.wait(2)
    drain(sending)
    assert out.states(job) == ["delivered"]


def test_each_object_gets_the_answer_that_the_server_gives_it(out: Outgoing, clock: HandClock) -> None:
    job = out.job("web", kinds=("secondary_capture",) * 4)
    good, warned, refused, later = (line.sop_instance_uid for line in out.lines(job))
    failed = {refused: 0xA900, later: 0xA700}
    server = Server(lambda: (202, response([good], failed=failed, warned={warned: 0xB000})))
    with server.listen() as url:
        drain(lane(out, clock, url=url))
    assert [(line.state, line.answer) for line in out.lines(job)] == [
        ("delivered", "0x0000"),
        ("delivered", "0xB000 stored with a warning"),
        ("refused", "0xA900 refused"),
        ("waiting", "0xA700 refused for now"),
    ]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_a_server_that_cannot_or_will_not_now_is_tried_again(out: Outgoing, clock: HandClock, status: int) -> None:
    job = out.job("web")
    (uid,) = (line.sop_instance_uid for line in out.lines(job))
    answers = iter([(status, None), (200, response([uid]))])
    server = Server(lambda: next(answers))
    with server.listen() as url:
        sending = lane(out, clock, url=url)
        drain(sending)
        assert out.lines(job)[0].answer.startswith(f"web: HTTP {status}")
        clock.wait(2)
        drain(sending)
    assert out.states(job) == ["delivered"]


def test_a_server_that_dislikes_the_request_is_not_asked_again(out: Outgoing, clock: HandClock) -> None:
    job = out.job("web")
    server = Server(lambda: (400, None))
    with server.listen() as url:
        drain(lane(out, clock, url=url))
    assert out.states(job) == ["refused"]
    assert out.job_record(job).reason.startswith("web: HTTP 400")


def test_an_answer_that_leaves_an_object_out_does_not_count_as_success(out: Outgoing, clock: HandClock) -> None:
    job = out.job("web", kinds=("secondary_capture",) * 2)
    first = out.lines(job)[0].sop_instance_uid
    server = Server(lambda: (200, response([first])))
    with server.listen() as url:
        drain(lane(out, clock, url=url))
    assert out.states(job) == ["delivered", "waiting"]


UNREADABLE = {
    "nothing": b"",
    "text": b"<html><body>OK</body></html>",
    "xml": b"<NativeDicomModel/>",
    "no xml": b"<NativeDicomModel",
    "array": [{"00081199": {"vr": "SQ", "Value": []}}],
    "array of nothing": b"[null, 1]",
    "null": b"null",
    "a null value": {"00081198": {"vr": "SQ", "Value": None}},
    "nulls in a sequence": {
        "00081199": {"vr": "SQ", "Value": [None, {"00081155": None}, {"00081155": {"Value": None}}]}
    },
    "strings in a sequence": {"00081199": {"vr": "SQ", "Value": ["1.2.3"]}},
    "a sequence that is none": {"00081199": ["1.2.3"], "00081198": "no"},
    "another sequence": {"00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3"]}}]}},
    "another object": {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3"]}}]}},
}


def test_an_object_of_which_a_server_does_not_say_what_became_is_sent_a_few_times_and_no_more(
    out: Outgoing, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.send.lane.MAXIMUM_UNCLEAR", 2)  # to be quick
    jobs = {out.job("web"): content for content in UNREADABLE.values()}
    contents = {out.lines(job)[0].sop_instance_uid: content for job, content in jobs.items()}
    good = out.job("web")

    def answer() -> tuple[int, Any]:
        body = server.asked[-1][2]
        silent = [content for uid, content in contents.items() if uid.encode() in body]
        return 200, silent[0] if silent else response([out.lines(good)[0].sop_instance_uid])

    server = Server(answer)
    with server.listen() as url:
        sending = lane(out, clock, url=url)
        drain(sending)
        assert out.states(good) == ["delivered"]  # nobody else waits
        for job in jobs:
            (line,) = out.lines(job)
            assert (line.state, line.answer) == ("waiting", "HTTP 200, and nothing about this object")
            assert line.not_before - clock.now == timedelta(seconds=2)
        for _ in range(3):
            clock.wait(300)
            drain(sending)
    assert len(server.asked) == 1 + 2 * len(jobs)
    for job in jobs:
        (line,) = out.lines(job)
        ending = "HTTP 200, and nothing about this object, sent 2 times"
        assert (line.state, line.answer, out.job_record(job).state) == ("refused", ending, "failed")


def test_a_server_that_says_nothing_is_asked_whether_it_has_the_object(out: Outgoing, clock: HandClock) -> None:
    job = out.job("web", kinds=("secondary_capture",) * 2)
    first, second = (line.sop_instance_uid for line in out.lines(job))
    found = [{"00080018": {"vr": "UI", "Value": [first]}}, {"00080018": None}, {}]
    server = Server(lambda: (200, b""), found=json.dumps(found).encode())
    with server.listen() as url:
        drain(lane(out, clock, url=url))
    lines = {line.sop_instance_uid: (line.state, line.answer) for line in out.lines(job)}
    assert lines[first] == ("delivered", "HTTP 200, and nothing about this object; found by query")
    assert lines[second][0] == "waiting"


@pytest.mark.parametrize("text", ["<a b=''/>", "<a>", '{"":0},'])
def test_an_answer_that_says_more_than_there_is_to_say_is_not_read(
    out: Outgoing, clock: HandClock, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """30 MB of any of these would take the node's parent 1.5 GB, and five seconds of the page."""
    job = out.job("web")
    server = Server(lambda: (200, text.encode() * (300_000 // len(text))))
    with server.listen() as url:
        drain(lane(out, clock, url=url))
    (line,) = out.lines(job)
    assert (line.state, line.answer) == ("waiting", "web: the answer is larger than 278528 bytes")


@pytest.mark.parametrize("more", [b"<a/>" * 2_400, b"<a>" * 1_200 + b"</a>" * 1_200, b"<a b='' c='' d=''/>" * 1_700])
def test_xml_of_more_elements_than_there_is_to_say_is_not_read(out: Outgoing, clock: HandClock, more: bytes) -> None:
    job = out.job("web")
    (line,) = out.lines(job)
    value = f"<DicomAttribute tag='00081155'><Value>{line.sop_instance_uid}</Value></DicomAttribute>"
    good = f"<DicomAttribute tag='00081199'><Item>{value}</Item></DicomAttribute>".encode()
    answers = iter([b"<NativeDicomModel>" + good + filling + b"</NativeDicomModel>" for filling in (more, b"")])
    server = Server(lambda: (200, next(answers)))
    with server.listen() as url:
        for expected in ("HTTP 200, and nothing about this object", "0x0000"):
            drain(lane(out, clock, url=url))
            assert [line.answer for line in out.lines(job)] == [expected]
            clock.wait(300)


def test_an_answer_in_xml_or_in_a_list_is_read(out: Outgoing, clock: HandClock) -> None:
    jobs = [out.job("web") for _ in range(3)]
    good, bad, listed = (out.lines(job)[0].sop_instance_uid for job in jobs)

    def xml(tag: str, uid: str, more: str = "") -> bytes:
        value = f'<DicomAttribute tag="00081155" vr="UI"><Value number="1">{uid}</Value></DicomAttribute>'
        item = f'<DicomAttribute tag="{tag}" vr="SQ"><Item number="1">{value}{more}</Item></DicomAttribute>'
        return f'<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">{item}</NativeDicomModel>'.encode()

    reason = '<DicomAttribute tag="00081197" vr="US"><Value number="1">49152</Value></DicomAttribute>'
    answers = iter([xml("00081199", good), xml("00081198", bad, reason), [response([listed])]])
    server = Server(lambda: (200, next(answers)))
    with server.listen() as url:
        drain(lane(out, clock, url=url))
    assert [line.answer for job in jobs for line in out.lines(job)] == ["0x0000", "0xC000 refused", "0x0000"]


def test_a_failure_that_names_no_object_is_about_the_only_one(out: Outgoing, clock: HandClock) -> None:
    job = out.job("web")
    failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": ["42752"]}}]}}
    server = Server(lambda: (409, failed))
    with server.listen() as url:
        drain(lane(out, clock, url=url))
    assert [line.answer for line in out.lines(job)] == ["0xA700 refused for now"]


@pytest.mark.parametrize("found", [b"", b"null", b"[1]", b"<html/>"])
def test_an_answer_to_a_query_that_is_none_confirms_nothing(out: Outgoing, clock: HandClock, found: bytes) -> None:
    job = out.job("web", confirm=True)
    (uid,) = (line.sop_instance_uid for line in out.lines(job))
    server = Server(lambda: (200, response([uid])), found=found)
    with server.listen() as url:
        drain(lane(out, clock, url=url, confirm=True))
    assert out.states(job) == ["delivered"]


def test_a_token_that_fits_in_no_header_is_named_by_its_key(out: Outgoing, clock: HandClock, tmp_path: Path) -> None:
    job = out.job("web")
    token = tmp_path / "token"
    token.write_text("t\u00f6ken", encoding="utf-8")
    drain(lane(out, clock, url="http://127.0.0.1:1", token_file=token))
    (line,) = out.lines(job)
    told = f"destinations.web.token_file: {token}: the token should be one line of ASCII letters"
    assert line.answer.startswith(told)


def test_the_token_is_read_for_every_request_and_the_request_is_well_formed(
    out: Outgoing, clock: HandClock, tmp_path: Path
) -> None:
    job = out.job("web")
    (uid,) = (line.sop_instance_uid for line in out.lines(job))
    token = tmp_path / "token"
    token.write_text("first\n")
    answers = iter([(503, None), (200, response([uid]))])
    server = Server(lambda: next(answers))
    with server.listen() as url:
        sending = lane(out, clock, url=url, token_file=token)
        drain(sending)
        token.write_text("second\n")
        clock.wait(2)
        drain(sending)
    assert [headers["Authorization"] for _, headers, _ in server.asked] == ["Bearer first", "Bearer second"]
    path, headers, body = server.asked[0]
    assert path == "/dicom-web/studies"
    boundary = headers["Content-Type"].split("boundary=")[1]
    assert headers["Content-Type"].startswith('multipart/related; type="application/dicom"')
    head, content = body.split(b"\r\n\r\n", 1)
    assert head == f"--{boundary}\r\nContent-Type: application/dicom".encode()
    assert content == out.path(uid).read_bytes() + f"\r\n--{boundary}--\r\n".encode()
