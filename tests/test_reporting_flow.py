"""A knee goes through a running node to a FHIR server and to an HL7 receiver: once each, whatever is away or dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from node.database.tables import OutboxRow, WithdrawalRow
from node.demo.orthanc_process import free_port
from node.patient_records.store import new_key
from pipelines.records.hl7_text import Segment, Separators, decoded
from tests.command_line import Condyle
from tests.fhir_peer import FhirPeer, serving
from tests.mllp_peer import MllpPeer
from tests.running import RunningNode
from tests.test_flow import KNEE_ROUTE, fresh, knee
from tests.waiting import until

__all__ = ["knee"]

NOBODY = {"entry": [{"resource": {"resourceType": "Patient", "id": "patient"}}]}


class Reporting:
    """A node, and where the peers of its two destinations are to be."""

    def __init__(self, folder: Path) -> None:
        self.fhir, self.mllp = free_port(), free_port()
        (folder / "records.key").write_bytes(new_key())
        emr = {"kind": "fhir", "url": f"http://127.0.0.1:{self.fhir}/r4", "resources": ["diagnostic_report"]}
        ris = {"kind": "hl7", "host": "127.0.0.1", "port": self.mllp}
        both = {"status": "final", "not_run_reports": True}
        self.node = RunningNode(
            folder,
            routes={"knee": {**KNEE_ROUTE, "destinations": ["emr", "ris"]}},
            destinations={
                "emr": {**emr, **both, "withdraw": "entered-in-error"},
                "ris": {**ris, **both, "withdraw": "oru"},
            },
            records={"key_file": "records.key"},
        )


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reporting]:
    made = Reporting(tmp_path_factory.mktemp("node"))
    with made.node:
        yield made


def report_of(transaction: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = transaction["entry"][-1]["resource"]
    return found


def segments(message: bytes) -> list[Segment]:
    return [Segment(line, Separators()) for line in decoded(message).rstrip("\r").split("\r")]


def test_peers_that_were_away_get_a_result_once_and_a_later_one_in_its_place(
    reporting: Reporting, knee: list[Path]
) -> None:
    node, sent = reporting.node, fresh(knee)
    assert set(node.send(sent.images[:-2])) == {0}

    def tried() -> bool:
        lines = node.all(select(OutboxRow))
        return {line.destination for line in lines if line.answer} == {"emr", "ris"}

    until(tried, "both peers are found to be away", seconds=120)
    (job,) = node.jobs(sent.study)
    made = [path for path in (node.folder / "data").rglob("*") if path.name in ("diagnostic_report.json", "oru.hl7")]
    assert len(made) == 2
    assert not [path for path in made if str(sent.images[0].PatientID).encode() in path.read_bytes()]
    node.kill()

    server, receiver = FhirPeer(NOBODY), MllpPeer()
    with serving(server.app, reporting.fhir), receiver.listen(reporting.mllp):
        node.start()
        (job,) = node.ended_jobs(1, seconds=120, study=sent.study)
        assert (job.state, job.reason) == ("done", "")
        assert (len(server.transactions), len(receiver.received)) == (1, 1)
        node.send(sent.images[-2:])
        first, second = sorted(node.ended_jobs(2, seconds=120, study=sent.study), key=lambda one: one.created)
    assert second.predecessor == first.id
    assert (len(server.transactions), len(receiver.received)) == (2, 2)

    before, after = map(report_of, server.transactions)
    assert before["identifier"][0] == after["identifier"][0] == {"system": "urn:condyle:report", "value": first.id}
    assert (before["status"], after["status"]) == ("final", "corrected")
    assert after["imagingStudy"][0]["identifier"]["value"] == f"urn:oid:{sent.study}"
    orders = [next(one for one in segments(message) if one.name == "OBR") for message in receiver.received]
    assert [(one.component(3), one.component(25)) for one in orders] == [(first.id, "F"), (first.id, "C")]
    person = segments(receiver.received[0])[1]
    assert person.component(3) == sent.images[0].PatientID
    for told in (sent.images[0].PatientID, sent.images[0].PatientName.family_name):
        assert str(told) not in node.log_text()


def test_a_pipeline_that_could_not_run_is_reported_where_that_is_asked_for(
    reporting: Reporting, knee: list[Path]
) -> None:
    sent = fresh(knee)
    server, receiver = FhirPeer(NOBODY), MllpPeer()
    with serving(server.app, reporting.fhir), receiver.listen(reporting.mllp):
        reporting.node.start()
        reporting.node.send([*sent.images[:4], *sent.images[7:]])  # with a gap
        (job,) = reporting.node.ended_jobs(1, seconds=120, study=sent.study)
        until(lambda: server.transactions and receiver.received, "both are told of it")
    assert job.state == "unsuitable"
    (transaction,), (message,) = server.transactions, receiver.received
    assert report_of(transaction)["status"] == "cancelled"
    assert job.reason in report_of(transaction)["conclusion"]
    order = next(one for one in segments(message) if one.name == "OBR")
    assert order.component(25) == "X"


def test_a_report_that_is_taken_back_is_followed_by_a_message_unless_a_later_one_has_replaced_it(
    reporting: Reporting, knee: list[Path], condyle: Condyle
) -> None:
    node, sent = reporting.node, fresh(knee)
    server, receiver = FhirPeer(NOBODY), MllpPeer()
    with serving(server.app, reporting.fhir), receiver.listen(reporting.mllp):
        node.start()
        node.send(sent.images[:-2])
        node.ended_jobs(1, seconds=120, study=sent.study)
        node.send(sent.images[-2:])
        first, second = sorted(node.ended_jobs(2, seconds=120, study=sent.study), key=lambda one: one.created)
        said = ("--reason", "left for right", "--yes", "--wait", "60", "--config", node.config)
        assert condyle("withdraw", first.id, *said).returncode == 0
        assert len(receiver.received) == 2
        assert condyle("withdraw", second.id, *said).returncode == 0
    assert len(receiver.received) == 3
    order = next(one for one in segments(receiver.received[-1]) if one.name == "OBR")
    assert (order.component(3), order.component(25)) == (first.id, "X")  # both were of the same order
    rows = node.all(select(WithdrawalRow).where(WithdrawalRow.job_id.in_([first.id, second.id])))
    told = {(row.job_id, row.destination): (row.state, row.way, row.answer) for row in rows}
    assert told[first.id, "ris"] == ("done", "oru", "a later report has taken its place")
    assert told[second.id, "ris"] == ("done", "oru", "AA")
    assert told[second.id, "emr"][:2] == ("done", "entered-in-error")
    held = {row.destination: (row.held_before, row.held_after) for row in rows if row.job_id == second.id}
    assert held == {"emr": (1, 0), "ris": (None, None)}
