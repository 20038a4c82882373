"""Instances as files: names, replacement, and partials that nobody writes any more."""

from __future__ import annotations

import contextlib
import copy
import errno
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from node.files import rename_new
from node.receive.status import NotStored, Status
from node.receive.store import instance_files
from node.receive.store.receipt_log import Entry, Failed, Stored, decode_all
from node.receive.store.retention import delete_file
from node.receive.store.store import Store
from tests.links import without_links
from tests.node.receive.harness import data_set, mr, part10, partials, put, stored_files

PIXELS = b"\xe0\x7f\x10\x00"  # their tag


def test_a_uid_never_becomes_a_path(store: Store) -> None:
    arrival = store.open("dimse")
    for uid in ("../../../../tmp/x", "/etc/passwd", "", "1.2.3\0.4", "a" * 300):
        incoming = store.begin(arrival, "1.2.840.10008.5.1.4.1.1.4", uid, str(ExplicitVRLittleEndian))
        incoming.write(data_set(mr()))
        with pytest.raises(NotStored) as caught:
            incoming.commit()
        assert caught.value.status == Status.INVALID_INSTANCE
        assert store.find(uid) is None
    assert partials(store.spool.parent) == []
    assert arrival.failed == 5


def test_the_same_instance_twice_at_once_is_whole_either_way(store: Store, tmp_path: Path) -> None:
    ds = mr(side=100)
    threads = [threading.Thread(target=put, args=(store, ds, 333)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (content,) = stored_files(tmp_path).values()
    assert content.endswith(data_set(ds))
    assert partials(tmp_path) == []


def test_partials_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path, "process")) as living:
        ds = mr()
        arrival = living.open("dimse")
        incoming = living.begin(arrival, str(ds.SOPClassUID), str(ds.SOPInstanceUID), ExplicitVRLittleEndian)
        incoming.write(data_set(ds)[:200])
        (tmp_path / "spool" / "feedfeedfeed-3.part").write_bytes(b"x")
        (tmp_path / "spool" / f"{living.process}-999.part").write_bytes(b"x")
        with contextlib.closing(Store(tmp_path, "process")):
            assert len(partials(tmp_path)) == 2  # another process cannot know which of a living one's are forgotten
        assert living.sweep() == 1
        incoming.write(data_set(ds)[200:])
        incoming.commit()


TAKEN = [
    ({"PatientID": "OTHER"}, "patient"),
    ({"PatientBirthDate": "19700101"}, "patient"),
    ({"PatientSex": "M"}, "patient"),
    ({"StudyInstanceUID": "1.2.3", "PatientID": "OTHER"}, "patient"),
    ({"StudyInstanceUID": "1.2.3"}, "study"),
    ({"SeriesInstanceUID": "1.2.3"}, "series"),
]


@pytest.mark.parametrize(("changes", "whose"), TAKEN)
def test_an_instance_never_takes_the_place_of_another_patients_studys_or_series_instance(
    store: Store, tmp_path: Path, changes: dict[str, str], whose: str
) -> None:
    first = mr(PatientBirthDate="19600229", PatientSex="F")
    put(store, first)
    second = copy.deepcopy(first)
    for keyword, value in changes.items():
        setattr(second, keyword, value)
    with pytest.raises(NotStored, match=f"another {whose}'s") as caught:
        put(store, second)
    assert caught.value.status == Status.UID_TAKEN
    assert caught.value.study_instance_uid == second.StudyInstanceUID
    (content,) = stored_files(tmp_path).values()
    assert content.endswith(data_set(first))
    assert partials(tmp_path) == []
    (failed,) = [entry for entry in entries(store) if isinstance(entry, Failed)]
    assert (failed.status, failed.study_instance_uid) == (0xC002, second.StudyInstanceUID)
    assert store.is_taken(first.SOPInstanceUID)  # nobody may rely on what lies there


@pytest.mark.parametrize(
    "changes", [{"PatientName": "Corrected^Name"}, {"PatientBirthDate": "19600229"}, {"StudyDescription": "knee"}]
)
def test_other_bytes_of_the_same_patient_study_and_series_replace_the_ones_before(
    store: Store, tmp_path: Path, changes: dict[str, str]
) -> None:
    ds = mr()
    put(store, ds)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    put(store, ds)
    (content,) = stored_files(tmp_path).values()
    assert content.endswith(data_set(ds))
    assert [entry.changed for entry in entries(store) if isinstance(entry, Stored)] == [False, True]
    assert not store.is_taken(ds.SOPInstanceUID)


