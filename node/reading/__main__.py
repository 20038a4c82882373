"""The reader process: does one request after the other until the node closes the connection.

Started as ``python -m node.reading FILE_DESCRIPTOR MEMORY_MB CPU_S`` by `node.reading.readers`. It holds nothing that
is worth having, and may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pydicom

import node.log
from node.box import hold_to, settle_in
from node.data_folder import keep_private
from node.errors import ReadingFailed
from node.progress import tell_by
from node.reading import messages

log = logging.getLogger("node.reading")  # the module is run as __main__

OPEN_FILES = 64
TELL_EVERY_S = 1.0


def hold_to_limits(memory_mb: int) -> None:
    """Let the kernel end this process, not the node, when it takes too much."""
    hold_to(
        {
            resource.RLIMIT_AS: memory_mb * 2**20,
            resource.RLIMIT_NOFILE: OPEN_FILES,
            resource.RLIMIT_NPROC: 0,  # it starts neither processes nor threads
        }
    )
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def answer(request: bytes, parts: Sequence[bytes]) -> bytes:
    """Do one request, with the bytes that followed it.

    Every error becomes an answer; one that nobody foresaw is logged without what it says.
    """
    try:
        function, arguments = messages.called(request, parts)
        return messages.returned(function, function(*arguments))
    except MemoryError:
        os._exit(messages.OUT_OF_MEMORY)  # what it still holds nobody knows; the next process is soon there
    except Exception as error:  # noqa: BLE001 (the reader's loop: what one file breaks, the next one does not meet)
        if messages.crosses(error):
            return messages.raised(error)
        where = "".join(traceback.format_tb(error.__traceback__))  # the error's own text may quote a value
        log.error("reading failed: %s\n%s", type(error).__name__, where)
        return messages.raised(ReadingFailed(f"what was received breaks what reads it ({type(error).__name__})"))


def main(descriptor: int, memory_mb: int, cpu_s: float) -> None:
    """Answer requests until the node closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's to handle
    node.log.configure()
    keep_private()
    settle_in()
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    hold_to_limits(memory_mb)
    connection, told = Connection(descriptor), 0.0

    def tell() -> None:
        nonlocal told
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            connection.send_bytes(messages.GOES_ON)

    connection.send_bytes(messages.GOES_ON)
    tell_by(tell)
    while True:
        content = connection.recv_bytes()
        mark, request = content[: messages.MARK_BYTES], content[messages.MARK_BYTES :]
        parts = [connection.recv_bytes() for _ in range(messages.parts_after(request))]
        signal.setitimer(signal.ITIMER_PROF, cpu_s)  # SIGPROF ends the process
        result = answer(request, parts)
        del parts
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send_bytes(mark + result)


if __name__ == "__main__":
    with contextlib.suppress(EOFError, ConnectionError):  # the node has gone
        main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
