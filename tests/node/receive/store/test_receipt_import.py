"""Journals into the database: once, in order, over crashes of either side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from node.database.tables import AssociationRow, AuditRow, Base, InstanceRow, SeriesRow, open_database
from node.receive.store.locks import Duty, take_place
from node.receive.store.receipt_import import Recorder
from node.receive.store.receipt_log import Closed, Journal, Noted, Opened, Refused, Stored, decode, encode, is_abandoned

AT = 1_800_000_000.0


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    sqlite = f"sqlite:///{tmp_path}/node.db"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    engine = open_database(url)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def recorder(tmp_path: Path, engine: Engine) -> Recorder:
    return Recorder(tmp_path, engine)


def stored(association: str, number: int, at: float = AT, expected: int | None = None) -> Stored:
    uid = f"1.2.3.{number}"
    return Stored(association, uid, "1.2", "1.2.4", "1.2.5", "MR", "1.2.840.10008.1.2", "ab/x", 9, at, False, expected)


def rows(engine: Engine, record: Any) -> list[Any]:
    with Session(engine) as session:
        found = session.scalars(select(record)).all()
        session.expunge_all()
    return list(found)


def counts(engine: Engine) -> list[tuple[int, int | None]]:
    return [(row.instances, row.expected) for row in rows(engine, SeriesRow)]


def test_an_association_and_its_instances_are_recorded(tmp_path: Path, engine: Engine, recorder: Recorder) -> None:
    journal = Journal(tmp_path / "receipts")
    name = f"{journal.process}-1"
    journal.append(Opened(name, "dimse", "SCANNER", "CONDYLE", "::1", AT))
    for number in range(3):
        journal.append(stored(name, number, AT + number))
    assert recorder.poll() == 4
    assert counts(engine) == [(3, None)]
    assert rows(engine, AssociationRow)[0].ended is None
    journal.append(Closed(name, AT + 9, "released", "", 3, 0))
    journal.append(Noted(AT, "disk low", "", {"free_bytes": 1}))
    journal.append(Refused(f"{name}x", "dimse", "EVIL", "CONDYLE", "10.0.0.1", AT, "Called AE title is not ours"))
    assert recorder.poll() == 3
    outcomes = {row.outcome: row.stored for row in rows(engine, AssociationRow)}
    assert outcomes == {"released": 3, "refused": 0}
    assert [row.what for row in rows(engine, AuditRow)] == ["disk low", "association refused"]
    journal.close()
    recorder.poll()
    assert [path.name for path in (tmp_path / "receipts").iterdir()] == ["recorder.lock"]


def test_what_a_crash_left_behind_is_recorded_before_anybody_can_ask_what_is_complete(
    tmp_path: Path, engine: Engine, recorder: Recorder
) -> None:
    journal = Journal(tmp_path / "receipts")
    for number in range(200):
        journal.append(stored(f"{journal.process}-1", number))
    recorder.start()
    try:
        assert counts(engine) == [(200, None)]
    finally:
        recorder.stop()
        journal.close()


def test_reading_a_journal_twice_counts_nothing_twice(tmp_path: Path, engine: Engine, recorder: Recorder) -> None:
    journal = Journal(tmp_path / "receipts")
    name = f"{journal.process}-1"
    journal.append(Opened(name, "dimse", "", "", "", AT))
    journal.append(stored(name, 1))
    journal.append(stored(name, 1, AT + 5))
    journal.append(stored(name, 2))
    recorder.poll()
    for mark in (tmp_path / "receipts").glob("*.read"):
        mark.unlink()  # as if the note of how far it was read had been lost
    assert Recorder(tmp_path, engine).once()
    assert counts(engine) == [(2, None)]
    received = {row.sop_instance_uid: row.times_received for row in rows(engine, InstanceRow)}
    assert received["1.2.3.2"] == 1
    journal.close()


def test_a_line_cut_short_by_a_crash_is_no_receipt(tmp_path: Path, engine: Engine, recorder: Recorder) -> None:
    journal = Journal(tmp_path / "receipts")
    name = f"{journal.process}-1"
    journal.append(Opened(name, "dimse", "", "", "", AT))
    journal.append(stored(name, 1))
    (segment,) = (tmp_path / "receipts").glob("*.journal")
    with segment.open("ab") as file:
        file.write(encode(stored(name, 2))[:-20])
    os.close(journal._fd)  # the process dies: its lock is gone
    assert is_abandoned(segment)
    recorder.poll()
    assert [row.sop_instance_uid for row in rows(engine, InstanceRow)] == ["1.2.3.1"]
    (association,) = rows(engine, AssociationRow)
    assert (association.outcome, association.reason) == ("lost", "The receiving process ended")
    assert [path.name for path in (tmp_path / "receipts").iterdir()] == ["recorder.lock"]


def test_a_long_journal_goes_on_in_new_segments(
    tmp_path: Path, engine: Engine, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.receive.store.receipt_log.MAXIMUM_SEGMENT", 2000)
    journal = Journal(tmp_path / "receipts")
    name = f"{journal.process}-1"
    journal.append(Opened(name, "dimse", "", "", "", AT))
    for number in range(50):
        journal.append(stored(name, number))
    assert len(list((tmp_path / "receipts").glob("*.journal"))) > 3
    recorder.poll()
    assert counts(engine) == [(50, None)]
    assert len(list((tmp_path / "receipts").glob("*.journal"))) == 1
    assert rows(engine, AssociationRow)[0].ended is None  # a finished segment is not a dead process
    journal.close()


def test_where_headers_disagree_the_larger_count_is_expected(
    tmp_path: Path, engine: Engine, recorder: Recorder
) -> None:
    journal = Journal(tmp_path / "receipts")
    for number, expected in enumerate([None, 5, 7, 6, None]):
        journal.append(stored(f"{journal.process}-1", number, expected=expected))
        recorder.poll()
    assert counts(engine) == [(5, 7)]
    journal.close()


def test_a_database_that_is_away_costs_no_receipt(
    tmp_path: Path, engine: Engine, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "receipts")
    journal.append(stored(f"{journal.process}-1", 1))

    def away(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("away"))

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "_write", away)
        with pytest.raises(OperationalError):
            recorder.poll()
    recorder.poll()
    assert counts(engine) == [(1, None)]
    journal.close()


def test_an_entry_that_the_database_refuses_stops_no_other(tmp_path: Path, engine: Engine, recorder: Recorder) -> None:
    journal = Journal(tmp_path / "receipts")
    name = f"{journal.process}-1"
    journal.append(stored(name, 1))
    journal.append(stored(name, 2)._replace(modality=None))  # type: ignore[arg-type]  # NOT NULL says no
    journal.append(stored(name, 3)._replace(sop_class_uid=None))  # type: ignore[arg-type]
    journal.append(stored(name, 4))
    recorder.poll()
    assert {"1.2.3.1", "1.2.3.4"} <= {row.sop_instance_uid for row in rows(engine, InstanceRow)}
    journal.close()


def test_only_one_process_has_the_duty(tmp_path: Path) -> None:
    one, two = Duty(tmp_path / "duty"), Duty(tmp_path / "duty")
    assert one.is_mine()
    assert one.is_mine()
    assert not two.is_mine()
    one.close()
    assert two.is_mine()
    two.close()


def test_places_are_counted_and_given_back(tmp_path: Path) -> None:
    held = [take_place(tmp_path / "places", 3) for _ in range(4)]
    assert [place is not None for place in held] == [True, True, True, False]
    assert held[1] is not None
    os.close(held[1])
    again = take_place(tmp_path / "places", 3)
    assert again is not None
    for place in (held[0], held[2], again):
        assert place is not None
        os.close(place)


@pytest.mark.parametrize("spoilt", [b"", b"x", b"00000000 []", b"zzzzzzzz []", b'deadbeef ["Stored"]'])
def test_what_is_no_entry_is_none(spoilt: bytes) -> None:
    assert decode(spoilt) is None


def test_an_entry_survives_its_line() -> None:
    entry = stored("a-1", 7, expected=24)
    assert decode(encode(entry).rstrip(b"\n")) == entry
