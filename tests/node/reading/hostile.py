"""What a reader is asked to do in these tests: each as a hostile file would have it done."""

from __future__ import annotations

import gc
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from pydantic import ConfigDict

from dicom_sr.errors import UnsuitableInput
from dicom_sr.series import Instance, Series
from node.errors import PeerRefused, ReaderDied
from node.progress import goes_on
from node.reading import Readers
from node.reading.messages import EXACT, GOES_ON, RETURNED
from node.route.facts import Value


@dataclass(frozen=True)
class Odd:
    """Values that plain JSON has no word for, or several."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    content: bytes
    values: Mapping[str, tuple[Value, ...]]
    day: date | None


def the_same(odd: Odd, path: Path, content: bytes, numbers: tuple[float, ...]) -> tuple[Odd, Path, bytes, list[float]]:
    """What it was given."""
    return odd, path, content, list(numbers)


def sizes_of(before: int, content: bytes, parts: tuple[bytes, ...], after: str) -> tuple[int, list[int], str]:
    """How much it was given."""
    return before + len(content), [len(part) for part in parts], after


def same_series(series: Series) -> Series:
    """What it was given."""
    return series


def process_id() -> int:
    """Of the reader."""
    return os.getpid()


def unsuitable(text: str) -> int:
    """Says no."""
    raise UnsuitableInput(text)


def refused(text: str) -> int:
    """Says no in the node's own words."""
    raise PeerRefused(text)


def broken(text: str) -> int:
    """Breaks, and quotes what it read."""
    raise KeyError(text)


def fill_memory(megabytes: int) -> int:
    """Takes as much."""
    return len([bytearray(64 * 2**20) for _ in range(0, megabytes, 64)])


def crash() -> int:
    """As native code does."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def count_for_ever() -> int:
    """Never ends."""
    number = 0
    while True:
        number += 1


def sleep(seconds: float) -> int:
    """Waits for something that does not come."""
    time.sleep(seconds)
    return 0


def work_on(files: int, seconds_each: float) -> int:
    """Reads many files, none of which takes long."""
    for _ in range(files):
        goes_on()
        end = time.process_time() + seconds_each
        while time.process_time() < end:
            pass
    return files


def open_files() -> int:
    """How many it can have open at once."""
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return len(held)
    finally:
        for descriptor in held:
            os.close(descriptor)


def wrong_kind() -> int:
    """Answers with what it does not declare."""
    return "a text"  # type: ignore[return-value]


def killed_once(mark: Path) -> int:
    """As the system ends it when memory is short elsewhere."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 1


def killed() -> int:
    """As the system ends it, again and again."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def goes_on_for_ever() -> int:
    """Says so, and reads nothing."""
    while True:
        connection().send_bytes(GOES_ON)
        time.sleep(0.01)


def begins_to_answer() -> int:
    """And never ends: the length is told, and what has it is not."""
    os.write(connection().fileno(), struct.pack("!i", 1000) + b"=")
    time.sleep(600.0)
    return 0


def answers_beforehand() -> int:
    """What nobody has asked yet, after the answer to this."""
    to = connection()
    signal.signal(signal.SIGALRM, lambda *_: to.send_bytes(b"12345678" + RETURNED + b"7"))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    return 0


def connection() -> Connection:
    """That of this reader to the node, as what has taken it over finds it."""
    (found,) = [one for one in gc.get_objects() if isinstance(one, Connection)]
    return found


def starts_others() -> int:
    """How many of a process and a thread it could start."""
    started = 0
    try:
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        started += 1
    except OSError:
        pass
    try:
        threading.Thread(target=int).start()
        started += 1
    except RuntimeError:
        pass
    return started


def tell_and_count(told: Path) -> int:
    """Never ends, after it has said which process it is."""
    told.write_text(str(os.getpid()))
    return count_for_ever()


def says_that_it_died() -> int:
    """A lie."""
    raise ReaderDied("not true")


def series_of(path: Path) -> Series:
    """A series of one instance."""
    return Series("1.2", "1.1", "MR", (Instance("1.3", "1.4", path),), MappingProxyType({"calling_ae_title": "MR1"}))


if __name__ == "__main__":
    from tests.node.reading import hostile  # by this name the reader finds it

    with Readers(1) as readers:
        readers.call(hostile.tell_and_count, Path(sys.argv[1]))
