"""How a file is packed is told by what it holds, and what it unpacks to is counted."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

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
    (name, opened), *others = [
        (one.name, one.open().read()) for one in members(io.BytesIO(content), kind, "image.gz", Allowance(1000))
    ]
    assert (name, opened, others) == ("image", CONTENT, [])


def test_what_is_packed_in_a_way_that_is_not_unpacked_is_named() -> None:
    seven_zip = b"7z\xbc\xaf\x27\x1c" + bytes(600)
    assert packing_of(seven_zip[:512]) == "7z"
    with pytest.raises(Unreadable, match="is packed as 7z, which the node does not unpack"):
        list(members(io.BytesIO(seven_zip), "7z", "image.7z", Allowance(1000)))
    assert packing_of(b"a letter".ljust(512)) is None


def test_a_file_unpacks_to_no_more_than_its_size_allows() -> None:
    assert b"".join(Allowance(100).counted(io.BytesIO(CONTENT))) == CONTENT
    bomb = io.BytesIO(gzip.compress(bytes(80 * 2**20)))
    (member,) = members(bomb, "gzip", "bomb.gz", Allowance(1000))
    with pytest.raises(TooMuch, match="far more than its size"):
        list(Allowance(1000).counted(member.open()))


def test_the_files_of_a_zip_are_counted_before_it_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes memory while the zip is open, and as many again where one of them is a zip, five times over."""
    monkeypatch.setattr("node.receive.packed_files.MAXIMUM_FILES", 30)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}", CONTENT)
    allowance = Allowance(1000)
    outer = members(stream, "zip", "a.zip", allowance)
    next(outer)
    with pytest.raises(TooMuch, match="holds more than 30 files"):
        next(members(stream, "zip", "b.zip", allowance))


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
        found = members(tar_of(image, *entries, image), "tar", "a.tar", Allowance(1000))
        assert next(found).name == "image"
        with pytest.raises(Unreadable, match=r"says more about the files in it|is damaged"):
            next(found)


def test_long_names_in_a_tar_are_read() -> None:
    entries = [tarfile.TarInfo("ä" * 300 + str(number)) for number in range(30)]
    assert [one.name for one in members(tar_of(*entries), "tar", "a.tar", Allowance(1000))] == [
        entry.name for entry in entries
    ]


def test_a_zip_with_an_endless_directory_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(30):
            archive.writestr(f"{number:0100}", CONTENT)
    assert len(list(members(stream, "zip", "a.zip", Allowance(1000)))) == 30
    monkeypatch.setattr("node.receive.packed_files.MAXIMUM_FILES", 29)
    with pytest.raises(Unreadable, match="holds more than 29 files"):
        next(members(stream, "zip", "a.zip", Allowance(1000)))
    monkeypatch.setattr("node.receive.packed_files.MAXIMUM_DIRECTORY", 3000)
    with pytest.raises(Unreadable, match="says more about the files in it than the node reads"):
        next(members(stream, "zip", "a.zip", Allowance(1000)))


def asking_for(dictionary: int) -> bytes:
    """A small .xz whose header asks for a dictionary of 2 to the power of so many bytes (xz file format 5.3.1)."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**20}]
    content = bytearray(lzma.compress(CONTENT, check=lzma.CHECK_NONE, filters=filters))
    assert content[14:16] == b"\x21\x01"  # the filter, and the size of what it is told
    content[16] = 2 * (dictionary - 12)
    content[20:24] = struct.pack("<L", zlib.crc32(content[12:20]))
    return bytes(content)


def zip_asking_for(dictionary: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("image", CONTENT)
    content = bytearray(stream.getvalue())
    start = 30 + len("image") + 4  # local header, and the head of what LZMA is told
    content[start + 1 : start + 5] = struct.pack("<L", 2**dictionary)
    return bytes(content)


@pytest.mark.parametrize(("kind", "made"), [("xz", asking_for), ("zip", zip_asking_for)])
def test_a_file_that_asks_for_much_memory_to_be_unpacked_is_not(kind: str, made: Callable[[int], bytes]) -> None:
    for member in members(io.BytesIO(made(26)), kind, "image.xz", Allowance(1000)):
        assert b"".join(Allowance(1000).counted(member.open())) == CONTENT  # as much as `xz -9` asks for
    for member in members(io.BytesIO(made(27)), kind, "image.xz", Allowance(1000)):
        with pytest.raises(Unreadable, match="asks for a dictionary of more than 64 MB to be unpacked: not read"):
            list(Allowance(1000).counted(member.open()))


def test_an_xz_of_several_streams_is_read_to_its_end_and_one_that_was_cut_is_damaged() -> None:
    def read(content: bytes) -> bytes:
        (member,) = members(io.BytesIO(content), "xz", "image.xz", Allowance(1000))
        return b"".join(Allowance(10**6).counted(member.open()))

    one, large = lzma.compress(CONTENT), b"".join(lzma.compress(bytes(3 * 2**20 + n)) for n in range(2))
    assert read(one + bytes(8) + one + bytes(4)) == CONTENT + CONTENT
    assert len(read(large)) == 6 * 2**20 + 1
    for broken in (one[:-1], one[:40], one + b"something else"):
        with pytest.raises(Unreadable, match="is damaged, or ends too early"):
            read(broken)
