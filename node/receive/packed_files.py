"""Packed files -> the files in them: zip, tar, gzip, bzip2 and xz, told by their content, whatever they are called.

Nothing that a packed file says of itself is believed: what it unpacks to is counted as it comes. `Allowance` bounds
that for one file and everything that is packed in it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import IO, NamedTuple, cast

from node.files import COPY_BYTES, unpacked_limit

MAXIMUM_FILES = 200_000
MAXIMUM_DEPTH = 6  # the file itself is at 1; the files of a tar.gz in a zip are at 4
MAXIMUM_DIRECTORY = 64 * 2**20  # bytes of the directory at the end of a zip; one of 200,000 files has some 30 MB
MAXIMUM_HEADER = 2**20  # bytes that stand before a file in a tar: its header, and those with its long name
# bytes that unpacking LZMA looks back at: as much as `xz -9` and the largest of 7-Zip's levels ask for
MAXIMUM_DICTIONARY = 64 * 2**20
ENCRYPTED = 1  # flag of a member of a zip (APPNOTE 4.4.4)
MAXIMUM_DECODER = MAXIMUM_DICTIONARY + 4 * 2**20  # with what the decoder needs besides
HEAD = 512  # bytes that tell how a file is packed

_TOO_LARGE_DICTIONARY = f"asks for a dictionary of more than {MAXIMUM_DICTIONARY // 2**20} MB to be unpacked: not read"


class _Xz:
    """What an .xz file unpacks to. `lzma.LZMAFile` gives it as much memory as it asks for, up to 4 GB."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._parts = self._unpacked(packed)

    def __enter__(self) -> _Xz:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, some of them; all, where no size is given."""
        return b"".join(self._parts) if size < 0 else next(self._parts, b"")

    @staticmethod
    def _unpacked(packed: IO[bytes]) -> Generator[bytes, None, None]:
        """The bytes of all streams of a file, in pieces; four zeros and more may stand between streams."""
        rest = packed.read(COPY_BYTES)
        while rest:
            decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAXIMUM_DECODER)
            while not decoder.eof:
                if not rest and decoder.needs_input and not (rest := packed.read(COPY_BYTES)):
                    raise EOFError
                try:
                    part = decoder.decompress(rest, COPY_BYTES)
                except lzma.LZMAError as error:
                    if "limit" in str(error):
                        raise Unreadable(_TOO_LARGE_DICTIONARY) from error
                    raise
                rest = b""
                if part:
                    yield part
            rest = decoder.unused_data
            while not (rest := rest.lstrip(b"\0")) and (rest := packed.read(COPY_BYTES)):
                pass


_STREAMS: dict[bytes, tuple[str, Callable[[IO[bytes]], IO[bytes]]]] = {
    b"\x1f\x8b": ("gzip", lambda packed: cast(IO[bytes], gzip.GzipFile(fileobj=packed))),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\0": ("xz", lambda packed: cast(IO[bytes], _Xz(packed))),
}
_OTHERS = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x1f\x9d": "compress",
    b"MSCF": "cab",
}
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    RecursionError,
)


class Unreadable(Exception):
    """A file, or one in a packed file, cannot be read; the message says why."""


class Member(NamedTuple):
    """A file in a packed file."""

    name: str
    open: Callable[[], IO[bytes]]


class TooMuch(Exception):
    """A packed file holds more than it may; the message says what."""


class Allowance:
    """What a packed file may still unpack to, with all that is packed in it.

    Parameters
    ----------
    size
        Of the packed file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self._limit, self._bytes, self._files = unpacked_limit(size), 0, 0

    def count_files(self, number: int) -> None:
        """Count so many more files.

        Raises
        ------
        TooMuch
        """
        self._files += number
        if self._files > MAXIMUM_FILES:
            raise TooMuch(f"holds more than {MAXIMUM_FILES:,} files: not read on")

    def counted(self, source: IO[bytes]) -> Iterator[bytes]:
        """The bytes of `source` in pieces, as long as they are allowed.

        Raises
        ------
        TooMuch, Unreadable
        """
        for part in pieces(source):
            self._bytes += len(part)
            if self._bytes > self._limit:
                raise TooMuch("unpacks to far more than its size: not read on")
            yield part


