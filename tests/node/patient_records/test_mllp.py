"""HL7 over MLLP, on a real socket: acknowledged when kept, several in a stream, broken ones, strangers."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from node.config import RecordSettings
from node.network.room import Room
from node.patient_records import mllp, reading
from node.patient_records.intake import Intake
from node.patient_records.store import PatientRecords
from node.reading import HERE, Readers
from tests.node.patient_records.stored import there
from tests.pipelines.records.test_hl7 import ADT, ORU
from tests.waiting import until


@pytest.fixture
def store(tmp_path: Path) -> PatientRecords:
    return PatientRecords(tmp_path / "records")


@pytest.fixture
def server(store: PatientRecords) -> Iterator[mllp.MllpServer]:
    with mllp.MllpServer("127.0.0.1", 0, Intake(store, RecordSettings(), HERE)) as running:
        yield running


def connect(server: mllp.MllpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def framed(text: str) -> bytes:
    return mllp.START + text.encode("utf-8") + mllp.END


def answers(connection: socket.socket, count: int) -> list[str]:
    received = b""
    while received.count(mllp.END) < count:
        part = connection.recv(65536)
        assert part, "the server closed the connection"
        received += part
    return [part.lstrip(mllp.START).decode() for part in received.split(mllp.END)[:count]]


def code(answer: str) -> str:
    return answer.split("\r")[1].split("|")[1]


def test_a_message_is_kept_before_it_is_acknowledged(server: mllp.MllpServer, store: PatientRecords) -> None:
    with connect(server) as connection:
        connection.sendall(framed(ADT))
        (answer,) = answers(connection, 1)
    assert answer.split("\r")[1] == "MSA|AA|42"
    record = there(store.get("4711"))
    assert [event.code for event in record.events if event.kind == "condition"] == ["M17.1", "38341003"]


def test_messages_in_one_stream_cut_anywhere_are_each_answered_and_merged(
    server: mllp.MllpServer, store: PatientRecords
) -> None:
    stream = framed(ADT) + b"\n" + framed(ORU)
    with connect(server) as connection:
        for start in range(0, len(stream), 37):
            connection.sendall(stream[start : start + 37])
        assert [code(answer) for answer in answers(connection, 2)] == ["AA", "AA"]
    codes = {event.code for event in there(store.get("4711")).events}
    assert {"M17.1", "39156-5"} <= codes


def test_a_bad_message_is_refused_and_the_next_one_is_taken(server: mllp.MllpServer, store: PatientRecords) -> None:
    with connect(server) as connection:
        connection.sendall(framed("hello") + framed("MSH|^~\\&|A|B|C|D|2024||ADT^A08|7|P|2.5\r") + framed(ADT))
        assert [code(answer) for answer in answers(connection, 3)] == ["AR", "AE", "AA"]
    assert len(store) == 1


def test_a_message_about_somebody_else_under_a_known_number_is_refused_without_a_value(
    server: mllp.MllpServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    other = ADT.replace("19600504", "19990909")
    with connect(server) as connection:
        connection.sendall(framed(ADT) + framed(other))
        first, second = answers(connection, 2)
    assert (code(first), code(second)) == ("AA", "AE")
    assert "birth date" in second
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert not any(secret in second + logged for secret in ("1999", "Doe", "Jane", "|4711", "'4711'"))


def test_a_merge_moves_the_record(server: mllp.MllpServer, store: PatientRecords) -> None:
    merge = (
        "MSH|^~\\&|A|B|C|D|20240102||ADT^A40^ADT_A39|45|P|2.5\rEVN|A40|20240102\r"
        "PID|1||5000^^^^MR||Doe^Jane||19600504|F\rMRG|4711^^^^MR\r"
    )
    with connect(server) as connection:
        connection.sendall(framed(ADT) + framed(merge))
        assert [code(answer) for answer in answers(connection, 2)] == ["AA", "AA"]
    assert store.get("4711") is None
    assert "M17.1" in {event.code for event in there(store.get("5000")).events}


def test_umlauts_come_through_as_utf_8_and_as_latin_1(server: mllp.MllpServer, store: PatientRecords) -> None:
    text = ADT.replace("Doe", "Müller")
    with connect(server) as connection:
        connection.sendall(framed(text))
        answers(connection, 1)
        connection.sendall(mllp.START + text.replace("4711", "4712").encode("latin-1") + mllp.END)
        answers(connection, 1)
    assert [there(store.get(number)).identity.family_name for number in ("4711", "4712")] == ["Müller", "Müller"]


def test_a_message_without_end_is_given_up(server: mllp.MllpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mllp, "MAXIMUM_BYTES", 1000)
    with connect(server) as connection:
        connection.sendall(mllp.START + b"MSH" + b"x" * 200_000)
        with suppress(OSError):  # the server may have hung up already
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):  # closed with our bytes unread: just as well
            assert b"MSA|AR||the message is longer than" in connection.recv(1000)
    with connect(server) as connection:
        connection.sendall(framed("nothing"))
        assert code(answers(connection, 1)[0]) == "AR"


def test_strangers_are_not_listened_to(store: PatientRecords) -> None:
    nobody = [ipaddress.ip_network("192.0.2.0/24")]
    with (
        mllp.MllpServer("127.0.0.1", 0, Intake(store, RecordSettings(), HERE), nobody) as server,
        connect(server) as connection,
    ):
        connection.sendall(framed(ADT))
        with suppress(ConnectionResetError):
            assert connection.recv(10) == b""
    assert len(store) == 0


def test_all_shared_messages_over_one_connection(
    server: mllp.MllpServer, store: PatientRecords, shared_data: Path
) -> None:
    texts = [path.read_bytes() for path in sorted((shared_data / "emr").glob("hl7v2*/*.hl7"))]
    with connect(server) as connection:
        for text in texts:
            connection.sendall(mllp.START + text + mllp.END)
        codes = [code(answer) for answer in answers(connection, len(texts))]
    # the collections use one number for several made-up people: those are refused, everything else is kept
    assert set(codes) <= {"AA", "AE"}
    assert codes.count("AA") >= 20


# ---- other ends and character sets than MLLP and UTF-8
@pytest.mark.parametrize("end", [b"\x1c", b"\x1c\n", b"\x1c\r\n", b"\r\x1c\r"])
def test_a_message_that_ends_otherwise_is_taken_and_answered_while_the_sender_waits(
    server: mllp.MllpServer, store: PatientRecords, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    monkeypatch.setattr(mllp, "QUIET_S", 0.2)
    with connect(server) as connection:
        for _ in range(2):
            connection.sendall(mllp.START + ADT.encode() + end)
            assert code(answers(connection, 1)[0]) == "AA"
    assert len(store) == 1


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_message_without_an_end_is_answered_and_logged_and_not_taken(
    server: mllp.MllpServer,
    store: PatientRecords,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    end: bytes,
) -> None:
    monkeypatch.setattr(mllp, "QUIET_S", 0.2)
    with connect(server) as connection:
        connection.sendall(mllp.START + ADT.encode() + end)
        (answer,) = answers(connection, 1)
        assert answer.split("\r")[1].startswith("MSA|AE|42|the end of the message did not come")
        connection.sendall(b"|late rest\r" + mllp.END + framed(ORU))
        assert answers(connection, 1)[0].split("\r")[1] == "MSA|AA|43"
    assert [event.code for event in there(store.get("4711")).events if event.kind == "condition"] == []
    assert "record message not ended" in caplog.text


def test_a_message_whose_sender_hangs_up_is_answered_as_one_without_an_end(
    server: mllp.MllpServer, store: PatientRecords
) -> None:
    with connect(server) as connection:
        connection.sendall(mllp.START + ADT.encode())
        connection.shutdown(socket.SHUT_WR)
        assert code(answers(connection, 1)[0]) == "AE"
    assert len(store) == 0


def test_the_message_after_one_without_an_end_is_taken(server: mllp.MllpServer, store: PatientRecords) -> None:
    with connect(server) as connection:
        connection.sendall(mllp.START + ADT.encode() + framed(ORU))
        assert [answer.split("\r")[1][:9] for answer in answers(connection, 2)] == ["MSA|AE|42", "MSA|AA|43"]


def test_a_connection_that_says_nothing_gets_no_answer(
    server: mllp.MllpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(server) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(10) == b""
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("sets", "encoding", "name"), [("8859/5", "iso8859-5", "Иванова"), ("UNICODE UTF-16", "utf-16", "Łucka")]
)
def test_the_character_set_of_a_message_is_believed(
    server: mllp.MllpServer, store: PatientRecords, sets: str, encoding: str, name: str
) -> None:
    text = ADT.replace("|P|2.5.1", f"|P|2.5.1||||||{sets}").replace("Doe", name)
    with connect(server) as connection:
        connection.sendall(mllp.START + text.encode(encoding) + mllp.END)
        assert code(answers(connection, 1)[0]) == "AA"
    assert there(store.get("4711")).identity.family_name == name


def test_a_message_that_cannot_be_decoded_is_refused_by_its_number(server: mllp.MllpServer) -> None:
    raw = ADT.replace("|P|2.5.1", "|P|2.5.1||||||KLINGON").replace("Doe", "Müller").encode("latin-1")
    with connect(server) as connection:
        connection.sendall(mllp.START + raw + mllp.END)
        (answer,) = answers(connection, 1)
    assert answer.split("\r")[1].startswith("MSA|AE|42|MSH-18 names a character set that is not known")


# ---- senders that are hostile, or many
def test_a_message_that_ends_what_reads_it_is_rejected_and_the_next_one_is_taken(
    store: PatientRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.patient_records.intake.read_hl7", ends_its_process_on_a_boom)
    with (
        Readers(1) as readers,
        mllp.MllpServer("127.0.0.1", 0, Intake(store, RecordSettings(), readers)) as server,
        connect(server) as connection,
    ):
        connection.sendall(framed(ADT.replace("Doe", "BOOM")) + framed(ADT))
        died, taken = answers(connection, 2)
    assert died.split("\r")[1].startswith("MSA|AR|42|what was received ended what reads it")
    assert code(taken) == "AA"
    assert there(store.get("4711")).identity.family_name == "Doe"


def test_odd_values_are_each_answered_through_a_real_reader(store: PatientRecords) -> None:
    text = "MSH|^~\\&|A|B|C|D|20260101||ADT^A08|1|P|2.5\rPID|1||{}^^^X||Doe\rOBX|1|NM|39156-5^x^LN||{}|kg\rDG1|1||{}\r"
    count = 0
    with (
        Readers(1) as readers,
        mllp.MllpServer("127.0.0.1", 0, Intake(store, RecordSettings(), readers)) as server,
        connect(server) as connection,
    ):
        for place in range(3):
            for value in ODD:
                values = [b"H", b"5", b"M17"]
                values[place] = value
                message = b"%s".join(text.encode().split(b"{}")) % tuple(values)
                connection.sendall(mllp.START + message + mllp.END)
                count += 1
                assert code(answers(connection, 1)[0]) in ("AA", "AE")
    assert count == 3 * len(ODD)


ODD = [
    *(b"NaN", b"-inf", b"1e999", b"1_0", b"9" * 400, b"0." + b"9" * 400, b"x" * 100_000),
    *(b"\xed\xa0\x80", b"\0", b"\\X00\\", b"\\XEDA080\\", b"\xff\xfe", b"\x1b$B", b"^" * 500, b"&" * 500, b"~" * 40),
]


def test_refused_messages_of_one_sender_are_logged_together(
    server: mllp.MllpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(server) as connection:
        connection.sendall(framed("hello") * 50)
        assert {code(answer) for answer in answers(connection, 50)} == {"AR"}
    assert caplog.text.count("record message refused") == 1
    server.refused.tell()
    assert [vars(line).get("times") for line in caplog.records] == [None, 49]


def ends_its_process_on_a_boom(
    frame: bytes, ended: bool, issuers: dict[str, str], default_issuer: str
) -> reading.ReadMessage:
    if b"BOOM" in frame:
        os._exit(9)
    return reading.read_hl7(frame, ended, issuers, default_issuer)


def test_health_says_so_while_no_further_connection_is_taken(
    server: mllp.MllpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mllp, "CONNECTIONS", 2)
    assert server.problem() is None
    with connect(server), connect(server):
        until(lambda: server.problem() == "there are 2 HL7 connections, and further ones are closed")
    until(lambda: server.problem() is None)


def test_connections_of_one_address_are_limited_and_refused_ones_are_logged_together(
    server: mllp.MllpServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mllp, "CONNECTIONS_OF_ONE", 3)
    threads = threading.active_count()
    with ExitStack() as stack:
        held = [stack.enter_context(connect(server)) for _ in range(3)]
        for _ in range(20):
            with connect(server) as refused:
                assert refused.recv(10) == b""
        assert threading.active_count() <= threads + 3
        held[0].sendall(framed(ADT))
        assert code(answers(held[0], 1)[0]) == "AA"
    until(lambda: threading.active_count() == threads)
    with connect(server) as again:
        again.sendall(framed(ADT))
        assert code(answers(again, 1)[0]) == "AA"
    assert caplog.text.count("record connection refused") == 1


def test_connections_are_limited_in_all(server: mllp.MllpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mllp, "CONNECTIONS", 1)
    with connect(server) as held, connect(server) as refused:
        assert refused.recv(10) == b""
        held.sendall(framed(ADT))
        assert code(answers(held, 1)[0]) == "AA"


def test_a_connection_that_begins_no_message_is_closed_whatever_blanks_it_sends(
    server: mllp.MllpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mllp, "FIRST_S", 0.3)
    with connect(server) as connection, suppress(BrokenPipeError, ConnectionResetError):
        connection.settimeout(0.05)
        for _ in range(200):
            connection.sendall(b"\r")
            with suppress(TimeoutError):
                assert connection.recv(10) == b""
                return
        raise AssertionError("the connection is still open")


def test_a_message_that_comes_byte_by_byte_is_given_up_after_a_while(
    server: mllp.MllpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mllp, "MESSAGE_S", 0.3)
    with connect(server) as connection:
        connection.settimeout(0.05)
        connection.sendall(mllp.START + b"MSH|^~\\&|A|B|C|D|2024||ADT^A08|7|P|2.5\r")
        for _ in range(200):
            connection.sendall(b"x")
            with suppress(TimeoutError):
                assert b"MSA|AR|7|the message did not end within 0.3 s" in connection.recv(1000)
                return
    raise AssertionError("the connection is still open")


def test_messages_that_are_being_sent_share_limited_memory(server: mllp.MllpServer, store: PatientRecords) -> None:
    server.room = Room(2000)
    for _ in range(3):  # what one took is given back
        with connect(server) as connection:
            connection.sendall(mllp.START + b"MSH|" + b"x" * 2**23 + mllp.END)
            assert b"MSA|AR||too much is sent at the same time" in connection.recv(1000)
            assert connection.recv(1000) == b""
    assert server.room.take(2000), "all of it was given back"
    with connect(server) as connection:
        connection.sendall(framed(ADT))
        assert code(answers(connection, 1)[0]) == "AA", "a small one needs no room"


def test_what_is_received_lies_in_memory_about_once(store: PatientRecords) -> None:
    size, count = 2**20, 8
    message = framed(ADT.replace("4711", "4712") + "NTE|" + "y" * size + "\r")
    with (
        Readers(1) as readers,
        mllp.MllpServer("127.0.0.1", 0, Intake(store, RecordSettings(), readers)) as server,
        ExitStack() as connections,
    ):
        many = [connections.enter_context(connect(server)) for _ in range(count)]
        tracemalloc.start()
        try:
            for connection in many:
                connection.sendall(message)
            assert {code(answers(connection, 1)[0]) for connection in many} == {"AA"}
            assert tracemalloc.get_traced_memory()[1] < 1.5 * count * size
            until(lambda: tracemalloc.get_traced_memory()[0] < size, "what was answered is let go at once")
        finally:
            tracemalloc.stop()


def test_what_came_late_hides_no_end_of_the_next_message(server: mllp.MllpServer, store: PatientRecords) -> None:
    with connect(server) as connection:
        connection.sendall(b"late rest" * 200)
        connection.sendall(framed(ADT))
        assert code(answers(connection, 1)[0]) == "AA"
