"""Multipart messages (RFC 2046) as they come in, part by part: of STOW-RS, and of a form with files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from python_multipart.multipart import MultipartParser

from node.network.content_encoding import BAD_REQUEST, UnsuitableBody

MAXIMUM_PREAMBLE = MAXIMUM_PART_HEADERS = 64 * 1024
MAXIMUM_BOUNDARY = 70  # RFC 2046 5.1.1
NO_BOUNDARY = "The boundary that Content-Type names does not begin a line of the body"
PartEvent: TypeAlias = tuple[str, Any]


def boundary_of(parameters: Mapping[str, str]) -> bytes:
    """The boundary that the parameters of a Content-Type name.

    Raises
    ------
    UnsuitableBody
        If it is missing or not one.
    """
    boundary = parameters.get("boundary", "")
    if not 0 < len(boundary) <= MAXIMUM_BOUNDARY or not (boundary.isascii() and boundary.isprintable()):
        raise UnsuitableBody(BAD_REQUEST, "The boundary is missing or not one")
    return boundary.encode("ascii")


class MultipartParts:
    """The parts of a multipart message as they come in, as (begin | headers | data | end, bytes or a dict).

    What stands before the first boundary is passed over (RFC 2046 5.1.1), as is what follows the last one.
    """

    def __init__(self, boundary: bytes) -> None:
        self.count = 0
        self.finished = False
        self.in_preamble = True
        self._before = b""  # what has come of the preamble, or its end
        self._line = b"--" + boundary
        self._first = re.compile(rb"(?:\A|\n)" + re.escape(self._line) + rb"(?P<end>--|[ \t]*\r?\n)")
        self._events: list[PartEvent] = []
        self._headers: dict[str, str] = {}  # of the part at hand
        self._name = b""
        self._value = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": lambda: self._events.append(("headers", self._headers)),
                "on_part_data": lambda data, start, end: self._events.append(("data", data[start:end])),
                "on_part_end": lambda: self._events.append(("end", b"")),
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> list[PartEvent]:
        """What `chunk` brings: begin, headers, data and end of parts, in order.

        Raises
        ------
        MultipartParseError
            If it cannot be read; the parser bounds the length of headers.
        """
        if self.in_preamble:
            chunk = self._after_preamble(chunk)
        self._parser.write(chunk)
        events, self._events = self._events, []
        return events

    def _after_preamble(self, chunk: bytes) -> bytes:
        self._before += chunk
        found = self._first.search(self._before)
        if found is None:
            if len(self._before) > MAXIMUM_PREAMBLE:
                raise UnsuitableBody(BAD_REQUEST, NO_BOUNDARY)
            return b""
        self.in_preamble = False
        # blanks may follow a boundary, and some end lines with LF alone: the parser knows neither
        return self._line + (found["end"].strip() or b"\r\n") + self._before[found.end() :]

    def _begin(self) -> None:
        self.count += 1
        self._headers = {}
        self._events.append(("begin", b""))

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1").strip()
        self._name = self._value = b""

    def _end(self) -> None:
        self.finished = True