CUT_AT = {
    "in the pixels": lambda whole: len(whole) - 3,
    "in the pixels' length": lambda whole: whole.index(PIXELS) + 7,
    "in the pixels' tag": lambda whole: whole.index(PIXELS) + 3,
    "before the pixels": lambda whole: whole.index(PIXELS),
}
CUTS = [(ExplicitVRLittleEndian, *cut) for cut in CUT_AT.items()] + [
    (DeflatedExplicitVRLittleEndian, "in half", lambda whole: len(whole) // 2)
]


@pytest.mark.parametrize(("syntax", "place"), [(s, f) for s, _, f in CUTS], ids=[f"{s.name} {w}" for s, w, _ in CUTS])
def test_an_image_that_was_cut_off_never_takes_the_place_of_a_whole_one(
    store: Store, tmp_path: Path, syntax: UID, place: Callable[[bytes], int]
) -> None:
    ds = mr(PixelData=Random(1).randbytes(512))
    ds.file_meta.TransferSyntaxUID = syntax
    whole = data_set(ds)
    cut = whole[: place(whole)]
    put(store, ds, content=cut)
    put(store, ds)
    with pytest.raises(NotStored, match="only the beginning of the one that is stored") as caught:
        put(store, ds, content=cut)
    assert caught.value.status == Status.CANNOT_UNDERSTAND
    (content,) = stored_files(tmp_path).values()
    assert content.endswith(whole)
    assert partials(tmp_path) == []
    assert [entry.changed for entry in entries(store) if isinstance(entry, Stored)] == [False, True]


def test_another_data_set_that_was_cut_off_takes_the_place_of_one_that_was_too_and_of_no_whole_one(
    store: Store, tmp_path: Path
) -> None:
    first, second = mr(), mr(StudyDescription="knee")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(second, keyword, first[keyword].value)
    put(store, first, content=data_set(first)[:-3])
    put(store, second, content=data_set(second)[:-3])  # neither is whole: the newer one counts
    put(store, first)
    with pytest.raises(NotStored, match="ends in the middle of an element, and a whole one is stored"):
        put(store, second, content=data_set(second)[:-3])
    (content,) = stored_files(tmp_path).values()
    assert content.endswith(data_set(first))


def test_a_uid_that_was_freed_is_anybodys(store: Store) -> None:
    ds = mr()
    receipt = put(store, ds)
    ds.PatientID = "OTHER"
    with pytest.raises(NotStored):
        put(store, ds)
    assert delete_file(store.instances / receipt.relative, datetime.now(UTC) + timedelta(seconds=1))
    put(store, ds)
    assert not store.is_taken(ds.SOPInstanceUID)


def test_who_is_refused_while_another_takes_the_uid_leaves_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = mr(), mr(PatientID="OTHER")
    second.SOPInstanceUID = first.SOPInstanceUID
    with contextlib.closing(Store(tmp_path, "process")) as one, contextlib.closing(Store(tmp_path, "process")) as two:

        def put_second() -> None:
            with pytest.raises(NotStored, match="another patient's"):
                put(two, second)
            refused.append(True)

        def rename_and_wait(partial: str, final: str) -> None:
            rename_new(partial, final)
            monkeypatch.undo()
            thread.start()

        refused: list[bool] = []
        thread = threading.Thread(target=put_second)
        monkeypatch.setattr("node.receive.store.instance_files.rename_new", rename_and_wait)
        put(one, first)
        thread.join()
        assert refused
        assert two.is_taken(first.SOPInstanceUID)


def test_a_change_whose_receipt_was_lost_is_a_change_when_it_is_sent_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = mr()
    put(store, ds)
    ds.StudyDescription = "knee"
    append = store.receipts.append

    def full(entry: Entry) -> None:
        if isinstance(entry, Stored):
            raise OSError(errno.ENOSPC, "full")
        append(entry)

    with monkeypatch.context() as patch:
        patch.setattr(store.receipts, "append", full)
        with pytest.raises(NotStored):
            put(store, ds)
    put(store, ds)
    put(store, ds)
    assert [entry.changed for entry in entries(store) if isinstance(entry, Stored)] == [False, True, False]


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_a_data_folder_without_hard_links_keeps_the_same_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    without_links(monkeypatch, error)
    with contextlib.closing(Store(tmp_path, "process")) as store:
        ds = mr()
        put(store, ds)
        ds.StudyDescription = "knee"
        put(store, ds)
        content = data_set(ds)
        ds.PatientID = "OTHER"
        with pytest.raises(NotStored, match="another patient's"):
            put(store, ds)
        (stored,) = stored_files(tmp_path).values()
        assert stored.endswith(content)
        assert partials(tmp_path) == []


def test_of_two_patients_under_one_uid_at_once_one_is_stored_and_the_others_sender_knows(
    store: Store, tmp_path: Path
) -> None:
    first = mr(side=100)
    second = copy.deepcopy(first)
    second.PatientID = "OTHER"
    outcomes: list[int] = []

    def send(ds: Dataset) -> None:
        try:
            put(store, ds)
            outcomes.append(0)
        except NotStored as error:
            outcomes.append(error.status)

    for _ in range(20):
        threads = [threading.Thread(target=send, args=(ds,)) for ds in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == [0, Status.UID_TAKEN]
        (path,) = (tmp_path / "instances").rglob("*.dcm")
        path.unlink()
        outcomes.clear()


def test_a_result_of_the_node_that_comes_back_is_not_stored_twice(tmp_path: Path) -> None:
    ds = mr(Manufacturer="Condyle")
    own = tmp_path / "own.dcm"
    own.write_bytes(part10(ds))
    with contextlib.closing(Store(tmp_path, "process", own_results={ds.SOPInstanceUID: own}.get)) as store:
        put(store, ds)
        assert stored_files(tmp_path) == {}
        assert [type(entry).__name__ for entry in entries(store)] == ["Opened", "CameBack"]
        assert store.find(ds.SOPInstanceUID) == own  # for storage commitment
        assert store.make_safe([ds.SOPInstanceUID]) == {ds.SOPInstanceUID}
        ds.PatientComments = "edited on the way"
        put(store, ds)  # nothing that was received is lost
        assert list(stored_files(tmp_path)) == [ds.SOPInstanceUID]


def entries(store: Store) -> list[Entry]:
    (segment,) = store.receipts.folder.glob(f"{store.process}-*.journal")
    return list(decode_all(segment.read_bytes()))


@pytest.mark.parametrize("processes", [1, 2])
def test_of_two_that_replace_an_instance_at_once_the_last_receipt_is_that_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    ds = mr()
    first, second = copy.deepcopy(ds), copy.deepcopy(ds)
    first.StudyDescription, second.StudyDescription = "knee", "knee of the left side"
    with contextlib.closing(Store(tmp_path)) as one, contextlib.closing(Store(tmp_path)) as other:
        put(one, ds)
        two = other if processes == 2 else one
        thread = threading.Thread(target=put, args=(two, second))
        append = one.receipts.append

        def second_begins_now(entry: Entry) -> None:
            if isinstance(entry, Stored):
                monkeypatch.undo()
                thread.start()
                thread.join(0.3)  # it cannot end before this receipt is written
            append(entry)

        monkeypatch.setattr(one.receipts, "append", second_begins_now)
        put(one, first)
        thread.join()
        (content,) = stored_files(tmp_path).values()
        receipts = [entry for store in (one, two) for entry in entries(store) if isinstance(entry, Stored)]
        last = max(receipts, key=lambda entry: entry.turn)
        assert content.endswith(data_set(second))
        assert last.size == len(content)
        assert entries(two)[-1] == last
        assert not list(one.instances.rglob("*.changed"))


def test_a_change_back_that_begins_before_the_change_is_a_change_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = mr()
    changed = copy.deepcopy(ds)
    changed.StudyDescription = "knee"
    with contextlib.closing(Store(tmp_path, "process")) as store:
        put(store, ds)
        thread = threading.Thread(target=put, args=(store, changed))

        def change_now(*args: Any) -> object:
            monkeypatch.undo()
            likeness = instance_files._likeness(*args)
            thread.start()
            thread.join(0.3)  # it cannot end before what looks here has its name
            return likeness

        monkeypatch.setattr(instance_files, "_likeness", change_now)
        put(store, ds)
        thread.join()
        (content,) = stored_files(tmp_path).values()
        assert content.endswith(data_set(changed))
        assert [entry.changed for entry in entries(store) if isinstance(entry, Stored)] == [False, False, True]
        assert not list(store.instances.rglob("*.changed"))
