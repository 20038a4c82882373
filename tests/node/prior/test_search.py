"""The patient's last report: among the node's own, in a real archive both ways, and when nobody answers."""

from __future__ import annotations

import io
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, MRImageStorage
from pynetdicom import AE, evt
from sqlalchemy import text
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.jobs import JobState
from node.database.tables import InstanceRow
from node.errors import BeingStopped, JobFailed, ReaderDied
from node.network.sop_classes import StudyRootQueryRetrieveInformationModelFind
from node.prior.report import LARGEST, NotUsable
from node.reading import HERE, Readers
from node.reading.readers import P, R
from node.receive.receiver import Receiver
from tests.hostile_archive import HostileArchive, drip, flood, pending, then
from tests.needs import missing, need_a_box
from tests.node.prior.earlier import part10, report, site
from tests.orthanc import Archive, Modality, OrthancMissing, free_port
from tests.scp import end, listen, port_of
from tests.serving import served
from tests.waiting import until


@pytest.fixture(scope="module")
def _pacs_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An Orthanc that knows the node and the port that it will have."""
    node = Modality("CONDYLE", free_port())
    try:
        archive = Archive(tmp_path_factory.mktemp("pacs"), modalities={"condyle": node})
    except OrthancMissing as error:
        missing(str(error))
    with archive:
        yield archive


@pytest.fixture
def pacs(_pacs_of_the_module: Archive) -> Archive:
    _pacs_of_the_module.empty()
    return _pacs_of_the_module


def by_dimse(archive: Archive) -> dict[str, Any]:
    return {"kind": "dimse", "ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.dicom_port}


def by_web(archive: Archive) -> dict[str, Any]:
    return {"kind": "dicomweb", "url": archive.dicom_web_url}


def asking(destination: dict[str, Any], **priors: Any) -> dict[str, Any]:
    return {"destinations": {"pacs": destination}, "priors": {"ask": ["pacs"], **priors}}


# ---- own results
def test_the_last_own_report_is_given(tmp_path: Path) -> None:
    old, last = report(StudyDate="20230303"), report()
    with site(tmp_path) as node:
        for ds in (last, old):
            node.reported(ds)
        prior = node.priors.find(node.job(), node.images())
    assert prior is not None
    assert prior.content is not None
    assert pydicom.dcmread(io.BytesIO(prior.content)).SOPInstanceUID == last.SOPInstanceUID
    assert prior.note["sop_instance_uid"] == last.SOPInstanceUID
    assert prior.summary == f"{last.SOPInstanceUID} from own results"
    assert prior.note["remark"] == ""


def test_the_report_outlives_the_files_of_its_job(tmp_path: Path) -> None:
    with site(tmp_path) as node:
        node.reported(report())
        for path in tmp_path.glob("*.dcm"):
            path.unlink()
        prior = node.priors.find(node.job(), node.images())
        assert prior is not None
        assert prior.content is not None


def test_a_report_is_kept_though_its_reader_sees_images_only(tmp_path: Path) -> None:
    need_a_box()
    with site(tmp_path) as node:
        instances = node.configuration.node.data.absolute() / "instances"
        instances.mkdir()
        node.folder = node.configuration.node.data.absolute() / "jobs"
        node.folder.mkdir()
        with Readers(1, instances=instances) as node.reader:
            node.reported(report())
        assert len(list((node.configuration.node.data / "priors").glob("*/*.dcm"))) == 1


class Dies:
    """A reader that dies of every report."""

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        if function.__name__ == "examined":
            raise ReaderDied("what was received takes too long to read")
        return HERE.call(function, *args, **kwargs)


def test_a_report_that_ends_what_reads_it_costs_no_job_and_the_result_says_so(tmp_path: Path) -> None:
    with site(tmp_path) as node:
        node.reported(report())
        node.reader = Dies()
        prior = node.priors.find(node.job(), node.images())
    assert prior is not None
    assert prior.content is None
    assert prior.note["remark"] == "No earlier report could be searched in: own results: a report cannot be read."
    assert prior.summary == "none found: own results: a report cannot be read; no archive is configured"


def test_own_reports_of_others_and_of_jobs_that_failed_are_not_given(tmp_path: Path) -> None:
    with site(tmp_path) as node:
        node.reported(report(PatientID="K4712"))
        node.reported(report(ManufacturerModelName="knee_oa_risk"))
        node.reported(report(), JobState.FAILED)
        prior = node.priors.find(node.job(), node.images())
    assert prior is not None
    assert (prior.content, prior.note) == (None, {"found": False, "remark": ""})
    assert prior.summary == "none found: no archive is configured"


def test_one_patient_id_and_two_persons_is_said_and_not_guessed(tmp_path: Path) -> None:
    with site(tmp_path) as node:
        node.reported(report(PatientBirthDate="19701231"))
        prior = node.priors.find(node.job(), node.images())
    assert prior is not None
    assert prior.content is None
    assert prior.note["remark"] == "An earlier report under this patient ID was not used, its birth date differs."


def test_a_pipeline_that_compares_nothing_is_given_nothing(tmp_path: Path) -> None:
    with site(tmp_path) as node:
        node.reported(report())
        assert node.priors.find(node.job("knee_super_resolution"), node.images()) is None


def test_images_without_a_patient_id_have_no_earlier_report(tmp_path: Path) -> None:
    with site(tmp_path) as node:
        node.reported(report(PatientID=""))
        prior = node.priors.find(node.job(), node.images(PatientID=""))
    assert prior is not None
    assert prior.note == {"found": False, "remark": "No earlier report was searched for: no patient ID."}


def test_a_repeat_is_given_the_same_report_though_there_is_a_later_one(tmp_path: Path) -> None:
    first, later = report(), report(StudyDate="20260101")
    with site(tmp_path) as node:
        images = node.images()
        node.reported(first)
        once = node.priors.find(node.job(), images)
        assert once is not None
        node.reported(later)
        again = node.priors.find(node.job(prior=once.note), images)
        assert again is not None
        assert (again.content, again.note) == (once.content, once.note)


def test_a_repeat_of_a_job_that_was_given_none_is_given_none(tmp_path: Path) -> None:
    with site(tmp_path) as node:
        images = node.images()
        once = node.priors.find(node.job(), images)
        assert once is not None
        node.reported(report())
        again = node.priors.find(node.job(prior=once.note), images)
        assert again is not None
        assert again.content is None


def test_a_repeat_fails_rather_than_take_another_report(tmp_path: Path) -> None:
    with site(tmp_path) as node:
        images = node.images()
        node.reported(report())
        once = node.priors.find(node.job(), images)
        assert once is not None
        note = {**once.note, "sha256": "0" * 64}
        with pytest.raises(JobFailed, match="cannot be fetched again"):
            node.priors.find(node.job(prior=note), images)


def test_reports_are_kept_for_as_long_as_is_configured(tmp_path: Path) -> None:
    with site(tmp_path, priors={"keep_days": 0}) as node:
        node.reported(report())
        assert not (node.configuration.node.data / "priors").exists()
    with site(tmp_path, priors={"keep_days": 100}) as node:
        node.reported(report())
        assert node.priors.purge() == 0
        (kept,) = (node.configuration.node.data / "priors").glob("*/*.dcm")
        os.utime(kept, (time.time() - 101 * 86400,) * 2)
        assert node.priors.purge() == 1


def test_neither_database_nor_file_names_nor_log_tell_who_the_patient_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    dead = {"kind": "dicomweb", "url": f"http://127.0.0.1:{free_port()}"}
    with site(tmp_path, **asking(dead)) as node:
        node.reported(report(PatientBirthDate="19701231"))
        node.priors.find(node.job(), node.images())
        with node.database.connect() as connection:
            rows = [
                str(row)
                for table in ("job", "event", "object")
                for row in connection.execute(text(f"select * from {table}"))
            ]
        names = [str(path) for path in node.configuration.node.data.rglob("*")]
    told = "\n".join([*rows, *names, *(record.getMessage() + str(record.__dict__) for record in caplog.records)])
    assert not any(value in told for value in ("K4711", "Muster", "19600229", "19701231"))


# ---- an archive
@pytest.mark.orthanc
@pytest.mark.parametrize("way", [by_dimse, by_web])
def test_an_archive_is_asked_where_the_node_has_no_report_of_its_own(tmp_path: Path, pacs: Archive, way: Any) -> None:
    last = report(StudyDate="20251224")
    for ds in (
        report(),
        last,
        report(StudyDate="20260101", SeriesDescription="Radiology report"),
        report(StudyDate="20260102", Manufacturer="Somebody"),
        report(StudyDate="20261231"),
        report(PatientID="K47110"),
    ):
        pacs.upload(part10(ds))
    with site(tmp_path, **asking(way(pacs))) as node:
        images = node.images()
        prior = node.priors.find(node.job(), images)
        assert prior is not None
        assert prior.content is not None
        assert prior.summary == f"{last.SOPInstanceUID} from pacs"
        assert pydicom.dcmread(io.BytesIO(prior.content)).StudyDate == "20251224"
        pacs.upload(part10(report(StudyDate="20260401")))
        again = node.priors.find(node.job(prior=prior.note), images)
        assert again is not None
        assert again.content == prior.content


@pytest.mark.orthanc
def test_both_ways_to_an_archive_bring_the_same_bytes(tmp_path: Path, pacs: Archive) -> None:
    pacs.upload(part10(report()))
    brought = []
    for way in (by_dimse, by_web):
        with site(tmp_path / way.__name__, **asking(way(pacs))) as node:
            prior = node.priors.find(node.job(), node.images())
        assert prior is not None
        assert prior.content is not None
        brought.append(prior.content)
    assert brought[0] == brought[1]


@pytest.mark.orthanc
def test_an_own_report_comes_before_the_archives(tmp_path: Path, pacs: Archive) -> None:
    own = report()
    pacs.upload(part10(report(StudyDate="20260101")))
    with site(tmp_path, **asking(by_web(pacs))) as node:
        node.reported(own)
        prior = node.priors.find(node.job(), node.images())
    assert prior is not None
    assert prior.note["sop_instance_uid"] == own.SOPInstanceUID


@pytest.mark.orthanc
@pytest.mark.parametrize("way", [by_dimse, by_web])
def test_a_report_of_another_person_in_the_archive_is_not_taken(tmp_path: Path, pacs: Archive, way: Any) -> None:
    pacs.upload(part10(report(PatientBirthDate="19701231")))
    pacs.upload(part10(report(IssuerOfPatientID="OTHER", StudyDate="20250505")))
    with site(tmp_path, **asking(way(pacs))) as node:
        prior = node.priors.find(node.job(), node.images())
    assert prior is not None
    assert prior.content is None
    assert "birth date" in prior.note["remark"]
    assert "issuer of the patient ID" in prior.note["remark"]


@pytest.mark.orthanc
@pytest.mark.parametrize("made_here", [False, True])  # then the node has it in its job's folder
def test_an_archive_without_c_get_moves_the_report_to_the_nodes_own_port(
    tmp_path: Path, pacs: Archive, made_here: bool
) -> None:
    last = report()
    pacs.upload(part10(last))
    receive = {
        "durability": "process",
        "disk_floor_mb": 0,
        "dimse": {"host": "127.0.0.1", "port": pacs.modalities["condyle"].port},
    }
    more = {"receive": receive, "peers": {"pacs": {"ae_title": pacs.ae_title}}}
    with (
        site(tmp_path, **asking(by_dimse(pacs), retrieve="move", keep_days=0), **more) as node,
        Receiver(node.configuration, node.database),
    ):
        if made_here:
            node.reported(last)
        prior = node.priors.find(node.job(), node.images())
    assert prior is not None
    assert prior.content is not None
    assert pydicom.dcmread(io.BytesIO(prior.content)).SOPInstanceUID == last.SOPInstanceUID


@pytest.mark.orthanc
@pytest.mark.parametrize("way", [by_dimse, by_web])
def test_an_archive_that_is_down_is_told_of_and_the_next_one_is_asked(
    tmp_path: Path, pacs: Archive, way: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pacs.upload(part10(report()))
    dead = {**by_web(pacs), "url": f"http://127.0.0.1:{free_port()}/dicom-web"}
    if way is by_dimse:
        dead = {**by_dimse(pacs), "port": free_port()}
    more = {"destinations": {"down": dead, "pacs": by_web(pacs)}, "priors": {"ask": ["down", "pacs"]}}
    with site(tmp_path, **more) as node:
        prior = node.priors.find(node.job(), node.images())
    assert prior is not None
    assert prior.content is not None
    assert prior.note["remark"].startswith("No earlier report could be searched in: down: ")
    assert "archive not searched" in caplog.messages


def test_where_no_archive_answers_the_job_goes_on_without(tmp_path: Path) -> None:
    dead = {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": free_port()}
    with site(tmp_path, **asking(dead)) as node:
        prior = node.priors.find(node.job(), node.images())
    assert prior is not None
    assert prior.content is None
    assert prior.note["remark"] == "No earlier report could be searched in: pacs: cannot be reached."
    assert prior.summary == "none found: pacs: cannot be reached"


@pytest.mark.orthanc
def test_a_patient_id_that_is_a_pattern_is_not_asked_for(tmp_path: Path, pacs: Archive) -> None:
    pacs.upload(part10(report()))
    for way in (by_dimse, by_web):
        with site(tmp_path / way.__name__, **asking(way(pacs))) as node:
            prior = node.priors.find(node.job(), node.images(PatientID="K*"))
            assert prior is not None
            assert "wildcard" in prior.note["remark"]


def test_a_silent_archive_costs_no_more_than_the_time_it_is_given(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for dead in (
            {"kind": "dicomweb", "url": f"http://127.0.0.1:{port}"},
            {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": port},
        ):
            with site(tmp_path / dead["kind"], **asking(dead, timeout_s=0.3)) as node:
                prior = node.priors.find(node.job(), node.images())
            assert prior is not None
            assert prior.note["remark"]


@pytest.mark.parametrize("filler", [0, 30_000], ids=["drips", "floods"])
def test_an_archive_that_drips_or_floods_costs_no_more_than_the_time_it_is_given(tmp_path: Path, filler: int) -> None:
    answer = pending(filler)
    with HostileArchive(then(partial(flood, message=answer) if filler else drip)) as archive:
        with site(tmp_path, **asking(hostile(archive), timeout_s=1.0 if filler else 0.4)) as node:
            prior = node.priors.find(node.job(), node.images())
        until(lambda: archive.ended, "the association is aborted")
    assert prior is not None
    assert prior.note["remark"].startswith("No earlier report could be searched in: pacs: ")
    assert "did not answer within" in prior.summary or "more than 500 answers" in prior.summary


def test_a_search_that_is_under_way_at_the_end_of_the_node_is_left_to_the_next_one(tmp_path: Path) -> None:
    with HostileArchive(then(drip)) as archive, site(tmp_path, **asking(hostile(archive), timeout_s=60.0)) as node:
        priors, job, images = node.priors, node.job(), node.images()
        with ThreadPoolExecutor() as threads:
            search = threads.submit(priors.find, job, images)
            until(lambda: archive.opened, "the archive is asked")
            priors.stop()
            with pytest.raises(BeingStopped):
                search.result()


class NeverAsked:
    """A reader that must not be given a byte."""

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        raise AssertionError(function)


@pytest.mark.parametrize("what", ["an image", "too large"])
def test_what_an_archive_names_as_a_report_is_looked_at_before_it_is_read(tmp_path: Path, what: str) -> None:
    """By C-MOVE it may name anything that the node has."""
    sop_class = str(Comprehensive3DSRStorage) if what == "too large" else MRImageStorage
    with site(tmp_path) as node:
        node.reader = NeverAsked()
        path = node.configuration.node.data / "instances" / "large.dcm"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.truncate(LARGEST + 1 if what == "too large" else 100)
        row = InstanceRow(
            sop_instance_uid="1.2.3",
            sop_class_uid=sop_class,
            series_instance_uid="1.2",
            study_instance_uid="1",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            path=path.name,
            size=LARGEST + 1,
            association_id="a",
            received=datetime.now(UTC),
        )
        with Session(node.database) as session, session.begin():
            session.add(row)
        with pytest.raises(NotUsable):
            node.priors._received("1.2.3", 10.0)
        if what == "too large":
            node.priors.keep(node.job(), [("1.2.3", path)])
            assert not (node.configuration.node.data / "priors").exists()


def hostile(archive: HostileArchive) -> dict[str, Any]:
    return {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": archive.port}


def test_an_archive_that_breaks_off_or_talks_nonsense_costs_no_job(tmp_path: Path) -> None:
    def broken(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        event.assoc.abort()
        yield 0xFF00, None

    async def nonsense(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'[{"0020000D": {"Value": [{"x": 1}]}, "00080020": 7}, 3]'})

    ae = AE("PACS")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    server = listen(ae, [(evt.EVT_C_FIND, broken)])
    try:
        dimse = {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": port_of(server)}
        with served(nonsense) as url:
            destinations = {"dimse": dimse, "web": {"kind": "dicomweb", "url": url}}
            with site(tmp_path, destinations=destinations, priors={"ask": ["dimse", "web"]}) as node:
                prior = node.priors.find(node.job(), node.images())
    finally:
        end(server)
    assert prior is not None
    assert prior.content is None
    assert prior.note["remark"] == "No earlier report could be searched in: dimse: no answer to C-FIND."


def test_only_archives_that_can_be_asked_may_be_configured(tmp_path: Path) -> None:
    folder = {"kind": "folder", "path": str(tmp_path)}
    mistakes = {"elsewhere": r"priors\.ask\.0: no destination", "results": r"priors\.ask\.0: is of kind folder"}
    for ask, mistake in mistakes.items():
        with pytest.raises(ValueError, match=mistake):
            Configuration.model_validate({"destinations": {"results": folder}, "priors": {"ask": [ask]}})
