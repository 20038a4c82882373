"""Rejection notes on a real node: before its images, after its result, and by STOW-RS."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import Dataset

from dicom_sr import phantoms
from dicom_sr.rejection_reasons import RejectionReason
from node.database.jobs import JobState
from node.database.tables import JobRow
from tests.rejection_notes import rejection_note
from tests.running import RunningNode
from tests.test_flow import folder_node, fresh
from tests.waiting import until

QUALITY, WORKLIST = RejectionReason.QUALITY, RejectionReason.WORKLIST_ENTRY


@pytest.fixture(scope="module")
def knee(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A simulated knee of 12 slices."""
    header = phantoms.study_header(phantoms.Person(), "rejected", "Simulated knee")
    return phantoms.write_knee_mr(tmp_path_factory.mktemp("knee"), header, (12, 64, 64), (4.0, 2.5, 2.5))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with folder_node(tmp_path_factory.mktemp("node"), receive={"rejection_notes": {"action": "withdraw"}}) as node:
        yield node


def the_job_on(node: RunningNode, study: str, images: int) -> JobRow:
    """The job of a study on so many images, once it has ended."""

    def question() -> JobRow | None:
        found = [job for job in node.jobs(study) if len(job.sop_instance_uids) == images]
        return found[0] if found and found[0].state in (JobState.DONE, JobState.FAILED) else None

    job = until(question, f"a job on {images} images has ended")
    assert job is not None
    return job


def stow(node: RunningNode, ds: Dataset) -> int:
    part = BytesIO()
    ds.save_as(part, enforce_file_format=True)
    body = b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + part.getvalue() + b"\r\n--cut--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=cut'
    return httpx.post(
        f"http://127.0.0.1:{node.page}/dicom-web/studies", content=body, headers={"Content-Type": kind}, timeout=30
    ).status_code


def test_a_result_of_images_that_are_rejected_is_taken_back_and_the_rest_is_run_anew(
    node: RunningNode, knee: list[Path]
) -> None:
    sent = fresh(knee, counted=True)
    assert set(node.send(sent.images)) == {0}
    first = the_job_on(node, sent.study, 12)
    assert first.state == JobState.DONE
    assert stow(node, rejection_note(sent.images[:2], WORKLIST)) == 200
    second = the_job_on(node, sent.study, 10)
    assert (second.state, second.predecessor) == (JobState.DONE, first.id)
    assert set(second.sop_instance_uids) == {str(ds.SOPInstanceUID) for ds in sent.images[2:]}
    first = the_job_on(node, sent.study, 12)
    assert first.rejected == "2 of 12 images of the job rejected: Incorrect Modality Worklist Entry"
    assert first.withdrawn is not None
    page = httpx.get(f"http://127.0.0.1:{node.page}/jobs/{first.id}", timeout=10, follow_redirects=True).text
    assert first.rejected in page


def test_a_note_right_after_its_images_leaves_no_result_of_them_unmarked(node: RunningNode, knee: list[Path]) -> None:
    sent = fresh(knee, counted=True)
    assert set(node.send([*sent.images, rejection_note(sent.images[:2], RejectionReason.PATIENT_SAFETY)])) == {0}
    assert the_job_on(node, sent.study, 10).state == JobState.DONE
    whole = [job for job in node.jobs(sent.study) if len(job.sop_instance_uids) == 12]
    assert all(job.rejected for job in whole)
    again = rejection_note(sent.images[2:], RejectionReason.PATIENT_SAFETY)
    assert set(node.send([again])) == {0}
    until(lambda: the_job_on(node, sent.study, 10).rejected, "the other job is marked too")
    assert len(node.jobs(sent.study)) == 1 + len(whole)


def test_images_that_come_after_the_note_that_rejects_them_are_kept_and_not_processed(
    node: RunningNode, knee: list[Path]
) -> None:
    sent = fresh(knee, counted=True)
    note = rejection_note(sent.images[:2], QUALITY)
    foreign = rejection_note(sent.images[2:4], QUALITY, PatientID="somebody else")
    assert set(node.send([note, foreign])) == {0}
    assert set(node.send(sent.images)) == {0}
    job = the_job_on(node, sent.study, 10)
    assert job.state == JobState.DONE
    assert [len(one.sop_instance_uids) for one in node.jobs(sent.study)] == [10]
