from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from pydicom.sr.coding import Code

from dicom_sr.write.hl7 import authority, coded, control_id, escaped, in_bytes, moment, segment
from pipelines.records.hl7_text import Segment, Separators, decoded

HEADER = "MSH|^~\\&|A|B|||20260101||ORU^R01^ORU_R01|42|P|2.5.1"


def test_separators_in_a_text_are_read_back_as_they_were() -> None:
    text = r"5 | 6 ^ 7 ~ 8 \ 9 & 10"
    line = segment("OBX", "1", ("x", text), (("a", text), "c"))
    read = Segment(line, Separators())
    assert read.component(2, 1, 2) == text
    assert read.component(3, 1, 2) == "c"


def test_a_line_end_in_a_text_ends_no_segment() -> None:
    assert escaped("one\r\ntwo\nthree\rfour\u2028five\x0bsix") == "\\.br\\".join(
        ["one", "two", "three", "four", "five", "six"]
    )
    assert escaped("a\x00\x1b\x1cb") == "ab"


def test_empty_fields_and_components_at_ends_are_left_out() -> None:
    assert segment("PID", "1", "", ("4711", "", "", "H", ""), "", ("", "")) == "PID|1||4711^^^H"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("HOSPITAL", "HOSPITAL"), ("1.2.276.0.76", ("", "1.2.276.0.76", "ISO")), ("1.02", "1.02"), ("4711", "4711")],
)
def test_an_authority_that_is_an_oid_says_so(name: str, expected: object) -> None:
    assert authority(name) == expected


def test_a_code_is_named_with_its_scheme() -> None:
    assert coded(Code("72696002", "SCT", "Knee")) == ("72696002", "Knee", "SCT")


def test_a_time_is_told_with_its_offset() -> None:
    assert moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))) == "20260102010405+0000"


@pytest.mark.parametrize(
    ("wanted", "name", "used"),
    [
        ("UNICODE UTF-8", "Müller", "UNICODE UTF-8"),
        ("8859/1", "Müller", "8859/1"),
        ("8859/1", "Łukasz", "UNICODE UTF-8"),
        ("8859/2", "Łukasz", "8859/2"),
        ("ASCII", "山田", "UNICODE UTF-8"),
    ],
)
def test_a_message_is_in_the_character_set_that_it_names(wanted: str, name: str, used: str) -> None:
    message = in_bytes([HEADER, f"PID|1||4711||{name}"], wanted)
    header, person = decoded(message).rstrip("\r").split("\r")
    assert header.split("|")[17] == used
    assert person == f"PID|1||4711||{name}"
    assert control_id(message) == "42"


def test_what_is_no_message_has_no_control_id() -> None:
    assert control_id(b"PID|1") == ""
