"""Storage commitment against real requesters: pynetdicom's, and Orthanc's."""

from __future__ import annotations

import contextlib
import copy
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pynetdicom import AE, build_context, evt
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import StorageCommitmentPushModelInstance
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from node.config import Peer
from node.database.connection import Database, open_database
from node.database.tables import AssociationRow, AuditRow, Base, CommitmentRow, InstanceRow
from node.demo.orthanc_process import free_port
from node.network.commitment_information import MAXIMUM_BYTES, Information, data_set
from node.network.sop_classes import StorageCommitmentPushModel
from node.receive.dimse import commitment_provider, fast_association, plain_server, services
from node.receive.dimse.commitment_provider import CommitmentProvider
from node.receive.store.locks import LeaderLock
from node.receive.store.store import Store
from tests.hostile_archive import HostileArchive, drip, then
from tests.node.receive.harness import RawPeer, Running, association, configuration, element, mr, p_data, pdv, put
from tests.scp import end, listen
from tests.waiting import until

SERVERS = ("fast", "plain")


class Requester:
    """A modality that listens for the reports on what it asked."""

    def __init__(self, status: int = 0) -> None:
        self.port = free_port()
        self.status = status
        self.reports: list[tuple[int, Dataset]] = []
        self.roles: list[Any] = []
        self.associations: list[Any] = []
        self._server: Any = None

    def listen(self) -> None:
        ae = AE(ae_title="SCANNER")
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, self._report)]
        self._server = listen(ae, handlers, self.port)

    def _report(self, event: Any) -> tuple[int, None]:
        self.reports.append((event.event_type, event.event_information))
        self.roles.append(event.assoc.requestor.role_selection)
        self.associations.append(event.assoc)
        return self.status, None

    def told(self) -> tuple[int, Dataset]:
        """Event type and data set of the first report, as soon as it has come."""
        until(lambda: self.reports, "the report")
        return self.reports[0]

    def close(self) -> None:
        if self._server is not None:
            end(self._server)


@pytest.fixture
def requester() -> Iterator[Requester]:
    with contextlib.closing(Requester()) as peer:
        yield peer


def settings_for(requester: Requester, tmp_path: Path, server: str = "fast", **changes: Any) -> Any:
    peers = {"scanner": {"ae_title": "SCANNER", "host": "127.0.0.1", "port": requester.port}}
    return configuration(tmp_path / "data", dimse={"server": server}, peers=peers, **changes)


