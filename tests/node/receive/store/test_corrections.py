"""Records that are about another file than the one that lies there are corrected, where that is whole."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database
from node.database.tables import AuditRow, DecisionRow, InstanceRow, SeriesRow
from node.reading import HERE, Reader, Readers
from node.receive.store.corrections import CORRECTED, ON_ITS_WAY_S, Corrections
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.store import Store
from node.route.completion import Completion
from node.route.deciding import Deciding
from node.route.dispatch import Dispatcher
from tests.node.receive.harness import mr, part10, put
from tests.node.receive.store.test_receipt_import import rows


def later() -> float:
    return time.time() + 2 * ON_ITS_WAY_S


def recorded_as_another(store: Store, database: Database, *images: Dataset) -> list[Path]:
    """Store the images; an earlier version recorded what others sent at the same time."""
    for ds in images:
        put(store, ds)
    data = store.instances.parent
    ReceiptImport(data, database).poll()
    with Session(database) as session, session.begin():
        changes = {"size": InstanceRow.size + 4, "transfer_syntax_uid": "1.2.840.10008.1.2", "turn": 0}
        session.execute(update(InstanceRow).values(changes))
        session.execute(update(SeriesRow).values(routed_instances=len(images), study_routed_instances=len(images)))
    return [store.instances / row.path for row in rows(database, InstanceRow)]


@pytest.mark.parametrize("apart", [False, True], ids=["here", "in a reader"])
def test_a_record_of_another_file_than_the_whole_one_that_is_there_is_corrected(
    store: Store, tmp_path: Path, database: Database, apart: bool
) -> None:
    ds = mr()
    (path,) = recorded_as_another(store, database, ds)
    (before,) = rows(database, InstanceRow)
    with contextlib.ExitStack() as stack:
        reader: Reader = stack.enter_context(Readers(1)) if apart else HERE
        assert Corrections(tmp_path, database, reader, later)([path]) == 1
    ReceiptImport(tmp_path, database).poll()
    (row,) = rows(database, InstanceRow)
    assert row.size == path.stat().st_size
    assert row.transfer_syntax_uid == ds.file_meta.TransferSyntaxUID
    assert (row.patient, row.association_id) == (before.patient, before.association_id)  # routes ask for its sender
    assert row.revision == 1  # a result may stand for the other one
    (series,) = rows(database, SeriesRow)
    assert (series.instances, series.routed_instances, series.study_routed_instances) == (1, 0, 0)
    (noted,) = [record for record in rows(database, AuditRow) if record.what == CORRECTED]
    assert noted.detail == {"count": 1, "first": ds.SOPInstanceUID}
    assert Corrections(tmp_path, database, HERE, later)([path]) == 0
    assert [path.name for path in store.receipts.folder.glob("*.journal")] == [f"{store.process}-000000.journal"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def of_another_series(path: Path) -> None:
    uid = dcmread(path, stop_before_pixels=True).SOPInstanceUID
    path.write_bytes(part10(mr(SOPInstanceUID=uid)))


def another_instance(path: Path) -> None:
    path.write_bytes(part10(mr()))


def no_instance(path: Path) -> None:
    path.write_bytes(b"\0" * 999)


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [cut, of_another_series, another_instance, no_instance, nothing, gone])
def test_what_is_no_whole_file_of_that_instance_stays_in_question(
    store: Store, tmp_path: Path, database: Database, damage: Callable[[Path], None]
) -> None:
    paths = recorded_as_another(store, database, mr())
    damage(paths[0])
    assert Corrections(tmp_path, database, HERE, later)(paths) == 0
    ReceiptImport(tmp_path, database).poll()
    (row,) = rows(database, InstanceRow)
    assert row.revision == 0


def test_a_deflated_one_cannot_be_seen_to_be_whole(store: Store, tmp_path: Path, database: Database) -> None:
    ds = mr()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert Corrections(tmp_path, database, HERE, later)(recorded_as_another(store, database, ds)) == 0


def test_the_receipt_of_what_came_just_now_is_on_its_way(store: Store, tmp_path: Path, database: Database) -> None:
    assert Corrections(tmp_path, database, HERE)(recorded_as_another(store, database, mr())) == 0


def test_what_is_replaced_while_it_is_read_has_a_receipt_already(
    store: Store, tmp_path: Path, database: Database
) -> None:
    ds = mr()
    paths = recorded_as_another(store, database, ds)

    class Slow:
        def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            found = function(*args, **kwargs)
            ds.StudyDescription = "knee"
            put(store, ds)
            return found

    assert Corrections(tmp_path, database, Slow(), later)(paths) == 0
    ReceiptImport(tmp_path, database).poll()
    (row,) = rows(database, InstanceRow)
    assert (row.size, row.times_received) == (paths[0].stat().st_size, 2)


def test_a_study_that_an_earlier_version_left_so_is_decided_about(
    store: Store, tmp_path: Path, database: Database
) -> None:
    images = [mr("1.2.3", "1.2.4", number) for number in range(3)]
    recorded_as_another(store, database, *images)
    with Session(database) as session, session.begin():
        session.execute(update(SeriesRow).values(routed_instances=0, study_routed_instances=0))
    route = {"pipeline": "knee_super_resolution", "destinations": ["out"], "when": {"Modality": "CT"}}
    configuration = Configuration.model_validate(
        {
            "node": {"data": str(tmp_path)},
            "routes": {"knee": route},
            "destinations": {"out": {"kind": "folder", "path": str(tmp_path / "out")}},
        }
    )

    def now() -> datetime:
        return datetime.now(UTC) + timedelta(hours=1)

    def decisions() -> int:
        with Session(database) as session:
            return len(session.scalars(select(DecisionRow)).all())

    seconds = 0.0
    deciding = Deciding(
        Completion(database, configuration.receive, now),
        Dispatcher(configuration, database, lambda _: None, now, HERE),
        lambda: seconds,
        correct=Corrections(tmp_path, database, HERE, later),
    )
    deciding.dispatch_complete()
    assert deciding.unread() is None  # the receipts may be on their way
    seconds += 2.0
    deciding.dispatch_complete()
    assert deciding.unread() is not None
    assert decisions() == 0
    ReceiptImport(tmp_path, database).poll()
    seconds += 2.0
    deciding.dispatch_complete()
    assert deciding.unread() is None
    assert decisions() > 0
    deciding.stop()
