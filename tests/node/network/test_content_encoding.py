"""Bodies that were packed for the way, as they were before: whole, within bounds, or refused with a status."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.network.content_encoding import UnsuitableBody, unpacked


def unpack(body: bytes, encoding: str, piece: int = 1000) -> bytes:
    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    async def collect() -> bytes:
        return b"".join([part async for part in unpacked(stream(), encoding)])

    return asyncio.run(collect())


@given(st.lists(st.binary(max_size=500), max_size=4), st.integers(1, 50))
def test_what_was_packed_comes_out_as_it_was(parts: list[bytes], piece: int) -> None:
    whole = b"".join(parts)
    assert unpack(b"".join(map(gzip.compress, parts)), " GZIP ", piece) == whole
    assert unpack(zlib.compress(whole), "deflate", piece) == whole
    assert unpack(whole, "", piece) == unpack(whole, "identity", piece) == whole


@given(st.binary(max_size=300))
def test_what_is_not_packed_is_refused_never_an_error(body: bytes) -> None:
    if body:
        with pytest.raises(UnsuitableBody) as refused:
            unpack(body, "gzip")
        assert refused.value.status == 400


def test_a_bomb_is_left_early_and_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(64 * 2**20))
    monkeypatch.setattr("node.files.UNPACKED_ALLOWANCE", 2**20)

    seen: list[int] = []

    async def count() -> None:
        async def stream() -> AsyncIterator[bytes]:
            yield bomb

        async for part in unpacked(stream(), "gzip"):
            seen.append(len(part))

    tracemalloc.start()
    try:
        with pytest.raises(UnsuitableBody, match="far more than its size"):
            asyncio.run(count())
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert sum(seen) <= 2**20 + 200 * len(bomb)