@contextlib.contextmanager
def provider(
    folder: Path, peers: Mapping[str, Peer], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[tuple[CommitmentProvider, Database]]:
    """A provider that sends nothing by itself, and its database."""
    database = open_database(f"sqlite:///{folder}/node.db")
    Base.metadata.create_all(database)
    store = Store(folder / "data", "process")
    with contextlib.closing(store), contextlib.closing(LeaderLock(folder / "leader_lock")) as leader_lock:
        yield CommitmentProvider(database, store, "CONDYLE", peers, leader_lock, clock), database
    database.dispose()


def one() -> Information:
    """A request that names one instance."""
    return Information(generate_uid(), [[MRImageStorage, "1.2.3"]])


def request(*instances: tuple[str, str]) -> Dataset:
    information = Dataset()
    information.TransactionUID = generate_uid()
    information.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
        information.ReferencedSOPSequence.append(item)
    return information


def ask(running: Running, information: Dataset, calling: str = "SCANNER") -> int:
    with association(running.port, [build_context(StorageCommitmentPushModel)], calling=calling) as assoc:
        status, _ = assoc.send_n_action(information, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        return int(status.Status)


def store(running: Running, *instances: Dataset) -> None:
    with association(running.port) as assoc:
        assert [assoc.send_c_store(ds).Status for ds in instances] == [0] * len(instances)


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_stored_is_committed_and_what_is_not_says_why(
    tmp_path: Path, requester: Requester, server: str
) -> None:
    requester.listen()
    one, two = mr(), mr()
    with Running(settings_for(requester, tmp_path, server)) as running:
        store(running, one, two)
        missing = generate_uid()
        information = request(
            (MRImageStorage, one.SOPInstanceUID), (CTImageStorage, two.SOPInstanceUID), (MRImageStorage, missing)
        )
        assert ask(running, information) == 0
        event_type, report = requester.told()
        assert event_type == 2
        assert report.TransactionUID == information.TransactionUID
        assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [one.SOPInstanceUID]
        failed = {item.ReferencedSOPInstanceUID: item.FailureReason for item in report.FailedSOPSequence}
        assert failed == {two.SOPInstanceUID: 0x0119, missing: 0x0112}
        assert requester.roles[0][StorageCommitmentPushModel].scp_role
        (record,) = until(lambda: running.rows(CommitmentRow, state="reported"), "the record of the report")
        assert (record.direction, record.peer, record.attempts) == ("in", "scanner", 1)
        until(lambda: running.rows(InstanceRow, sop_instance_uid=one.SOPInstanceUID, fsynced=True), "it is safe")


def test_all_stored_is_event_type_one(tmp_path: Path, requester: Requester) -> None:
    requester.listen()
    with Running(settings_for(requester, tmp_path)) as running:
        study = [mr() for _ in range(3)]
        store(running, *study)
        assert ask(running, request(*((MRImageStorage, ds.SOPInstanceUID) for ds in study))) == 0
        event_type, report = requester.told()
        assert event_type == 1
        assert "FailedSOPSequence" not in report


def test_a_request_outlives_a_restart_and_a_requester_that_is_away(
    tmp_path: Path, requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment_provider, "FIRST_RETRY_S", 0.5)
    settings = settings_for(requester, tmp_path)
    ds = mr()
    with Running(settings) as running:
        store(running, ds)
        assert ask(running, request((MRImageStorage, ds.SOPInstanceUID))) == 0
        (record,) = until(lambda: [r for r in running.rows(CommitmentRow) if r.attempts], "a first attempt")
        assert (record.state, record.answer) == ("waiting", "The peer cannot be reached")
    requester.listen()
    with Running(settings):
        assert requester.told()[0] == 1


def test_a_peer_without_an_address_is_told_on_its_own_association(tmp_path: Path) -> None:
    reports: list[tuple[int, Dataset]] = []

    def take(event: Any) -> tuple[int, None]:
        reports.append((event.event_type, event.event_information))
        return 0, None

    ds = mr()
    with Running(configuration(tmp_path / "data")) as running:
        store(running, ds)
        handlers = [(evt.EVT_N_EVENT_REPORT, take)]
        with association(running.port, [build_context(StorageCommitmentPushModel)], evt_handlers=handlers) as assoc:
            arguments = (1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
            status, _ = assoc.send_n_action(request((MRImageStorage, ds.SOPInstanceUID)), *arguments)
            assert status.Status == 0
            until(lambda: reports, "the report")
            until(lambda: running.rows(CommitmentRow, state="reported"), "the record of the report")
        assert reports[0][0] == 1
        assert reports[0][1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == ds.SOPInstanceUID


def test_a_request_that_makes_no_sense_is_refused(tmp_path: Path, requester: Requester) -> None:
    with Running(settings_for(requester, tmp_path)) as running:
        assert ask(running, request()) == 0x0115
        with pydicom.config.disable_value_validation():
            assert ask(running, request((MRImageStorage, "../../etc/passwd"))) == 0x0115
        nameless = request((MRImageStorage, "1.2.3"))
        del nameless.TransactionUID
        assert ask(running, nameless) == 0x0115
        assert running.rows(CommitmentRow) == []
        until(lambda: len(running.rows(AuditRow, what="commitment refused")) == 2, "the records, one for each reason")
        reasons = {row.reason: row for row in running.rows(AssociationRow, outcome="refused")}
        assert set(reasons) == {
            "The request has no Transaction UID, or names no instance",
            "The request names an instance by what is no UID",
        }
        assert {(row.way, row.calling_ae_title, row.peer_address) for row in reasons.values()} == {
            ("commitment", "SCANNER", "127.0.0.1")
        }


def test_a_repeated_request_is_reported_again_and_a_changed_one_is_refused(
    tmp_path: Path, requester: Requester
) -> None:
    requester.listen()
    with Running(settings_for(requester, tmp_path)) as running:
        information = request((MRImageStorage, "1.2.3"))
        assert ask(running, information) == 0
        until(lambda: len(requester.reports) == 1, "the report")
        until(lambda: running.rows(CommitmentRow, state="reported"), "its record")
        assert ask(running, information) == 0
        until(lambda: len(requester.reports) == 2, "the second report")
        changed = request((MRImageStorage, "1.2.4"))
        changed.TransactionUID = information.TransactionUID
        assert ask(running, changed) == 0x0131


def test_a_report_is_given_up_after_a_week(tmp_path: Path, requester: Requester) -> None:
    settings = settings_for(requester, tmp_path)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with provider(tmp_path, settings.peers, lambda: now) as (commitment, database):
        commitment.request("scanner", one())
        waits = []
        while True:
            commitment.send_due("scanner")
            with Session(database) as session:
                (record,) = session.scalars(select(CommitmentRow)).all()
            if record.state == "failed":
                break
            waits.append((record.not_before - now).total_seconds())
            now = record.not_before
            assert len(waits) < 1000
    assert waits[:4] == [5, 10, 20, 40]
    assert max(waits) == 3600
    assert now - record.created > timedelta(days=7)


def test_an_answer_on_the_requesters_association_is_not_undone_by_a_vain_report_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider(tmp_path, {}) as (commitment, database):
        commitment.request("scanner", one())
        settle = commitment._settle

        def answered_meanwhile(record: CommitmentRow, answer: str) -> None:
            monkeypatch.undo()
            commitment.reported(record.transaction_uid, 0)
            settle(record, answer)

        monkeypatch.setattr(commitment, "_settle", answered_meanwhile)
        assert commitment.send_due("scanner") == 0  # the peer has no address to report to
        with Session(database) as session:
            assert session.scalars(select(CommitmentRow.state)).all() == ["reported"]


def test_reports_to_one_peer_share_an_association(tmp_path: Path, requester: Requester) -> None:
    requester.listen()
    with provider(tmp_path, settings_for(requester, tmp_path).peers) as (commitment, _):
        requests = [one() for _ in range(5)]
        for information in requests:
            commitment.request("scanner", information)
        assert commitment.send_due("scanner") == 5
    told = [str(report.TransactionUID) for _, report in requester.reports]
    assert told == [information.transaction_uid for information in requests]
    assert len(set(requester.associations)) == 1


def test_a_peer_that_cannot_be_reached_holds_up_no_report_to_others(tmp_path: Path, requester: Requester) -> None:
    requester.listen()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        away = silent.getsockname()
        with contextlib.ExitStack() as waiting:
            for _ in range(3):  # they fill the queue of who is never accepted: the next one waits until it gives up
                peer = waiting.enter_context(socket.socket())
                peer.setblocking(False)
                peer.connect_ex(away)
            scanner = {"ae_title": "SCANNER", "host": "127.0.0.1", "port": requester.port}
            other = {"ae_title": "AWAY", "host": away[0], "port": away[1]}
            settings = configuration(tmp_path / "data", peers={"scanner": scanner, "other": other})
            with Running(settings) as running:
                for title in ("AWAY", "AWAY", "SCANNER"):
                    assert ask(running, request((MRImageStorage, "1.2.3")), title) == 0
                requester.told()
                assert [row.attempts for row in running.rows(CommitmentRow, peer="other")] == [0, 0]
                silent.close()  # so that the node need not wait for it


def test_a_peer_that_drips_does_not_keep_the_node_and_its_report_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment_provider, "STOP_PATIENCE_S", 0.1)
    with HostileArchive(then(drip)) as archive:
        peers = {"slow": Peer(ae_title="SLOW", host="127.0.0.1", port=archive.port)}
        with provider(tmp_path, peers) as (reporting, database):
            asked = one()
            reporting.request("slow", asked)
            reporting.start()
            until(lambda: archive.opened > 1, "the report is on its way, after a look whether anybody listens")
            reporting.stop()
            until(lambda: archive.ended > 1, "the association is over")
            with Session(database) as session:
                assert session.get_one(CommitmentRow, asked.transaction_uid).state == "waiting"


def test_a_request_on_a_slow_disk_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, other = one(), Information(generate_uid(), [[MRImageStorage, "1.2.4"]])
    begun, goes_on = threading.Event(), threading.Event()

    def is_taken(_store: Store, uid: str) -> bool:
        if uid == slow.references[0][1]:
            begun.set()
            goes_on.wait(60)
        return False

    monkeypatch.setattr(Store, "is_taken", is_taken)
    with provider(tmp_path, {}) as (commitment, _), ThreadPoolExecutor(2) as threads:
        commitment.request("scanner", slow)
        looking = threads.submit(commitment.result_of, slow.transaction_uid)
        assert begun.wait(60)
        try:
            threads.submit(commitment.request, "scanner", other).result(20)
            assert threads.submit(commitment.result_of, other.transaction_uid).result(20).count == 1
        finally:
            goes_on.set()
        assert looking.result(60).count == 1


def test_a_request_that_comes_again_is_looked_up_again(tmp_path: Path) -> None:
    with provider(tmp_path, {}) as (commitment, _):
        ds = mr()
        information = Information(generate_uid(), [[MRImageStorage, ds.SOPInstanceUID]])
        commitment.request("scanner", information)
        assert [reason for *_, reason in commitment.result_of(information.transaction_uid).failed] == [0x0112]
        put(commitment._store, ds)
        assert commitment.result_of(information.transaction_uid).failed  # what was found out holds
        commitment.request("scanner", information)
        assert not commitment.result_of(information.transaction_uid).failed


def test_an_archives_report_to_us_is_left_for_the_sender(tmp_path: Path, requester: Requester) -> None:
    with Running(settings_for(requester, tmp_path)) as running:
        now = datetime.now(UTC)
        with running.database.begin() as connection:
            connection.execute(
                insert(CommitmentRow).values(
                    transaction_uid="1.2.3.4",
                    direction="out",
                    peer="archive",
                    references=[[MRImageStorage, "1.2.3"]],
                    state="waiting",
                    attempts=0,
                    not_before=now,
                    created=now,
                    answer="",
                )
            )
        information = Dataset()
        information.TransactionUID = "1.2.3.4"
        failed = Dataset()
        failed.ReferencedSOPClassUID, failed.ReferencedSOPInstanceUID = MRImageStorage, "1.2.3"
        failed.FailureReason = 0x0112
        information.FailedSOPSequence = [failed]
        from pynetdicom import build_role

        with association(
            running.port,
            [build_context(StorageCommitmentPushModel)],
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
        ) as assoc:
            send = assoc.send_n_event_report
            arguments = (2, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
            assert send(information, *arguments)[0].Status == 0
            information.TransactionUID = "9.9.9"
            assert send(information, *arguments)[0].Status == 0x0115
        (record,) = running.rows(CommitmentRow)
        assert record.state == "reported"
        assert json.loads(record.answer) == {"event_type": 2, "failed": {"1.2.3": 0x0112}}


@pytest.mark.orthanc
def test_orthanc_asks_the_node_to_commit(tmp_path: Path) -> None:
    import requests

    from tests.needs import missing
    from tests.orthanc import Archive, Modality, OrthancMissing

    node_port = free_port()
    try:
        archive = Archive(tmp_path / "orthanc", modalities={"condyle": Modality("CONDYLE", node_port)})
    except OrthancMissing as error:
        missing(str(error))
    with archive:
        peers = {"archive": {"ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.dicom_port}}
        settings = configuration(tmp_path / "data", dimse={"port": node_port}, peers=peers)
        ds = mr()
        with Running(settings) as running:
            with association(running.port, calling=archive.ae_title) as assoc:
                assert assoc.send_c_store(ds).Status == 0
            absent = generate_uid()
            body = {
                "DicomInstances": [
                    {"SOPClassUID": MRImageStorage, "SOPInstanceUID": uid} for uid in (ds.SOPInstanceUID, absent)
                ]
            }
            url = f"{archive.url}/modalities/condyle/storage-commitment"
            asked = requests.post(url, json=body, timeout=30).json()

            def report() -> Any:
                answer = requests.get(f"{archive.url}/storage-commitment/{asked['ID']}", timeout=30).json()
                return answer if answer["Status"] != "Pending" else None

            answer = until(report, "the report in Orthanc")
            assert answer["Status"] == "Failure"
            assert [item["SOPInstanceUID"] for item in answer["Success"]] == [ds.SOPInstanceUID]
            assert [item["SOPInstanceUID"] for item in answer["Failures"]] == [absent]


def test_no_thread_of_a_requester_outlives_its_test() -> None:
    assert not [thread for thread in threading.enumerate() if thread.name == "storage commitment"]


def test_a_uid_under_which_another_patients_instance_was_refused_is_not_committed(
    tmp_path: Path, requester: Requester
) -> None:
    requester.listen()
    ds = mr()
    with Running(settings_for(requester, tmp_path)) as running:
        store(running, ds)
        other = copy.deepcopy(ds)
        other.PatientID = "OTHER"
        with association(running.port) as assoc:
            assert assoc.send_c_store(other).Status == 0xC002
        assert ask(running, request((MRImageStorage, ds.SOPInstanceUID))) == 0
        event_type, report = requester.told()
        assert event_type == 2
        assert [item.FailureReason for item in report.FailedSOPSequence] == [0x0110]


def items(*references: tuple[str, str]) -> bytes:
    """A request in Explicit VR Little Endian, without what pydicom would make of it."""
    encoded = data_set("1.2.3.4", references, [], ExplicitVRLittleEndian)
    return encode(encoded, False, True) or b""


def begin(peer: RawPeer, content: bytes, *, last: bool, piece: int = 100_000) -> None:
    """An N-ACTION with these bytes, on a new association."""
    assert peer.associate(contexts=[(StorageCommitmentPushModel, [ExplicitVRLittleEndian])]) == 2
    command = (
        element(0x0003, StorageCommitmentPushModel.encode())
        + element(0x0100, b"\x30\x01")
        + element(0x0110, b"\1\0")
        + element(0x0800, b"\0\0")
        + element(0x1001, StorageCommitmentPushModelInstance.encode())
        + element(0x1008, b"\1\0")
    )
    peer.send(p_data(pdv(element(0, struct.pack("<L", len(command))) + command, 3)))
    for start in range(0, len(content), piece):
        peer.send(p_data(pdv(content[start : start + piece], 2 if last and start + piece >= len(content) else 0)))


def answer(running: Running, content: bytes) -> int:
    """The status of an N-ACTION with these bytes."""
    with RawPeer(running.port) as peer:
        begin(peer, content, last=True)
        return peer.status()


@pytest.mark.parametrize("server", SERVERS)
def test_the_same_reference_many_times_is_one_and_a_request_beyond_all_measure_is_refused(
    tmp_path: Path, requester: Requester, server: str
) -> None:
    requester.listen()
    ds = mr()
    empty_items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 110_000
    bomb = struct.pack("<HH2sHL", 8, 0x1199, b"SQ", 0, len(empty_items)) + empty_items
    with Running(settings_for(requester, tmp_path, server)) as running:
        store(running, ds)
        assert answer(running, items(*[(MRImageStorage, ds.SOPInstanceUID)] * 2000)) == 0
        event_type, report = requester.told()
        assert event_type == 1
        assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [ds.SOPInstanceUID]
        assert [row.references for row in running.rows(CommitmentRow)] == [[[MRImageStorage, ds.SOPInstanceUID]]]
        assert answer(running, bomb) == 0x0213
        assert answer(running, bytes(MAXIMUM_BYTES + 2)) == 0x0213
        assert answer(running, b"\1\2\3") == 0x0115


@pytest.mark.parametrize("server", SERVERS)
def test_large_requests_wait_for_room_and_small_ones_need_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """There is room for one here. Many at a time would take ten times their size."""
    monkeypatch.setattr(services, "ROOM_BYTES", MAXIMUM_BYTES)
    monkeypatch.setattr(services, "ROOM_WAIT_S", 0.3)
    large = items(*((MRImageStorage, f"1.2.{number}") for number in range(2000)))
    assert len(large) > services.SMALL_BYTES
    with Running(configuration(tmp_path / "data", dimse={"server": server})) as running:
        with RawPeer(running.port) as first:
            begin(first, large, last=False)
            until(lambda: not free_room(running), "the first one has the room")
            with RawPeer(running.port) as second, contextlib.suppress(ConnectionError):
                begin(second, large, last=True)
                if server == "fast":
                    assert second.status() == 0x0213
                else:
                    assert second.receive()[0] == 7
            assert answer(running, items((MRImageStorage, "1.2.3"))) == 0
        monkeypatch.setattr(services, "ROOM_WAIT_S", 20.0)  # until it is seen that the first one has gone
        assert answer(running, large.replace(b"1.2.3.4\0", b"1.2.3.5\0")) == 0
        until(lambda: "finds no room" in refusals(running), "the record")


@pytest.mark.parametrize("server", SERVERS)
def test_a_request_that_comes_in_slowly_does_not_keep_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """Each of its PDUs is in time."""
    for module in (fast_association, plain_server):
        monkeypatch.setattr(module, "SLOW_AFTER_S", 0.2)
        monkeypatch.setattr(module, "OTHER_BYTES", 2**30)
    with Running(configuration(tmp_path / "data", dimse={"server": server})) as running, RawPeer(running.port) as peer:
        begin(peer, bytes(100_000), last=False)
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                peer.send(p_data(pdv(bytes(1000), 0)))
                time.sleep(0.01)
        (row,) = until(lambda: running.rows(AssociationRow, outcome="cut"), "the record")
        assert row.reason == "The sender is too slow"
        until(lambda: free_room(running) == services.ROOM_BYTES, "its room is free")


def free_room(running: Running) -> int:
    server: Any = running.receiver.server
    found: services.Services = getattr(server, "services", None) or server._services
    return found._room._left


def refusals(running: Running) -> str:
    """Why messages and associations were not taken, as it is recorded."""
    running.receiver.store.write_refusals()
    return " ".join(row.reason for row in running.rows(AssociationRow))


def test_what_a_request_names_is_looked_up_and_synced_once(
    tmp_path: Path, requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment_provider, "FIRST_RETRY_S", 0.5)
    settings = settings_for(requester, tmp_path)
    ds = mr()
    with Running(settings) as running:
        store(running, ds)
        assert ask(running, request((MRImageStorage, ds.SOPInstanceUID))) == 0
        until(lambda: running.rows(InstanceRow, fsynced=True), "it is safe")
        until(lambda: [row for row in running.rows(CommitmentRow) if row.attempts], "a first attempt")
        for path in (tmp_path / "data" / "instances").rglob("*.dcm"):
            path.unlink()  # what was found out holds while the requester is away
        requester.listen()
        assert requester.told()[0] == 1
