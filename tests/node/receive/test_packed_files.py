"""How a file is packed is told by what it holds, and what it unpacks to is counted."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from node.receive.packed_files import Allowance, TooMuch, Unreadable, members, packing_of

CONTENT = b"an image " * 100


def packed(kind: str) -> bytes:
    """`CONTENT` as one file, packed so."""
    if kind in ("gzip", "bzip2", "xz"):
        return {"gzip": gzip.compress(CONTENT), "bzip2": bz2.compress(CONTENT), "xz": lzma.compress(CONTENT)}[kind]
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("image", CONTENT)
    else:
        with tarfile.open(fileobj=stream, mode="w") as tape:
            entry = tarfile.TarInfo("image")
            entry.size = len(CONTENT)
            tape.addfile(entry, io.BytesIO(CONTENT))
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar", "gzip", "bzip2", "xz"])
def test_a_packed_file_is_known_by_its_content_and_gives_what_it_holds(kind: str) -> None:
    content = packed(kind)
    assert packing_of(content[:512]) == kind
    (name, opened), *others = [(one.name, one.open().read()) for one in members(io.BytesIO(content), kind, "image.gz")]
    assert (name, opened, others) == ("image", CONTENT, [])


def test_what_is_packed_in_a_way_that_is_not_unpacked_is_named() -> None:
    seven_zip = b"7z\xbc\xaf\x27\x1c" + bytes(600)
    assert packing_of(seven_zip[:512]) == "7z"
    with pytest.raises(Unreadable, match="is packed as 7z, which the node does not unpack"):
        list(members(io.BytesIO(seven_zip), "7z", "image.7z"))
    assert packing_of(b"a letter".ljust(512)) is None


def test_a_file_unpacks_to_no_more_than_its_size_allows() -> None:
    assert b"".join(Allowance(100).counted(io.BytesIO(CONTENT))) == CONTENT
    bomb = io.BytesIO(gzip.compress(bytes(80 * 2**20)))
    (member,) = members(bomb, "gzip", "bomb.gz")
    with pytest.raises(TooMuch, match="far more than its size"):
        list(Allowance(1000).counted(member.open()))
