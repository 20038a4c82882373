from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from node.database import job_states, withdrawals
from node.database.tables import WithdrawalRow
from node.send.lane import Lane
from tests.deleting_archive import deleting
from tests.node.send.outgoing import START, HandClock, Outgoing, Peer, destinations, outgoing
from tests.orthanc import Archive
from tests.serving import served

WHY = "model 1.2.0 scored left hands as right ones"


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


class HearingArchive:
    """An archive that answers C-FIND, takes rejection notes, and lists no longer what they name."""

    def __init__(self, *, hears: bool = True) -> None:
        classes = (*Peer().classes, *((KeyObjectSelectionDocumentStorage,) if hears else ()))
        self.peer = Peer(classes=classes)
        self.studies: list[Dataset] = []
        self.handlers = [(evt.EVT_C_FIND, self._find)]

    def __call__(self, ae: AE) -> None:
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)

    @property
    def notes(self) -> list[Dataset]:
        found = [dcmread(BytesIO(data), force=True) for _, data, _ in self.peer.received]
        return [one for one in found if one.SOPClassUID == KeyObjectSelectionDocumentStorage]

    @property
    def rejected(self) -> set[str]:
        evidence = [of for note in self.notes for of in note.CurrentRequestedProcedureEvidenceSequence]
        return {
            str(one.ReferencedSOPInstanceUID)
            for of in evidence
            for series in of.ReferencedSeriesSequence
            for one in series.ReferencedSOPSequence
        }

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        if query.QueryRetrieveLevel == "STUDY":
            yield from ((0xFF00, study) for study in self.studies)
            return
        for uid, data, _ in self.peer.received:
            held = dcmread(BytesIO(data), force=True)
            if held.SeriesInstanceUID == query.SeriesInstanceUID and uid not in self.rejected:
                match = Dataset()
                match.QueryRetrieveLevel, match.SOPInstanceUID = "IMAGE", uid
                yield 0xFF00, match


def lane(out: Outgoing, clock: HandClock, destination: dict[str, Any]) -> Lane:
    configuration = destinations(pacs=destination)
    return Lane("pacs", configuration.destinations["pacs"], "CONDYLE", out.database, clock, data=out.folder)


def drain(of: Lane) -> None:
    while of.turn():
        pass


def withdraw(out: Outgoing, job: str, clock: HandClock) -> None:
    with Session(out.database) as session, session.begin():
        reason = RejectionReason.PATIENT_SAFETY
        withdrawals.withdraw(session, job, reason=reason, why=WHY, by="mary", now=clock())


def sent_and_withdrawn(out: Outgoing, sender: Lane, clock: HandClock) -> str:
    """Have a job's result sent and then taken back, as far as the lane gets; the job."""
    job = out.job("pacs")
    drain(sender)
    withdraw(out, job, clock)
    drain(sender)
    return job


def row(out: Outgoing) -> WithdrawalRow:
    with Session(out.database) as session:
        return session.scalars(select(WithdrawalRow)).one()


def test_an_archive_gets_a_rejection_note_and_the_proof_says_what_it_had_and_has(
    out: Outgoing, clock: HandClock
) -> None:
    archive = HearingArchive()
    with archive.peer.listen([archive]) as port:
        sender = lane(out, clock, archive.peer.destination(port, withdraw="iocm"))
        job = out.job("pacs", kinds=["secondary_capture", "report"])
        drain(sender)
        withdraw(out, job, clock)
        drain(sender)
    (note,) = archive.notes
    assert archive.rejected == {line.sop_instance_uid for line in out.lines(job)}
    assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
    assert (note.PatientID, note.StudyInstanceUID) == ("K4711", out.job_record(job).study_instance_uid)
    found = row(out)
    assert (found.state, found.held_before, found.held_after, found.still_held) == ("done", 2, 0, [])
    assert (found.way, found.note_uid, found.asked) == ("iocm", note.SOPInstanceUID, START)
    assert out.events(job)[-1] == (
        "taken back",
        "pacs: told (iocm): 0x0000; asked, it has none of 2 objects",
    )
    assert not list((out.folder / "withdrawals").iterdir())


def test_a_node_that_was_killed_after_telling_tells_the_same_again_and_keeps_what_was_there_first(
    out: Outgoing, clock: HandClock
) -> None:
    archive = HearingArchive()
    with archive.peer.listen([archive]) as port:
        sender = lane(out, clock, archive.peer.destination(port, withdraw="iocm"))
        sent_and_withdrawn(out, sender, clock)
        with Session(out.database) as session, session.begin():  # as it was before the answer was written down
            session.get_one(WithdrawalRow, row(out).id).state = "waiting"
        clock.wait(60)
        drain(sender)
    first, second = [data for uid, data, _ in archive.peer.received if uid == row(out).note_uid]
    assert first == second
    assert (row(out).state, row(out).held_before, row(out).held_after) == ("done", 1, 0)


