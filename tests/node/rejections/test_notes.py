from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.current_patient import CurrentPatient
from dicom_sr.rejection_reasons import RejectionReason
from node.config import RejectionNoteSettings
from node.database import job_states
from node.database.connection import Database
from node.database.tables import KEY_OBJECTS, AuditRow, KeyObjectRow
from node.reading import HERE
from node.rejections.notes import RejectionNotes
from node.study.patients import Person, marking_key
from pipelines.records.record import Identity
from tests.node.database.rejecting import ME, STUDY, images, instance, key_object, rejected
from tests.node.database.withdrawing import NOON
from tests.node.rejections.test_acting import on
from tests.rejection_notes import image, rejection_note

QUALITY = RejectionReason.QUALITY


pytestmark = pytest.mark.postgres


@pytest.fixture
def stopped() -> list[str]:
    return []


@pytest.fixture
def notes(tmp_path: Path, database: Database, stopped: list[str]) -> Callable[..., RejectionNotes]:
    return lambda **settings: RejectionNotes(
        database, tmp_path, RejectionNoteSettings(**settings), HERE, stopped.append, lambda: NOON
    )


def came(session: Session, folder: Path, content: bytes | Dataset, uid: str = "1.9", patient: str = ME) -> None:
    """A document lies in the store, and nobody has looked into it."""
    session.add(instance(uid, sop_class_uid=KEY_OBJECTS))
    key_object(session, uid, patient)
    path = folder / f"{uid}.dcm"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.save_as(path, enforce_file_format=True)


def test_a_note_is_obeyed_and_what_worked_on_its_images_is_stopped(
    tmp_path: Path, database: Database, notes: Callable[..., RejectionNotes], stopped: list[str]
) -> None:
    with Session(database) as session, session.begin():
        uids = images(session)
        job_states.record(session, on("a", uids), NOON)
        came(session, tmp_path, rejection_note([image(1)], QUALITY))
    looking = notes()
    assert looking.look() == 1
    assert stopped == ["a" * 32]
    with Session(database) as session:
        assert rejected(session, uids[:1]) == {uids[0]: "113001"}
        (row,) = session.scalars(select(KeyObjectRow))
        (audit,) = session.scalars(select(AuditRow))
        assert (row.state, audit.detail["outcome"]) == ("obeyed", "obeyed: Rejected for Quality Reasons: 1 image")
        assert (audit.what, audit.study_instance_uid) == ("rejection note", STUDY)
        assert audit.detail["jobs"] == ["a" * 32]


def test_a_job_that_was_made_while_the_note_was_read_is_stopped_in_the_next_round(
    tmp_path: Path, database: Database, notes: Callable[..., RejectionNotes], stopped: list[str]
) -> None:
    with Session(database) as session, session.begin():
        uids = images(session)
        came(session, tmp_path, rejection_note([image(1)], QUALITY))
    looking = notes()
    looking.look()
    with Session(database) as session, session.begin():
        job_states.record(session, on("b", uids), NOON)
    assert looking.look() == 0
    assert stopped == ["b" * 32]


def test_a_damaged_note_is_refused_and_costs_no_other_anything(
    tmp_path: Path, database: Database, notes: Callable[..., RejectionNotes]
) -> None:
    with Session(database) as session, session.begin():
        uids = images(session)
        came(session, tmp_path, b"\0" * 128 + b"DICM" + b"no data set", "1.8")
        came(session, tmp_path, rejection_note([image(1)], QUALITY))
    looking = notes()
    for _ in range(3):
        looking.look()
    with Session(database) as session:
        found = {row.sop_instance_uid: row for row in session.scalars(select(KeyObjectRow))}
        assert "1.8" not in found or found["1.8"].state == "refused"
        assert rejected(session, uids[:1]) == {uids[0]: "113001"}


def test_a_note_whose_file_cannot_be_read_now_waits_and_holds_no_other_up(
    tmp_path: Path, database: Database, notes: Callable[..., RejectionNotes]
) -> None:
    with Session(database) as session, session.begin():
        uids = images(session)
        came(session, tmp_path, rejection_note([image(2)], QUALITY), "1.8")
        came(session, tmp_path, rejection_note([image(1)], QUALITY))
    (tmp_path / "1.8.dcm").rename(tmp_path / "away")
    looking = notes()
    assert looking.look() == 2
    assert looking.look() == 0
    (tmp_path / "away").rename(tmp_path / "1.8.dcm")
    assert notes().look() == 1  # after a restart, or a minute
    with Session(database) as session:
        assert rejected(session, uids) == {uids[0]: "113001", uids[1]: "113001", uids[2]: ""}


@pytest.mark.parametrize(("title", "settings"), [("113000", {}), ("113001", {"action": "ignore"})])
def test_what_is_no_rejection_note_or_is_ignored_leaves_nothing_behind(
    tmp_path: Path,
    database: Database,
    notes: Callable[..., RejectionNotes],
    title: str,
    settings: dict[str, str],
) -> None:
    with Session(database) as session, session.begin():
        uids = images(session)
        came(session, tmp_path, rejection_note([image(1)], title))
    assert notes(**settings).look() == 1
    with Session(database) as session:
        assert session.scalars(select(KeyObjectRow)).all() == []
        assert session.scalars(select(AuditRow)).all() == []
        assert set(rejected(session, uids).values()) == {""}


class Merged:
    """Patients A and OLDER were merged into B."""

    def current(self, who: Identity) -> CurrentPatient | None:
        return CurrentPatient("B", "", "", "", "") if who.patient_id in ("A", "OLDER", "B") else None

    def earlier(self, who: Identity) -> tuple[Identity, ...]:
        return (Identity("A"), Identity("OLDER")) if who.patient_id == "B" else ()


@pytest.mark.parametrize(
    ("of_note", "of_images", "told", "becomes"),
    [
        ("A", "B", Merged(), "obeyed"),
        ("B", "A", Merged(), "obeyed"),
        ("A", "OLDER", Merged(), "obeyed"),
        ("A", "C", Merged(), "refused"),
        ("A", "B", None, "refused"),
    ],
)
def test_a_note_counts_for_images_under_every_patient_id_of_a_merged_patient(
    tmp_path: Path, database: Database, of_note: str, of_images: str, told: Merged | None, becomes: str
) -> None:
    folder, key = tmp_path / "instances", marking_key(tmp_path)
    folder.mkdir()
    with Session(database) as session, session.begin():
        uids = images(session, patient=Person(of_images).marked(key))
        note = rejection_note([image(1)], QUALITY, PatientID=of_note)
        came(session, folder, note, patient=Person(of_note).marked(key))
    settings = RejectionNoteSettings()
    RejectionNotes(database, folder, settings, HERE, lambda job: None, lambda: NOON, told).look()
    with Session(database) as session:
        assert session.scalars(select(KeyObjectRow)).one().state == becomes
        assert rejected(session, uids[:1]) == {uids[0]: "113001" if becomes == "obeyed" else ""}
