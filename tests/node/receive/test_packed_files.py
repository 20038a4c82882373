"""How a file is packed is told by what it holds, and what it unpacks to is counted."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from node.receive.packed_files import MAXIMUM_HEADER, Allowance, TooMuch, Unreadable, members, packing_of

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


def tar_of(*entries: tarfile.TarInfo) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tape:
        for entry in entries:
            tape.addfile(entry, io.BytesIO(bytes(entry.size)))
    return stream


def long_header(kind: bytes, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo("long")
    entry.type, entry.size = kind, size
    return entry


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_with_endless_headers_is_not_read_on(kind: bytes) -> None:
    image = tarfile.TarInfo("image")
    for entries in (
        [long_header(kind, MAXIMUM_HEADER)],
        [long_header(kind, MAXIMUM_HEADER // 3)] * 4,
        [long_header(kind, 0)] * 1500,
    ):
        found = members(tar_of(image, *entries, image), "tar", "a.tar")
        assert next(found).name == "image"
        with pytest.raises(Unreadable, match=r"says more about the files in it|is damaged"):
            next(found)


def test_long_names_in_a_tar_are_read() -> None:
    entries = [tarfile.TarInfo("ä" * 300 + str(number)) for number in range(30)]
    assert [one.name for one in members(tar_of(*entries), "tar", "a.tar")] == [entry.name for entry in entries]


def test_a_zip_with_an_endless_directory_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(30):
            archive.writestr(f"{number:0100}", CONTENT)
    assert len(list(members(stream, "zip", "a.zip"))) == 30
    monkeypatch.setattr("node.receive.packed_files.MAXIMUM_FILES", 29)
    with pytest.raises(Unreadable, match="holds more than 29 files"):
        next(members(stream, "zip", "a.zip"))
    monkeypatch.setattr("node.receive.packed_files.MAXIMUM_DIRECTORY", 3000)
    with pytest.raises(Unreadable, match="says more about the files in it than the node reads"):
        next(members(stream, "zip", "a.zip"))
