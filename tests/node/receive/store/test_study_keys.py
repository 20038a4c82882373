"""Studies are found by their numbers, whether they came before or after the node kept digests of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.tables import InstanceRow, StudyKeyRow, StudyRow
from node.errors import StorageAway
from node.reading import HERE
from node.receive.store import receipt_import
from node.receive.store.receipt_log import Stored, decode, encode
from node.receive.store.study_keys import StudyKeys, without_accession
from node.study.patients import Person, accession_digest, marking_key, patient_id_digest
from tests import factories

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEY = b"k" * 32

pytestmark = pytest.mark.postgres


def stored(number: int, patient: str, accession: str | None) -> Stored:
    entry = Stored("p-1", f"1.2.{number}", "1.3", "1.4", "1.5", "MR", "1.6", f"a/{number}.dcm", 5, 3.5, True, None)
    digest = accession if accession is None else accession_digest(accession, KEY)
    return entry._replace(patient=Person(patient).marked(KEY), accession=digest)


def keys_of(database: Database, study: str) -> set[tuple[str, str]]:
    with Session(database) as session:
        rows = session.scalars(select(StudyKeyRow).where(StudyKeyRow.study_instance_uid == study))
        return {(row.kind, row.digest) for row in rows}


def test_receipts_say_by_what_their_study_is_found(tmp_path: Path, database: Database) -> None:
    imported = receipt_import.ReceiptImport(tmp_path, database)
    imported._bring_in([stored(1, "P1", "A 1"), stored(2, "P1", "a1"), stored(3, "P2", "")])
    imported._bring_in([stored(4, "P1", "A1")])
    assert keys_of(database, "1.5") == {
        ("accession", accession_digest("A1", KEY)),
        ("accession", ""),
        ("patient", patient_id_digest(" P1 ", KEY)),
        ("patient", patient_id_digest("P2", KEY)),
    }


def test_a_receipt_of_an_earlier_version_is_read_and_says_nothing_of_the_accession_number() -> None:
    entry = stored(1, "P1", "A1")
    earlier = encode(type("Stored", (tuple,), {})(entry[:-1]))
    read = decode(earlier.rstrip())
    assert isinstance(read, Stored)
    assert read.accession is None
    assert read[:-1] == entry[:-1]


def earlier_study(database: Database, tmp_path: Path, number: int, path: str) -> str:
    uid = f"1.5.{number}"
    with Session(database) as session, session.begin():
        session.add(StudyRow(study_instance_uid=uid, first_received=NOW, last_received=NOW))
        session.add(
            InstanceRow(
                sop_instance_uid=f"{uid}.1",
                sop_class_uid="1.3",
                series_instance_uid="1.4",
                study_instance_uid=uid,
                transfer_syntax_uid="1.2.840.10008.1.2.1",
                path=path,
                size=5,
                association_id="a",
                received=NOW,
            )
        )
    return uid


def test_numbers_of_earlier_studies_are_read_from_their_images(tmp_path: Path, database: Database) -> None:
    folder = tmp_path / "instances"
    study = factories.changed(factories.radiograph_study(folder), lambda _, ds: _with_accession(ds, "acc-7"))
    found = earlier_study(database, tmp_path, 1, study.instances[0].path.name)
    (folder / "none.dcm").write_bytes(b"")
    unreadable = earlier_study(database, tmp_path, 2, "none.dcm")
    without_images = earlier_study(database, tmp_path, 3, "a.dcm")
    with Session(database) as session, session.begin():
        session.delete(session.get_one(InstanceRow, f"{without_images}.1"))
    keys = StudyKeys(tmp_path, database, HERE)
    assert (keys.look(), keys.look()) == (3, 0)
    digest = accession_digest("ACC-7", marking_key(tmp_path))
    assert keys_of(database, found) == {("accession", digest)}
    assert keys_of(database, unreadable) == keys_of(database, without_images) == {("accession", "")}
    with Session(database) as session:
        assert not without_accession(session)


def test_what_cannot_be_read_now_is_left_for_the_next_start(tmp_path: Path, database: Database) -> None:
    uid = earlier_study(database, tmp_path, 1, "a.dcm")

    class Away:
        def call(self, *_: object) -> str:
            raise StorageAway

    keys = StudyKeys(tmp_path, database, Away())  # type: ignore[arg-type]
    assert (keys.look(), keys.look()) == (1, 0)
    assert keys_of(database, uid) == set()
    with Session(database) as session:
        assert without_accession(session)


def _with_accession(ds: Dataset, number: str) -> Dataset:
    ds.AccessionNumber = number
    return ds