def test_an_archive_that_is_away_is_told_when_it_is_back(out: Outgoing, clock: HandClock) -> None:
    archive = HearingArchive()
    with archive.peer.listen([archive]) as port:
        sender = lane(out, clock, archive.peer.destination(port, withdraw="iocm"))
        job = out.job("pacs")
        drain(sender)
    withdraw(out, job, clock)
    drain(sender)
    assert (row(out).state, row(out).attempts) == ("waiting", 1)
    assert "pacs" in row(out).answer
    clock.wait(600)
    with archive.peer.listen([archive], port=port):
        drain(sender)
    assert (row(out).state, row(out).held_after) == ("done", 0)


def test_what_was_said_to_the_note_is_kept_while_the_archive_is_away(
    out: Outgoing, clock: HandClock, orthanc: Archive
) -> None:
    sender = lane(out, clock, {"kind": "dicomweb", "url": f"{orthanc.url}/dicom-web", "withdraw": "iocm"})
    sent_and_withdrawn(out, sender, clock)
    said = row(out).answer
    assert (row(out).state, said.startswith("0x0000")) == ("told", True)
    orthanc.stop()
    clock.wait(60)
    drain(sender)
    assert (row(out).state, row(out).answer) == ("told", said)


def test_an_archive_that_takes_the_note_and_keeps_all_is_asked_again_and_the_proof_names_what_is_left(
    out: Outgoing, clock: HandClock, orthanc: Archive
) -> None:
    destination = {"kind": "dicomweb", "url": f"{orthanc.url}/dicom-web", "withdraw": "iocm"}
    sender = lane(out, clock, destination)
    job = sent_and_withdrawn(out, sender, clock)
    assert (row(out).state, row(out).held_before, row(out).held_after) == ("told", 1, 1)
    for _ in range(3):
        clock.wait(300)
        drain(sender)
    (line,) = out.lines(job)
    assert (row(out).state, row(out).held_after, row(out).still_held) == ("done", 1, [line.sop_instance_uid])
    assert orthanc.find("Instance", SOPInstanceUID=row(out).note_uid)
    assert out.events(job)[-1][1].endswith("asked, it still has 1 of 1 object")


@pytest.mark.parametrize("deletes", [True, False])
def test_a_dicomweb_server_that_deletes_has_nothing_left_and_one_that_does_not_has_refused(
    out: Outgoing, clock: HandClock, orthanc: Archive, *, deletes: bool
) -> None:
    with served(deleting(orthanc)) if deletes else nullcontext(orthanc.url) as url:
        sender = lane(out, clock, {"kind": "dicomweb", "url": f"{url}/dicom-web", "withdraw": "delete-dicomweb"})
        job, other = out.job("pacs", kinds=["secondary_capture", "report"]), out.job("pacs")
        drain(sender)
        withdraw(out, job, clock)
        drain(sender)
        withdrawn = [orthanc.find("Instance", SOPInstanceUID=line.sop_instance_uid) for line in out.lines(job)]
        (kept,) = out.lines(other)
        assert orthanc.find("Instance", SOPInstanceUID=kept.sop_instance_uid)
    assert [bool(found) for found in withdrawn] == [not deletes] * 2
    if deletes:
        assert (row(out).state, row(out).answer) == ("done", "HTTP 204")
        assert (row(out).held_before, row(out).held_after) == (2, 0)
    else:
        assert (row(out).state, row(out).held_after) == ("refused", 2)
        assert row(out).answer.endswith("the server does not delete objects by DICOMweb")


@pytest.mark.parametrize(("status", "state"), [(403, "refused"), (500, "waiting")])
def test_a_server_that_forbids_deleting_still_gets_results(
    out: Outgoing, clock: HandClock, orthanc: Archive, status: int, state: str
) -> None:
    with served(deleting(orthanc, status)) as url:
        sender = lane(out, clock, {"kind": "dicomweb", "url": f"{url}/dicom-web", "withdraw": "delete-dicomweb"})
        jobs = [out.job("pacs") for _ in range(3)]
        drain(sender)
        for job in jobs:
            withdraw(out, job, clock)
        drain(sender)
        later = out.job("pacs")
        drain(sender)
    assert out.states(later) == ["delivered"]
    with Session(out.database) as session:
        assert {one.state for one in session.scalars(select(WithdrawalRow))} == {state}


