"""The bodies of requests by HTTP, read within bounds: one reader for every route that takes one."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from node.network.content_encoding import BAD_REQUEST, TOO_LARGE, UnsuitableBody, require_known_encoding, unpacked

UNITS = ((2**40, "TB"), (2**30, "GB"), (2**20, "MB"), (2**10, "kB"))


class BodyBrokenOff(UnsuitableBody):
    """The client went away, or the node let it go, in the middle of the body; nobody reads an answer."""

    def __init__(self) -> None:
        super().__init__(BAD_REQUEST, "The connection ended before the body did")


def require_fitting(request: Request, most: int) -> None:
    """Check what the headers of a request say of its body, before that is read.

    Parameters
    ----------
    request
        Any; a body whose length is not told passes.
    most
        Bytes that are taken.

    Raises
    ------
    UnsuitableBody
        413 where it is larger; 415 where the node cannot undo its Content-Encoding.
    """
    require_known_encoding(request.headers.get("content-encoding", ""))
    if int(request.headers.get("content-length", 0)) > most:  # h11 takes no other than a number
        raise _too_large(most)


async def body_of(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body of a request in pieces, unpacked.

    Raises
    ------
    UnsuitableBody
        As `require_fitting`, before anything is read; as `unpacked`; 413 also where it is larger than its headers say,
        or is so when it is unpacked.
    BodyBrokenOff
        If it does not come to its end.
    """
    require_fitting(request, most)
    size = 0
    try:
        async for piece in unpacked(request.stream(), request.headers.get("content-encoding", "")):
            size += len(piece)
            if size > most:
                raise _too_large(most)
            yield piece
    except ClientDisconnect:
        raise BodyBrokenOff from None


def _too_large(most: int) -> UnsuitableBody:
    unit, name = next(((unit, name) for unit, name in UNITS if most >= unit), (1, "bytes"))
    return UnsuitableBody(TOO_LARGE, f"The body is larger than the {most // unit:,} {name} that are taken")
