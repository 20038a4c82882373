"""UIDs that the standard does not allow, as devices write them: taken as they are or refused, alike on each way in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pydicom.config
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from node.receive.importer import ImportReport, import_path
from node.receive.store.store import Store
from tests.node.receive.harness import RawPeer, Running, associate_rq, configuration, data_set, mr, part10, stored_files
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


def send(way: str, data: Path, images: Sequence[Dataset | bytes]) -> None:
    if way in ("fast", "plain"):
        with Running(configuration(data, dimse={"server": way})) as running, RawPeer(running.port) as peer:
            assert peer.associate() == 2
            for ds in images:
                assert isinstance(ds, Dataset)
                if way == "plain" and not 0 < len(ds.SOPInstanceUID) <= 64:
                    continue  # pynetdicom answers neither: docs/reception.md
                peer.store(ds)
        return
    contents = [part10(one) if isinstance(one, Dataset) else one for one in images]
    with closing(Store(data, "process")) as store:
        if way == "stow":
            post(client(store), multipart(*contents))
            return
        (files := data.parent / "files").mkdir()
        for number, content in enumerate(contents):
            (files / f"{number}.dcm").write_bytes(content)
        import_path(files, store, store.open("folder"), ImportReport())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_digits_and_dots_are_taken_as_they_are_and_nothing_else_is(tmp_path: Path, keyword: str, way: str) -> None:
    images = {uid: image(keyword, uid) for uid in TAKEN + REFUSED}
    send(way, tmp_path / "data", list(images.values()))
    stored = stored_files(tmp_path / "data").values()
    assert [uid for uid, ds in images.items() if any(one.endswith(data_set(ds)) for one in stored)] == TAKEN
    assert len(stored) == len(TAKEN)


@pytest.mark.parametrize("way", WAYS)
def test_a_transfer_syntax_is_a_uid_too(tmp_path: Path, way: str) -> None:
    """What is none would lie in the database, and lead to a terminal; PostgreSQL refuses a NUL."""
    syntaxes = ["1.2.840.1\x1b[2J\nX", "1.9\0evil", "../../x", "1.2.840.10008.1.2.1"]
    images = [mr() for _ in syntaxes]
    if way in ("fast", "plain"):
        with Running(configuration(tmp_path / "data", dimse={"server": way})) as running:
            for ds, syntax in zip(images, syntaxes, strict=True):
                stands_in = "1." + "2" * (len(syntax) - 2)
                request = associate_rq([(MRImageStorage, [stands_in])])
                with RawPeer(running.port) as peer:
                    peer.send(request.replace(stands_in.encode(), syntax.encode()))
                    if peer.receive()[0] == 2:
                        peer.store(ds)
    else:
        stands_in = str(ExplicitVRLittleEndian)
        files = [
            part10(ds).replace(stands_in.encode(), syntax[: len(stands_in)].ljust(len(stands_in), "\0").encode())
            for ds, syntax in zip(images, syntaxes, strict=True)
        ]
        send(way, tmp_path / "data", files)
    assert list(stored_files(tmp_path / "data")) == [images[-1].SOPInstanceUID]
