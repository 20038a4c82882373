"""One script against the fast and the plain server: equal statuses, byte-equal files, the same records."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    generate_uid,
)
from pynetdicom import build_context
from sqlalchemy import update
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.tables import AssociationRow, AuditRow, InstanceRow, SeriesRow, StudyRow
from node.network.sop_classes import StorageCommitmentPushModel, Verification
from node.reading import HERE
from node.receive.store.receipt_log import Stored, decode_all
from node.receive.store.store import Store
from node.route.completion import Completion
from node.route.dispatch import Dispatcher
from tests.node.receive.harness import (
    RawPeer,
    Running,
    association,
    configuration,
    data_set,
    mr,
    part10,
    partials,
    stored_files,
)
from tests.scp import PATIENT_ROOT_FIND
from tests.waiting import until

SERVERS = ("fast", "plain")
PRIVATE_CLASS = "1.3.46.670589.2.3.1.1"
PRIVATE_SYNTAX = "1.2.840.113619.5.2"  # GE's
RETIRED_CLASS = "1.2.840.10008.5.1.4.1.1.6"  # Ultrasound Image Storage (Retired)


@pytest.fixture(params=SERVERS)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    with Running(configuration(tmp_path / "data", dimse={"server": request.param})) as receiver:
        yield receiver


def body(content: bytes) -> bytes:
    """A stored file without preamble and file meta."""
    file = io.BytesIO(content)
    pydicom.filereader.read_preamble(file, False)
    pydicom.filereader._read_file_meta_info(file)
    return file.read()


def send(port: int, ds: Dataset, syntax: UID, sop_class: str = MRImageStorage) -> Any:
    with association(port, [build_context(sop_class, [syntax])]) as assoc:
        assert assoc.is_established
        return assoc.send_c_store(ds)


def script(port: int, instances: list[Dataset]) -> list[Any]:
    """Everything a peer may do in one life: what was answered, in order."""
    answers: list[Any] = []
    one, two, three, wrong = instances
    contexts = [
        build_context(Verification),
        build_context(MRImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
        build_context(MRImageStorage, [JPEG2000Lossless]),
        build_context(PRIVATE_CLASS, [ExplicitVRLittleEndian]),
        build_context(RETIRED_CLASS, [CTImageStorage]),  # no transfer syntax
        build_context(PATIENT_ROOT_FIND),
        build_context(StorageCommitmentPushModel),
    ]
    with association(port, contexts) as assoc:
        answers.append(sorted((str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in assoc.accepted_contexts))
        answers.append(sorted((str(c.abstract_syntax), c.result) for c in assoc.rejected_contexts))
        answers.append(assoc.send_c_echo().Status)
        answers.append(assoc.send_c_store(one).Status)
        answers.append(assoc.send_c_store(two).Status)
        answers.append(assoc.send_c_store(one).Status)
        answers.append(assoc.send_c_store(three).Status)
        status = assoc.send_c_store(wrong)
        answers.append((status.Status, status.get("ErrorComment")))
        answers.append(assoc.send_c_echo().Status)
        action = Dataset()
        action.TransactionUID = "1.2.3"
        answers.append(assoc.send_n_action(action, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")[0].Status)
        answers.append(assoc.send_n_action(action, 7, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")[0].Status)
    answers.append(refusal(port, calling="STRANGER"))
    answers.append(refusal(port, called="OTHER"))
    return answers


def refusal(port: int, **titles: Any) -> tuple[bool, int, int]:
    """The rejection that a peer of these titles gets, with its result and diagnostic."""

    def asked() -> Any:
        with association(port, **titles) as assoc:
            assert not assoc.is_established
            return (
                (assoc.is_rejected, answer.result, answer.diagnostic) if (answer := assoc.acceptor.primitive) else None
            )

    # as a requestor, pynetdicom overlooks a rejection that comes before it looks whether it is connected
    told: tuple[bool, int, int] = until(asked)
    return told


def test_the_fast_and_the_plain_server_give_equal_answers_and_equal_files(tmp_path: Path) -> None:
    study, series = generate_uid(), generate_uid()
    private = mr(study, generate_uid(), 3, SOPClassUID=PRIVATE_CLASS)
    wrong = mr(study, series, 4)
    del wrong.SeriesInstanceUID
    instances = [mr(study, series, 1), mr(study, series, 2, side=300), private, wrong]
    answers, files, records = {}, {}, {}
    for server in SERVERS:
        settings = configuration(tmp_path / server, dimse={"server": server})
        with Running(settings) as running:
            answers[server] = script(running.port, instances)
            until(lambda: len(running.rows(AssociationRow)) >= 5 and _all_ended(running), "all are on record")
            files[server] = {
                str(path.relative_to(running.data)): path.read_bytes()
                for path in (running.data / "instances").rglob("*.dcm")
            }
            records[server] = [
                sorted((r.sop_instance_uid, r.path, r.size, r.times_received) for r in running.rows(InstanceRow)),
                sorted((r.series_instance_uid, r.instances, r.modality) for r in running.rows(SeriesRow)),
                sorted({(r.outcome, r.reason, r.stored, r.failed) for r in running.rows(AssociationRow)}),
            ]
            assert partials(running.data) == []
    assert answers["fast"] == answers["plain"]
    assert files["fast"] == files["plain"]
    assert records["fast"] == records["plain"]
    assert answers["fast"][2:] == [
        0,
        0,
        0,
        0,
        0,
        (0xC001, "Series Instance UID is missing or not a UID"),
        0,
        0x0115,  # a commitment request that refers to nothing
        0x0123,
        (True, 1, 3),
        (True, 1, 7),
    ]
    assert {body(content) for content in files["fast"].values()} == {data_set(ds) for ds in instances[:3]}
    assert records["fast"][2] == [
        ("refused", "Called AE title is not ours", 0, 0),
        ("refused", "Calling AE title is not a known peer", 0, 0),
        ("refused", "The request asks for an action that the standard does not have", 0, 0),
        ("refused", "The request has no Transaction UID, or names no instance", 0, 0),
        ("released", "", 4, 1),
    ]


def _all_ended(running: Running) -> bool:
    return all(row.ended is not None for row in running.rows(AssociationRow))


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_a_data_set_is_kept_byte_for_byte_in_the_syntax_it_came_in(running: Running, syntax: UID) -> None:
    ds = mr()
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = bytes(reversed(ds.PixelData))
    ds.file_meta.TransferSyntaxUID = syntax
    assert send(running.port, ds, syntax).Status == 0
    (content,) = stored_files(running.data).values()
    read = pydicom.dcmread(io.BytesIO(content))
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read.file_meta.SourceApplicationEntityTitle == "SCANNER"
    assert read.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert read == ds
    record = until(lambda: running.rows(InstanceRow))[0]
    assert (record.transfer_syntax_uid, record.size) == (syntax, len(content))


def test_the_records_say_who_sent_what_and_when(running: Running) -> None:
    study, series = generate_uid(), generate_uid()
    with association(running.port) as assoc:
        for number in range(1, 4):
            assoc.send_c_store(mr(study, series, number, NumberOfSeriesRelatedInstances=3, ImagesInAcquisition=192))
    until(lambda: _all_ended(running) and running.rows(AssociationRow), "the end of the association")
    (arrival,) = running.rows(AssociationRow)
    assert (arrival.way, arrival.calling_ae_title, arrival.called_ae_title) == ("dimse", "SCANNER", "CONDYLE")
    assert (arrival.peer_address, arrival.outcome, arrival.stored) == ("127.0.0.1", "released", 3)
    (row,) = running.rows(SeriesRow)
    assert (row.series_instance_uid, row.study_instance_uid, row.modality) == (series, study, "MR")
    assert (row.instances, row.expected, row.last_association_id) == (3, 3, arrival.id)
    assert arrival.started <= row.first_received <= row.last_received <= arrival.ended
    assert [r.study_instance_uid for r in running.rows(StudyRow)] == [study]


@pytest.mark.parametrize("encoding", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.filterwarnings("ignore:Expected explicit VR")  # pydicom, which reads it all the same
def test_an_instance_in_a_private_syntax_is_stored_as_it_is_and_can_be_read(running: Running, encoding: UID) -> None:
    ds = mr(NumberOfSeriesRelatedInstances="7")
    ds.file_meta.TransferSyntaxUID = encoding
    with RawPeer(running.port) as peer:
        assert peer.associate(contexts=[(MRImageStorage, [PRIVATE_SYNTAX])]) == 2
        assert peer.store(ds) == 0x0000
        assert peer.store(mr(), sop_instance=b"1.2.3") == 0xA900
        big = mr()
        big.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        assert peer.store(big) == 0xC000  # nothing says so, and nobody could read it later
    (row,) = until(lambda: running.rows(InstanceRow), "the receipt")
    assert (row.transfer_syntax_uid, row.series_instance_uid) == (PRIVATE_SYNTAX, ds.SeriesInstanceUID)
    (content,) = stored_files(running.data).values()
    assert body(content) == data_set(ds)


def test_contexts_that_are_refused_are_on_record(running: Running) -> None:
    contexts = [
        build_context(MRImageStorage, [ExplicitVRLittleEndian]),
        build_context(CTImageStorage, [MRImageStorage]),
        build_context(PATIENT_ROOT_FIND),
    ]
    with association(running.port, contexts) as assoc:
        assert assoc.is_established
    (row,) = until(lambda: running.rows(AssociationRow, outcome="released"), "the record")
    assert row.contexts_refused.split("; ") == [
        f"the syntax MR Image Storage ({MRImageStorage}) is not taken for CT Image Storage ({CTImageStorage})",
        f"the class Patient Root Query/Retrieve Information Model - FIND ({PATIENT_ROOT_FIND}) is not taken",
    ]


def test_contexts_that_are_refused_again_and_again_are_told_in_the_log_once_and_counted(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    contexts = [build_context(MRImageStorage), build_context(CTImageStorage, [MRImageStorage])]
    for _ in range(11):
        with association(running.port, contexts) as assoc:
            assert assoc.is_established
    until(lambda: len(running.rows(AssociationRow, outcome="released")) == 11, "the records")
    running.receiver.store.refusals.close()
    told = [record for record in caplog.records if record.getMessage() == "presentation contexts refused"]
    assert told[0].__dict__["reason"].startswith("the syntax MR Image Storage")
    assert len(told) <= 3, "the first, when there were ten of them, and at the end"
    assert told[-1].__dict__["times"] == "11"
    assert running.rows(AuditRow) == []


def test_health_checks_leave_no_rows(running: Running) -> None:
    for _ in range(3):
        socket.create_connection(("127.0.0.1", running.port)).close()
        with association(running.port, [build_context(Verification)]) as assoc:
            assert assoc.send_c_echo().Status == 0x0000
    with association(running.port, [build_context(Verification, [JPEG2000Lossless])]):
        pass  # this one is told that it is refused
    (row,) = until(lambda: running.rows(AssociationRow), "the record of the last one")
    assert row.contexts_refused.startswith("the syntax JPEG 2000")
    assert running.rows(AuditRow) == []


def test_a_count_per_acquisition_is_not_taken_for_the_series(running: Running) -> None:
    with association(running.port) as assoc:
        assoc.send_c_store(mr(ImagesInAcquisition=192))
    (row,) = until(lambda: running.rows(SeriesRow))
    assert row.expected is None


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sop_instance": b"1.2.3.4"}, 0xA900),
        ({"sop_instance": b"../../../etc/passwd"}, 0x0117),
        ({"sop_instance": b""}, 0x0117),
        ({"sop_class": CTImageStorage.encode()}, 0x0122),
    ],
)
def test_a_command_that_does_not_fit_its_data_set_is_refused(
    tmp_path: Path, changes: dict[str, Any], status: int
) -> None:
    with Running(configuration(tmp_path / "data")) as running, RawPeer(running.port) as peer:
        assert peer.associate() == 2
        ds = mr()
        assert peer.store(ds, **changes) == status
        assert peer.store(ds) == 0  # the association goes on
        assert list(stored_files(running.data)) == [ds.SOPInstanceUID]
        assert partials(running.data) == []
        refused = until(lambda: running.rows(AuditRow, what="instance not stored"))
        assert refused[0].detail["status"] == f"0x{status:04X}"


def test_a_repeated_instance_is_one_instance_received_twice(running: Running) -> None:
    ds = mr()
    for _ in range(2):
        send(running.port, ds, ExplicitVRLittleEndian)
    until(lambda: [row.times_received for row in running.rows(InstanceRow)] == [2], "both receipts")
    assert [row.instances for row in running.rows(SeriesRow)] == [1]
    assert len(stored_files(running.data)) == 1


def test_a_uid_of_another_patients_instance_is_refused_and_on_record(running: Running) -> None:
    ds = mr()
    assert send(running.port, ds, ExplicitVRLittleEndian).Status == 0
    other = copy.deepcopy(ds)
    other.PatientID, other.StudyInstanceUID = "OTHER", generate_uid()
    answer = send(running.port, other, ExplicitVRLittleEndian)
    assert (answer.Status, answer.ErrorComment) == (
        0xC002,
        "Its SOP Instance UID is that of another patient's instance",
    )
    (refused,) = until(lambda: running.rows(AuditRow, what="instance not stored"), "the record")
    assert refused.study_instance_uid == other.StudyInstanceUID
    assert refused.detail["status"] == "0xC002"
    assert "OTHER" not in str(refused.detail)
    assert stored_files(running.data)[ds.SOPInstanceUID].endswith(data_set(ds))


def test_an_unreadable_data_set_is_refused_and_leaves_nothing(running: Running) -> None:
    ds = mr()
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(RawPeer(running.port))
        assert peer.associate() == 2
        for content in (b"\xff" * 5000, b"P6 512 512 255 " * 300, bytes(4096)):
            broken = mr()
            broken.SOPInstanceUID = ds.SOPInstanceUID
            assert raw_store(peer, ds, content) == 0xC000
    assert stored_files(running.data) == {}
    assert partials(running.data) == []


def raw_store(peer: RawPeer, ds: Dataset, content: bytes) -> int:
    from tests.node.receive.harness import p_data, pdv, store_rq

    peer.send(p_data(pdv(store_rq(ds), 3)))
    peer.send(p_data(pdv(content, 2)))
    return peer.status()


def test_an_asynchronous_window_is_answered_with_one(running: Running) -> None:
    from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation

    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 0
    window.maximum_number_operations_performed = 0
    with association(running.port, ext_neg=[window]) as assoc:
        assert assoc.is_established
        assert assoc.acceptor.asynchronous_operations == (1, 1)


def test_the_maximum_pdu_size_is_the_configured_one(running: Running) -> None:
    with association(running.port) as assoc:
        assert assoc.acceptor.maximum_length == 131072


def test_what_a_process_left_open_is_closed_as_lost_and_swept(tmp_path: Path) -> None:
    settings = configuration(tmp_path / "data")
    (tmp_path / "data" / "spool").mkdir(parents=True)
    (tmp_path / "data" / "spool" / "0123456789ab-7.part").write_bytes(b"half an instance")
    with Running(settings) as running:
        assert partials(running.data) == []
        with RawPeer(running.port) as peer:
            peer.associate()
            until(lambda: running.rows(AssociationRow, outcome="open"), "the open association")
        until(lambda: running.rows(AssociationRow, outcome="lost"), "its loss")


def test_an_instance_sent_again_counts_as_another_only_where_its_data_set_differs(running: Running) -> None:
    ds = mr()

    def sent(calling: str = "SCANNER") -> None:
        with association(running.port, [build_context(MRImageStorage, [ExplicitVRLittleEndian])], calling) as assoc:
            assert assoc.send_c_store(ds).Status == 0

    def record(times: int) -> InstanceRow:
        found: InstanceRow = until(lambda: running.rows(InstanceRow, times_received=times), f"receipt {times}")[0]
        return found

    sent()
    assert record(1).revision == 0
    with Session(running.database) as session, session.begin():  # as if it had been decided about
        session.execute(update(SeriesRow).values(routed_instances=1, study_routed_instances=1))
    sent()
    assert record(2).revision == 0
    assert running.rows(SeriesRow)[0].routed_instances == 1
    ds.PatientName = "Corrected^Name"
    sent()
    assert record(3).revision == 1
    series = running.rows(SeriesRow)[0]
    assert (series.instances, series.routed_instances, series.study_routed_instances) == (1, 0, 0)
    assert stored_files(running.data).keys() == {ds.SOPInstanceUID}


@pytest.mark.parametrize("with_meta", [True, False])
def test_a_file_that_is_imported_over_a_sent_instance_is_held_against_its_data_set(
    tmp_path: Path, with_meta: bool
) -> None:
    ds = mr()
    store = Store(tmp_path, "process")

    def taken() -> bool:
        arrival = store.open("folder")
        name, fd = store.partial()
        with os.fdopen(fd, "wb") as file:
            file.write(part10(ds) if with_meta else data_set(ds))
        store.adopt(arrival, name)
        receipts = next(store.receipts.folder.glob("*.journal")).read_bytes()
        return [entry for entry in decode_all(receipts) if isinstance(entry, Stored)][-1].changed

    arrival = store.open("dimse", "SCANNER")
    incoming = store.begin(arrival, str(ds.SOPClassUID), str(ds.SOPInstanceUID), ExplicitVRLittleEndian)
    incoming.write(data_set(ds))
    incoming.commit()
    assert not taken()
    ds.PixelData = bytes(reversed(ds.PixelData))
    assert taken()
    assert not taken()
    store.close()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("differ", [False, True], ids=["file metas differ", "pixels differ"])
def test_what_several_send_at_once_is_recorded_as_it_lies_there_and_decided_about(
    tmp_path: Path, server: str, differ: bool
) -> None:
    names = ["SCANNER", "PACS", "ARCHIVE_OF_OURS"]  # of different lengths, and so are the file metas
    peers = {name.lower(): {"ae_title": name, "networks": ["127.0.0.0/8"]} for name in names}
    settings = configuration(tmp_path / "data", dimse={"server": server}, peers=peers)
    study, series = generate_uid(), generate_uid()
    images = [mr(study, series) for _ in range(12)]
    begin = threading.Barrier(len(names))
    answers: list[int] = []

    def send(port: int, number: int) -> None:
        with association(port, [build_context(MRImageStorage, [ExplicitVRLittleEndian])], names[number]) as assoc:
            for image in images:
                ds = copy.deepcopy(image)
                if differ:
                    ds.StudyDescription = "knee" * number
                begin.wait()
                answers.append(assoc.send_c_store(ds).Status)

    with Running(settings) as running:
        with ThreadPoolExecutor(len(names)) as threads:
            list(threads.map(partial(send, running.port), range(len(names))))
        assert answers == [0] * len(names) * len(images)
        until(lambda: len(running.rows(InstanceRow, times_received=len(names))) == len(images), "all receipts")
        for row in running.rows(InstanceRow):
            assert row.size == (running.data / "instances" / row.path).stat().st_size
        route = {"pipeline": "knee_super_resolution", "destinations": ["out"], "when": {"Modality": "CT"}}
        routes = Configuration.model_validate(
            {
                "node": {"data": str(running.data)},
                "routes": {"knee": route},
                "destinations": {"out": {"kind": "folder", "path": str(tmp_path / "out")}},
            }
        )
        completion = Completion(running.database, settings.receive, lambda: datetime.now(UTC) + timedelta(hours=1))
        dispatcher = Dispatcher(routes, running.database, lambda _: None, lambda: datetime.now(UTC), HERE)
        for complete in completion.poll():
            dispatcher.dispatch(complete)
        (row,) = running.rows(SeriesRow)
        assert (row.routed_instances, row.study_routed_instances) == (len(images), len(images))
        assert not [path for path in (running.data / "instances").rglob("*.*") if path.suffix != ".dcm"]
