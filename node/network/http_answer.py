"""The answer of an HTTP server that the node asks: read within limits of bytes, time, and what JSON may hold.

A server that was asked is not trusted for that. One that packs its answer a thousandfold, sends a byte a minute, or
nests its JSON without end is told from one that works, at little cost.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from typing import IO, Any
from urllib.parse import quote

import httpx

from node.network.content_encoding import TOO_LARGE, UNSUPPORTED, UnsuitableBody, unpacked_pieces
from node.progress import goes_on

LARGEST = 32 * 2**20  # bytes of an answer, unpacked; a page of 200 resources has some 500 kB
SMALL = 4 * 2**20  # of one that says little: what was stored, what was found
VALUES = 1_000_000  # in JSON that a reader process reads, commas in texts counted with them: each takes some 100 bytes,
FEW_VALUES = 200_000  # and that this one reads: 500 studies, as a DICOMweb archive lists them, have some 75,000
DEPTH = 64  # of JSON; the deepest FHIR and DICOM have some 20
SLOWEST = 32 * 2**10  # bytes a second, both ways, once an answer takes longer than two silences
CHUNK = 64 * 2**10  # bytes that are sent at a time
LONGEST_SEGMENT = 128

TOO_SLOW = "the answer takes too long"
TOO_DEEP = f"is nested more than {DEPTH} deep"


class UnsuitableAnswer(Exception):
    """An answer that is not taken. The message goes on after "the answer", without address and content."""


class LargeAnswer(UnsuitableAnswer):
    """One that has more bytes than are read."""


@dataclass(frozen=True)
class HttpAnswer:
    """A whole answer."""

    status: int
    headers: httpx.Headers
    body: bytes  # unpacked

    @property
    def is_success(self) -> bool:
        """Whether the server did what it was asked to."""
        return httpx.codes.is_success(self.status)

    @property
    def phrase(self) -> str:
        """The status with what the standard calls it; what the server calls it is not repeated."""
        return f"HTTP {self.status} {httpx.codes.get_reason_phrase(self.status)}".rstrip()

    def json(self) -> Any:
        """What the body says; raises `UnsuitableAnswer` as `read_json`."""
        return read_json(self.body, FEW_VALUES)


class HttpAsker:
    """An `httpx.Client` whose answers are read within limits. For one thread at a time.

    Parameters
    ----------
    silence_s
        How long the server may say nothing. The whole exchange may take twice that, and a second more for every
        `SLOWEST` bytes.
    settings
        For `httpx.Client`. Its headers, and those of each request, can hold ASCII only.
    """

    def __init__(self, silence_s: float, **settings: Any) -> None:
        self._silence_s = silence_s
        headers = {"Accept-Encoding": "gzip", **settings.pop("headers", {})}  # what `unpacked_pieces` surely undoes
        self._client = httpx.Client(timeout=silence_s, follow_redirects=False, headers=headers, **settings)
        self._connections: deque[Any] = deque(maxlen=8)  # network streams that were opened last
        self.base_url = self._client.base_url

    def ask(
        self, method: str, url: str, *, largest: int = LARGEST, within_s: float | None = None, **more: Any
    ) -> HttpAnswer:
        """Ask, and read the answer whole.

        Parameters
        ----------
        method, url, more
            As `httpx.Client.stream` has them; what is sent may be a file.
        largest
            Bytes that the answer may have, unpacked.
        within_s
            Seconds that all of it may take, where that is not for the silence to say.

        Raises
        ------
        UnsuitableAnswer
            If the answer is larger, or is packed in an unknown way or far more than real content is.
        httpx.HTTPError
            If the server cannot be reached, breaks off, or takes too long.
        """
        with self.answer(method, url, largest=largest, within_s=within_s, **more) as (status, headers, parts):
            return HttpAnswer(status, headers, b"".join(parts))

    @contextmanager
    def answer(
        self, method: str, url: str, *, largest: int = LARGEST, within_s: float | None = None, **more: Any
    ) -> Iterator[tuple[int, httpx.Headers, Iterator[bytes]]]:
        """Ask; status, headers, and the unpacked body in pieces, whose reading raises what `ask` does."""
        grows = within_s is None
        seconds = 2 * self._silence_s if within_s is None else within_s
        body: str | bytes | IO[bytes] | None = more.pop("content", None)
        sending_s = 0.0
        if body is not None:
            more["content"] = content = _Body(body)
            sending_s = content.size / SLOWEST if grows else 0.0
        end = time.monotonic() + seconds + sending_s
        late = threading.Event()

        def cut() -> None:
            late.set()
            for connection in self._connections:
                with suppress(OSError):  # closed already
                    socket.socket.shutdown(connection.get_extra_info("socket"), socket.SHUT_RDWR)

        watch = threading.Timer(seconds + sending_s, cut)  # until the headers are here: httpx does not end a drip
        watch.daemon = True
        watch.start()
        try:
            timeout = min(seconds, self._silence_s)
            with self._client.stream(
                method, url, timeout=timeout, extensions={"trace": self._trace}, **more
            ) as response:
                watch.cancel()
                raw = _in_time(response.iter_raw(), end, grows=grows)
                pieces = unpacked_pieces(raw, response.headers.get("Content-Encoding", ""))
                yield response.status_code, response.headers, _at_most(largest, pieces)
        except UnsuitableBody as error:
            packed = "is packed in a way that the node does not unpack"
            sentences = {TOO_LARGE: "unpacks to far more than its size", UNSUPPORTED: packed}
            raise UnsuitableAnswer(sentences.get(error.status, "is not packed as it says")) from None
        except (httpx.InvalidURL, UnicodeError):
            raise UnsuitableAnswer("leads to an address that is none") from None
        except httpx.HTTPError:
            if late.is_set():
                raise httpx.ReadTimeout(TOO_SLOW) from None
            raise
        finally:
            watch.cancel()

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _trace(self, event: str, facts: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._connections.append(facts["return_value"])


class _Body:
    """What is sent, which httpx reads in pieces: a large one takes long, and goes on.

    Parameters
    ----------
    content
        A file is read from its beginning.
    """

    def __init__(self, content: str | bytes | IO[bytes]) -> None:
        if isinstance(content, str):
            content = content.encode()
        self._file = BytesIO(content) if isinstance(content, bytes) else content
        self.size = self.seek(0, SEEK_END)
        self.seek(0)

    def read(self, size: int = -1) -> bytes:
        goes_on()
        return self._file.read(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(CHUNK), b"")

    def seek(self, offset: int, whence: int = 0) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()


def read_json(body: bytes, values: int = VALUES) -> Any:
    """What a JSON body says; None of an empty one.

    Parameters
    ----------
    values
        How many there may be in it.

    Raises
    ------
    UnsuitableAnswer
        If it is no JSON, or has more values or is nested deeper than any real answer.
    """
    if count_values(body) > values:
        raise UnsuitableAnswer(f"has more than {values:,} values")
    try:
        content = json.loads(body) if body else None
    except (ValueError, RecursionError) as error:
        raise UnsuitableAnswer(why_not_read(error)) from None
    level = [content]
    for _ in range(DEPTH):
        level = [below for one in level for below in _values(one)]
    if level:
        raise UnsuitableAnswer(TOO_DEEP)
    return content


def why_not_read(error: ValueError | RecursionError) -> str:
    """What is wrong with JSON that `json.loads` raised this on, without a value of it."""
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if isinstance(error, json.JSONDecodeError):
        return "is not JSON"
    if isinstance(error, UnicodeDecodeError):
        return f"is not JSON: byte {error.start} is not {error.encoding.upper()}"
    return f"has a number of more than {sys.get_int_max_str_digits():,} digits"


def count_values(body: bytes) -> int:
    """How many values are in JSON at most; two of its encodings have a zero beside each of these characters."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _values(content: Any) -> Iterable[Any]:
    if isinstance(content, dict):
        return content.values()
    return content if isinstance(content, list) else ()


def url_segment(identifier: str) -> str:
    """An identifier as one segment of a URL's path: it leads to no other.

    Raises
    ------
    UnsuitableAnswer
        If it is none that a URL can hold: empty, dots alone, or too long.
    """
    if not identifier.strip(".") or len(identifier) > LONGEST_SEGMENT or not identifier.isprintable():
        raise UnsuitableAnswer("has an identifier that is none")
    return quote(identifier, safe="")


def _in_time(parts: Iterator[bytes], end: float, *, grows: bool) -> Iterator[bytes]:
    """The parts until `end`, which `grows` with what has come: a server is to give more than a drip."""
    for part in parts:
        goes_on()
        if time.monotonic() > end:
            raise httpx.ReadTimeout(TOO_SLOW)
        if grows:
            end += len(part) / SLOWEST
        yield part


def _at_most(largest: int, parts: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        if size > largest:
            raise LargeAnswer(f"is larger than {largest} bytes")
        yield part
