"""HTTP bodies that were packed for the way (Content-Encoding, RFC 9110 8.4), of requests and answers: unpacked within
bounds.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

from node.files import COPY_BYTES, unpacked_limit

BAD_REQUEST, TOO_LARGE, UNSUPPORTED = 400, 413, 415
_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class UnsuitableBody(Exception):
    """A body that is not taken: the HTTP status and a sentence for the sender."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def require_known_encoding(content_encoding: str) -> None:
    """Check the Content-Encoding of a request, before its body is read.

    Raises
    ------
    UnsuitableBody
        415, where the node cannot undo it.
    """
    if _name(content_encoding) not in ("", *_WINDOW):
        raise UnsuitableBody(UNSUPPORTED, "This Content-Encoding is not supported: send gzip, deflate, or none")


async def unpacked(stream: AsyncIterator[bytes], content_encoding: str) -> AsyncIterator[bytes]:
    """The body as it was before it was packed, in pieces of at most 1 MB where it was.

    Raises
    ------
    UnsuitableBody
        415 as `require_known_encoding`; 413 where it unpacks to far more than real content does; 400 where it is not
        what its Content-Encoding says.
    """
    require_known_encoding(content_encoding)
    name = _name(content_encoding)
    unpacker = _Unpacker(name) if name else None
    async for chunk in stream:
        if unpacker is None:
            yield chunk
        else:
            for piece in unpacker.feed(chunk):
                yield piece
    if unpacker is not None:
        unpacker.end()


def unpacked_pieces(chunks: Iterator[bytes], content_encoding: str) -> Iterator[bytes]:
    """As `unpacked`, of a body that is read and not sent."""
    require_known_encoding(content_encoding)
    name = _name(content_encoding)
    if not name:
        yield from chunks
        return
    unpacker = _Unpacker(name)
    for chunk in chunks:
        yield from unpacker.feed(chunk)
    unpacker.end()


def _name(content_encoding: str) -> str:
    name = content_encoding.strip().lower()
    return "" if name == "identity" else name


class _Unpacker:
    """Inflates what comes; several gzip members after each other are one body (RFC 1952 2.2)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._inflater = zlib.decompressobj(_WINDOW[name])
        self._packed = self._unpacked = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What `chunk` unpacks to."""
        self._packed += len(chunk)
        while chunk:
            if self._inflater.eof:
                self._inflater = zlib.decompressobj(_WINDOW[self._name])
            try:
                piece = self._inflater.decompress(chunk, COPY_BYTES)
            except zlib.error as error:
                raise self._damaged() from error
            self._unpacked += len(piece)
            if self._unpacked > unpacked_limit(self._packed):
                raise UnsuitableBody(TOO_LARGE, "The body unpacks to far more than its size")
            if piece:
                yield piece
            chunk = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail

    def end(self) -> None:
        """Check that the body ended where it should."""
        if self._packed and not self._inflater.eof:
            raise self._damaged()

    def _damaged(self) -> UnsuitableBody:
        return UnsuitableBody(BAD_REQUEST, f"The body is not whole {self._name}, as its Content-Encoding says")
