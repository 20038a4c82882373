"""Permissions of files hold for tests that root runs, too."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

VERSION_3 = 0x20080522  # capget(2)
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2  # capabilities(7): what lets root read everything


@contextlib.contextmanager
def held_to_permissions() -> Iterator[None]:
    """Meanwhile this thread may read only what the permissions of a file allow to its owner."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    before = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then their upper halves
    assert libc.capget(header, before) == 0
    less = (ctypes.c_uint32 * 6)(*before)
    less[0] &= ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    assert libc.capset(header, less) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
