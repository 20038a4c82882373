"""Logging: one record a line, the job bound once, libraries kept quiet."""

from __future__ import annotations

import io
import json
import logging
import warnings

import pytest
import structlog

from dicom_sr.words import escaped
from node import log

pytestmark = pytest.mark.usefixtures("logging_restored")


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_both_kinds_of_logger_come_out_alike_with_what_is_bound() -> None:
    stream = io.StringIO()
    log.configure("json", stream=stream)
    with log.bound(job="j1"):
        logging.getLogger("node.send").info("sent", extra={"destination": "pacs"})
        structlog.get_logger("node.send").info("sent", destination="pacs")
    logging.getLogger("node.send").info("idle")
    first, second, third = lines(stream)
    for line in (first, second):
        assert {key: line[key] for key in ("event", "level", "logger", "destination", "job")} == {
            "event": "sent",
            "level": "info",
            "logger": "node.send",
            "destination": "pacs",
            "job": "j1",
        }
    assert "job" not in third


def test_a_traceback_has_no_local_variables() -> None:
    stream = io.StringIO()
    for kind in ("json", "console"):
        log.configure(kind, stream=stream)

        def fails(patient_name: str) -> None:
            raise ValueError("cannot")

        try:
            fails("".join(["Sec", "ret^Anna"]))
        except ValueError:
            logging.getLogger("node.x").exception("failed")
    assert stream.getvalue().count("ValueError: cannot") == 2
    assert "Secret" not in stream.getvalue()


def test_libraries_that_quote_values_are_not_heard() -> None:
    stream = io.StringIO()
    log.configure("json", stream=stream)
    logging.getLogger("pydicom").warning("Invalid value for VR PN: 'Secret^Anna'")
    logging.getLogger("pynetdicom.acse").error("Secret^Anna")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("Invalid value for VR PN: 'Secret^Anna'", UserWarning, stacklevel=1)
    assert stream.getvalue() == ""


def test_child_processes_learn_how_to_log(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    log.configure("console", "debug", io.StringIO())
    assert (os.environ[log.FORMAT_VARIABLE], os.environ[log.LEVEL_VARIABLE]) == ("console", "DEBUG")


@pytest.mark.parametrize("kind", ["json", "console"])
def test_what_a_peer_put_into_a_fact_neither_moves_the_cursor_nor_begins_a_line(kind: log.Format) -> None:
    hostile, stream = "PACS\x1b[2J\n2026 forged\x9b\u202e\x7f\r\udcff", io.StringIO()
    log.configure(kind, stream=stream)
    logger = logging.getLogger("node.x")
    with log.bound(job=hostile):
        logger.warning("refused %s", hostile, extra={"ae_title": hostile, "all": [hostile], "of": {hostile: hostile}})
        try:
            raise ValueError(hostile)
        except ValueError:
            logger.exception(hostile)
    written = stream.getvalue()
    assert escaped(written, keep="\n") == written
    assert not [line for line in written.splitlines() if line.startswith("2026 forged")]
    if kind == "json":
        assert [line["job"] for line in lines(stream)] == [hostile, hostile]
