"""Messages that take back what was sent: valid as hl7apy reads them, of the same order, with nothing left to read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dicom_sr.profile import EncodingProfile, MessageHeader
from dicom_sr.write.hl7 import control_id
from dicom_sr.write.oru_withdrawal import withdrawal
from pipelines.records.hl7 import read_message
from tests.dicom_sr.write.test_oru import evidence, result, segments, strictly_valid, written

__all__ = ["evidence"]

WHEN = datetime(2026, 12, 1, 9, 8, 7, tzinfo=UTC)
WHY = "Left | right."


@pytest.fixture(scope="module")
def sent(evidence: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("sent"), result(evidence)).path.read_bytes()


def of(name: str, message: bytes) -> list[Any]:
    return [segment for segment in segments(message) if segment.name == name]


def test_the_withdrawal_of_every_example_is_valid_and_leaves_our_own_reader_no_value(
    reporting: dict[str, dict[str, Path]],
) -> None:
    for name, files in reporting.items():
        sent = files["oru"].read_bytes()
        taken_back = withdrawal(sent, WHEN, WHY)
        assert strictly_valid(taken_back), name
        (record,) = read_message(taken_back.decode(), {}).records
        assert not [event for event in record.events if event.kind == "observation"], name
        assert record.identity == read_message(sent.decode(), {}).records[0].identity


def test_order_and_observations_are_those_that_were_sent_and_each_is_wrong(sent: bytes) -> None:
    taken_back = withdrawal(sent, WHEN, WHY)
    (order,), (before,) = of("OBR", taken_back), of("OBR", sent)
    assert [order.component(n) for n in (2, 3, 4, 7, 18)] == [before.component(n) for n in (2, 3, 4, 7, 18)]
    assert (order.component(22), order.component(25)) == ("20261201090807+0000", "X")
    named = [[(s.component(3), s.component(4), s.component(5)) for s in of("OBX", m)] for m in (taken_back, sent)]
    assert named[0] == named[1]
    # what could not be obtained was never there
    rows = zip(of("OBX", sent), of("OBX", taken_back), strict=True)
    assert {(before.component(11), after.component(11)) for before, after in rows} == {("P", "W"), ("X", "X")}
    note = of("NTE", taken_back)[0]
    assert note.component(3) == f"TAKEN BACK. What follows was wrong and must not be used. {WHY}"


def test_it_has_a_control_id_of_its_own_that_is_the_same_each_time(sent: bytes) -> None:
    assert withdrawal(sent, WHEN, WHY) == withdrawal(sent, WHEN, WHY)
    messages = (sent, withdrawal(sent, WHEN, WHY), withdrawal(sent, WHEN, "Other reason."))
    assert len({control_id(one) for one in messages}) == len(messages)


def test_a_reason_in_other_letters_than_the_message_has_makes_it_utf_8(evidence: Any, tmp_path: Path) -> None:
    profile = EncodingProfile(kinds=("oru",), message=MessageHeader(character_set="8859/1"))
    sent = written(tmp_path, result(evidence), profile).path.read_bytes()
    assert of("MSH", withdrawal(sent, WHEN, "Größe"))[0].component(18) == "8859/1"
    assert of("MSH", withdrawal(sent, WHEN, "左右"))[0].component(18) == "UNICODE UTF-8"
