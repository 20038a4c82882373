from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO

from node.network import requestor  # noqa: F401  mends pynetdicom
from tests.scp import PATIENT_ROOT_FIND, end, listen, port_of
from tests.waiting import until

VERIFICATION = "1.2.840.10008.1.1"


class SlowToWake(threading.Event):
    """What a reactor waits on when the machine is busy: it goes on some time after it was allowed to."""

    def wait(self, timeout: float | None = None) -> bool:
        allowed = super().wait(timeout)
        time.sleep(0.05)
        return allowed


@pytest.fixture
def association() -> Iterator[Association]:
    scp = AE()
    scp.add_supported_context(VERIFICATION)
    scp.add_supported_context(PATIENT_ROOT_FIND)
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_ECHO, lambda event: 0x0000), (evt.EVT_C_FIND, three_matches)]
    server = listen(scp, handlers)
    scu = AE()
    scu.acse_timeout = scu.dimse_timeout = scu.network_timeout = 2
    scu.add_requested_context(VERIFICATION)
    scu.add_requested_context(PATIENT_ROOT_FIND)
    opened = scu.associate("127.0.0.1", port_of(server))
    assert opened.is_established
    try:
        yield opened
    finally:
        if opened.is_established:
            opened.release()
        end(server)


def three_matches(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
    for number in range(3):
        match = Dataset()
        match.PatientID = str(number)
        yield 0xFF00, match
    yield 0x0000, None


@pytest.fixture
def _held_up(association: Association, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is there before the request looks for it, and the reactor wakes up in between."""
    send = association.dimse.send_msg

    def send_and_be_held_up(*request: Any) -> None:
        send(*request)
        time.sleep(0.2)

    monkeypatch.setattr(association.dimse, "send_msg", send_and_be_held_up)
    association._reactor_checkpoint = SlowToWake()
    association._reactor_checkpoint.set()


@pytest.mark.usefixtures("_held_up")
def test_a_request_gets_its_answer_when_the_reactor_wakes_up_too_late(association: Association) -> None:
    for _ in range(3):
        until(lambda: association._is_paused, "the reactor takes itself for paused")
        assert association.send_c_echo().get("Status") == 0x0000


@pytest.mark.usefixtures("_held_up")
def test_a_query_gets_all_its_answers_in_order_when_the_reactor_wakes_up_too_late(association: Association) -> None:
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID = "PATIENT", "*"
    for _ in range(3):
        until(lambda: association._is_paused, "the reactor takes itself for paused")
        answers = [
            (status.get("Status"), match.PatientID if match else None)
            for status, match in association.send_c_find(query, PATIENT_ROOT_FIND)
        ]
        assert answers == [(0xFF00, "0"), (0xFF00, "1"), (0xFF00, "2"), (0x0000, None)]


def test_an_answer_to_no_request_is_dropped(association: Association, caplog: pytest.LogCaptureFixture) -> None:
    unasked = C_ECHO()
    unasked.MessageIDBeingRespondedTo, unasked.Status = 1, 0x0122
    association.dimse.msg_queue.put((1, unasked))
    until(lambda: "unexpected C-ECHO" in caplog.text, "the answer is dropped")
    assert association.send_c_echo().Status == 0x0000
