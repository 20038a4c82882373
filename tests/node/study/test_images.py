"""Whether stored images can be read now."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from node.errors import NotWhole, StorageAway
from node.study.images import away, require_whole, store_is_away


def test_images_that_are_there_and_whole_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(b"image")
    require_whole([(tmp_path / "1.dcm", 5)])
    assert not store_is_away(tmp_path)


def test_an_image_that_is_missing_or_short_is_the_storage_s_fault_and_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageAway, match=r"^an image that was stored cannot be read: No such file or directory$"):
        require_whole([(tmp_path / "1.dcm", 5)])
    (tmp_path / "1.dcm").write_bytes(b"ima")
    with pytest.raises(StorageAway, match="not whole: 3 bytes of 5"):
        require_whole([(tmp_path / "1.dcm", 5)])
    assert store_is_away(tmp_path / "unmounted")


def test_an_error_comes_from_the_storage_where_the_system_says_so_or_it_names_a_stored_image(tmp_path: Path) -> None:
    stored = tmp_path / "1.dcm"
    other = ValueError("cannot decode")
    assert away(other) is None
    assert away(OSError(errno.EIO, "Input/output error")) is not None
    with pytest.raises(FileNotFoundError) as missing:
        stored.read_bytes()
    decoding = ValueError("the frames cannot be read")
    decoding.__cause__ = missing.value
    assert away(decoding, [stored]) is not None
    assert away(decoding, [tmp_path / "2.dcm"]) is None


def test_all_that_are_not_as_long_as_recorded_are_named(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.dcm" for number in range(3)]
    for path in paths:
        path.write_bytes(b"12345")
    with pytest.raises(NotWhole, match="5 bytes of 7") as caught:
        require_whole(zip(paths, (7, 5, 3), strict=True))
    assert caught.value.paths == (paths[0], paths[2])
