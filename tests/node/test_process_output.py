"""What a process writes becomes records of the log: marked, bounded, and in nobody else's name."""

from __future__ import annotations

import json
import logging
import os

import pytest

from node import process_output
from node.process_output import LONGEST_LINE, relay

LOG = logging.getLogger("node.run.worker")


def records(caplog: pytest.LogCaptureFixture, *written: bytes) -> list[logging.LogRecord]:
    """The records that come of what a process writes."""
    reading, writing = os.pipe()
    thread = relay(reading, LOG, "process 7")
    for part in written:
        os.write(writing, part)
    os.close(writing)
    thread.join()
    return caplog.records


def test_a_record_keeps_its_facts_and_is_marked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    facts = {"event": "model loaded", "level": "info", "logger": "pipelines.x", "job": "1.2", "seconds": 0.5}
    (record,) = records(caplog, json.dumps(facts).encode() + b"\n")
    assert (record.message, record.levelname, record.name) == ("model loaded", "INFO", "node.run.worker")
    assert (vars(record)["job"], vars(record)["seconds"], vars(record)["by"]) == ("1.2", 0.5, "process 7")


def test_a_traceback_comes_whole(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = records(caplog, json.dumps({"event": "broke", "exception": "Traceback\n  line"}).encode())
    assert record.message == "broke\nTraceback\n  line"


@pytest.mark.parametrize(
    "line",
    [
        b"plain",
        b"{}",
        b"[1]",
        b'"event"',
        b"[" * 10_000,
        b"1" * 5_000,
        b"\xff\xfe",
        b'{"event": 1, "by": "the node", "name": "x", "msg": "x", "args": 1, "message": "x", "exc_info": 1, "": 2}',
        b'{"event": {"event": []}, "level": ["info"], "timestamp": {}}',
    ],
)
def test_whatever_is_written_is_one_record(caplog: pytest.LogCaptureFixture, line: bytes) -> None:
    (record,) = records(caplog, line + b"\n")
    assert vars(record)["by"] == "process 7"
    assert record.levelname == "WARNING"


def test_a_long_line_is_cut_and_what_follows_it_is_read(caplog: pytest.LogCaptureFixture) -> None:
    long, short = records(caplog, b"x" * 40_000, b"\n\nshort")
    assert vars(long)["line"] == "x" * LONGEST_LINE
    assert vars(short)["line"] == "short"


def test_many_lines_are_counted(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_output, "LINES_A_MINUTE", 3)
    *told, last = records(caplog, b"x\n" * 10)
    assert len(told) == 3
    assert (last.message, vars(last)["lines"]) == ("output left out", 7)