@contextmanager
def reading() -> Iterator[None]:
    """Has whatever a packed file or its storage does wrong come out as `Unreadable`."""
    try:
        yield
    except (Unreadable, TooMuch):
        raise
    except NotImplementedError as error:
        raise Unreadable("is packed in a way that the node does not unpack") from error
    except _BROKEN as error:
        storage = error.strerror if isinstance(error, OSError) else None  # gzip and bzip2 raise it, too, without one
        raise Unreadable(f"cannot be read: {storage}" if storage else "is damaged, or ends too early") from error
    except MemoryError:  # the machine's fault, not the file's
        raise
    except RuntimeError as error:
        raise Unreadable("is encrypted") from error
    except Exception as error:  # the libraries that unpack raise what they like on what is damaged
        raise Unreadable(f"cannot be read ({type(error).__name__})") from error


def pieces(source: IO[bytes]) -> Iterator[bytes]:
    """The bytes of a file from where it stands.

    Raises
    ------
    Unreadable
    """
    while True:
        with reading():
            part = source.read(COPY_BYTES)
        if not part:
            return
        yield part


def packing_of(head: bytes) -> str | None:
    """How a file that begins so is packed, in one word; None where it is not, or its end may still show a zip."""
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return "zip"
    for mark, (name, _) in _STREAMS.items():
        if head.startswith(mark):
            return name
    try:
        tarfile.TarInfo.frombuf(head[:HEAD], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return next((name for mark, name in _OTHERS.items() if head.startswith(mark)), None)
    return "tar"


def members(source: IO[bytes], packing: str, name: str, allowance: Allowance) -> Iterator[Member]:
    """The files in a packed file. Links and folders are none.

    Parameters
    ----------
    source
        Seekable, open as long as its members are read.
    packing
        One that `packing_of` tells.
    name
        Of the packed file: gzip and its like hold one file and no name.
    allowance
        Counts them: of a zip before the first is given, as each takes memory while the zip is open.

    Raises
    ------
    TooMuch, Unreadable
    """
    source.seek(0)
    with reading():
        if packing == "zip":
            directory = _Bounded(source, MAXIMUM_DIRECTORY)
            with zipfile.ZipFile(cast(IO[bytes], directory)) as archive:
                directory.left = None
                found = [entry for entry in archive.infolist() if not entry.is_dir()]
                allowance.count_files(len(archive.infolist()))
                yield from (Member(entry.filename, partial(_of_zip, archive, entry, source)) for entry in found)
        elif packing == "tar":
            headers = _Bounded(source, MAXIMUM_HEADER)
            with tarfile.open(fileobj=cast(IO[bytes], headers), mode="r:") as tape:
                while (entry := tape.next()) is not None:
                    headers.left = None
                    if entry.isreg():
                        allowance.count_files(1)
                        yield Member(entry.name, partial(_file_of, tape, entry))
                    headers.left = MAXIMUM_HEADER
                    tape.members, tape.pax_headers = [], {}  # type: ignore[attr-defined]  # it keeps all that it reads
        else:
            opener = dict(_STREAMS.values()).get(packing)
            if opener is None:
                raise Unreadable(f"is packed as {packing}, which the node does not unpack")
            allowance.count_files(1)
            yield Member(PurePosixPath(name).stem, partial(opener, source))


class _Bounded:
    """A file of which no more than `left` bytes are read; of None, any number.

    What says which files are in a packed file is read at once, before any of them is counted.
    """

    def __init__(self, source: IO[bytes], left: int) -> None:
        self._source = source
        self.left: int | None = left
        self.seek, self.tell, self.seekable = source.seek, source.tell, source.seekable

    def read(self, size: int = -1) -> bytes:
        if self.left is None:
            return self._source.read(size)
        part = self._source.read(self.left + 1 if size < 0 else min(size, self.left + 1))
        self.left -= len(part)
        if self.left < 0:
            raise Unreadable("says more about the files in it than the node reads")
        if part.count(b"PK\1\2") > MAXIMUM_FILES:  # one entry of a zip's directory each
            raise Unreadable(f"holds more than {MAXIMUM_FILES:,} files: not read on")
        return part


def _of_zip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, source: IO[bytes]) -> IO[bytes]:
    """A member of a zip; where it is packed by LZMA, once it is known what it asks for (APPNOTE 5.8)."""
    if entry.compress_type == zipfile.ZIP_LZMA and not entry.flag_bits & ENCRYPTED:
        source.seek(entry.header_offset + 26)
        source.seek(entry.header_offset + 30 + sum(struct.unpack("<HH", source.read(4).ljust(4, b"\0"))))
        (dictionary,) = struct.unpack("<5xL", source.read(9).ljust(9, b"\0"))
        if dictionary > MAXIMUM_DICTIONARY:
            raise Unreadable(_TOO_LARGE_DICTIONARY)
    return archive.open(entry)


def _file_of(tape: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    source = tape.extractfile(entry)
    assert source is not None  # it is a regular file
    return source