def test_an_archive_that_refuses_the_class_of_notes_is_said_to_have_refused(out: Outgoing, clock: HandClock) -> None:
    archive = HearingArchive(hears=False)
    with archive.peer.listen([archive]) as port:
        sender = lane(out, clock, archive.peer.destination(port, withdraw="iocm"))
        sent_and_withdrawn(out, sender, clock)
    assert (row(out).state, row(out).held_after) == ("refused", 1)
    assert row(out).answer == "pacs does not take the class Key Object Selection Document Storage"


def test_a_destination_that_is_to_be_told_nothing_is_only_asked_what_it_has(out: Outgoing, clock: HandClock) -> None:
    archive = HearingArchive()
    with archive.peer.listen([archive]) as port:
        sender = lane(out, clock, archive.peer.destination(port))
        sent_and_withdrawn(out, sender, clock)
    assert archive.notes == []
    assert (row(out).state, row(out).held_before, row(out).held_after) == ("left", 1, 1)


def test_nobody_asks_after_what_a_later_result_replaces_where_nothing_is_told(out: Outgoing, clock: HandClock) -> None:
    archive = HearingArchive()
    with archive.peer.listen([archive]) as port:
        sender = lane(out, clock, archive.peer.destination(port))
        before, after = out.job("pacs"), out.job("pacs")
        with Session(out.database) as session, session.begin():
            job_states.locked(session, after).predecessor = before
        drain(sender)
    assert (row(out).state, row(out).asked, row(out).held_before) == ("left", None, None)
    assert "taken back" not in {what for what, _ in out.events(before)}


def test_the_note_of_a_result_whose_files_are_gone_says_whose_it_is_as_the_archive_does(
    out: Outgoing, clock: HandClock
) -> None:
    archive = HearingArchive()
    with archive.peer.listen([archive]) as port:
        sender = lane(out, clock, archive.peer.destination(port, withdraw="iocm"))
        job = out.job("pacs")
        drain(sender)
        for file in out.folder.glob("*.dcm"):
            file.unlink()
        study = Dataset()
        study.QueryRetrieveLevel, study.StudyInstanceUID = "STUDY", out.job_record(job).study_instance_uid
        study.PatientID, study.PatientName, study.StudyDescription = "NEW-ID", "Muster^Erika", "Hands"
        withdraw(out, job, clock)
        drain(sender)
        assert (row(out).state, row(out).answer.split(",")[0]) == (
            "refused",
            "its files are no longer stored (run.keep_jobs_days)",
        )
        archive.studies = [study]
        clock.wait(60)
        withdraw(out, job, clock)
        drain(sender)
    (note,) = archive.notes
    assert (note.PatientID, note.StudyInstanceUID) == ("NEW-ID", study.StudyInstanceUID)
    assert row(out).state == "done"


def test_a_dicomweb_server_says_whose_study_it_is_where_the_files_are_gone(
    out: Outgoing, clock: HandClock, orthanc: Archive
) -> None:
    sender = lane(out, clock, {"kind": "dicomweb", "url": f"{orthanc.url}/dicom-web", "withdraw": "iocm"})
    job = out.job("pacs")
    drain(sender)
    for file in out.folder.glob("*.dcm"):
        file.unlink()
    withdraw(out, job, clock)
    drain(sender)
    (note,) = orthanc.find("Instance", SOPInstanceUID=row(out).note_uid)
    found = dcmread(BytesIO(orthanc.download(note)))
    assert (found.PatientID, str(found.PatientName)) == ("K4711", "Muster^Erika")


def test_a_folder_gets_the_note_beside_the_files_that_it_names(out: Outgoing, clock: HandClock, tmp_path: Path) -> None:
    sender = lane(out, clock, {"kind": "folder", "path": str(tmp_path / "results"), "withdraw": "iocm"})
    sent_and_withdrawn(out, sender, clock)
    assert (row(out).state, row(out).held_before, row(out).held_after) == ("told", 1, 1)
    (note,) = (tmp_path / "results").rglob(f"{row(out).note_uid}.dcm")
    assert dcmread(note).PatientID == "K4711"


def test_what_is_still_being_sent_is_sent_before_the_one_before_it_is_taken_back(
    out: Outgoing, clock: HandClock
) -> None:
    archive = HearingArchive()
    with archive.peer.listen([archive]) as port:
        sender = lane(out, clock, archive.peer.destination(port, withdraw="iocm"))
        before, after = out.job("pacs"), out.job("pacs")
        with Session(out.database) as session, session.begin():
            job_states.locked(session, after).predecessor = before
        clock.wait(timedelta(seconds=1).total_seconds())
        drain(sender)
    (note,) = archive.notes
    assert archive.rejected == {line.sop_instance_uid for line in out.lines(before)}
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    assert (row(out).successor, row(out).state, row(out).held_after) == (after, "done", 0)
