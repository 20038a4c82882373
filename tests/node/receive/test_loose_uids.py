"""UIDs that the standard does not allow, as devices write them: taken as they are or refused, alike on each way in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pydicom.config
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from node.receive.importer import ImportReport, import_path
from node.receive.store.store import Store
from tests.node.receive.harness import RawPeer, Running, configuration, data_set, mr, part10, stored_files
from tests.node.receive.test_stow import client, multipart, post

TAKEN = ["1..2", "1.02.3", "01.2.3", ".1.2", "1.2.", "7", "1." + "2" * 62]
REFUSED = [".", "..", "1.2a", "../../x", "1-2", "1." + "2" * 63, ""]
WAYS = ["fast", "plain", "stow", "import"]


@pytest.fixture(autouse=True)
def any_uid() -> Iterator[None]:
    with pydicom.config.disable_value_validation():
        yield


def image(keyword: str, uid: str) -> Dataset:
    made = mr()
    setattr(made, keyword, uid)
    made.file_meta.MediaStorageSOPInstanceUID = UID(str(made.SOPInstanceUID) or "1.2.3")
    return made


def send(way: str, data: Path, images: list[Dataset]) -> None:
    if way in ("fast", "plain"):
        with Running(configuration(data, dimse={"server": way})) as running, RawPeer(running.port) as peer:
            assert peer.associate() == 2
            for ds in images:
                if way == "plain" and not 0 < len(ds.SOPInstanceUID) <= 64:
                    continue  # pynetdicom answers neither: docs/reception.md
                peer.store(ds)
        return
    with closing(Store(data, "process")) as store:
        if way == "stow":
            post(client(store), multipart(*map(part10, images)))
            return
        (files := data.parent / "files").mkdir()
        for number, ds in enumerate(images):
            (files / f"{number}.dcm").write_bytes(part10(ds))
        import_path(files, store, store.open("folder"), ImportReport())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_digits_and_dots_are_taken_as_they_are_and_nothing_else_is(tmp_path: Path, keyword: str, way: str) -> None:
    images = {uid: image(keyword, uid) for uid in TAKEN + REFUSED}
    send(way, tmp_path / "data", list(images.values()))
    stored = stored_files(tmp_path / "data").values()
    assert [uid for uid, ds in images.items() if any(one.endswith(data_set(ds)) for one in stored)] == TAKEN
    assert len(stored) == len(TAKEN)
