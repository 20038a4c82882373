import math
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from dicom_sr.errors import UnsuitableInput
from node.errors import MustWait, PeerRefused, ReaderDied, ReadingFailed, StorageAway
from node.files import digest_of
from node.reading import HERE, Readers
from tests.needs import need_a_box
from tests.node.reading import hostile


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers(1, memory_mb=512, cpu_s=1.5) as readers:
        yield readers


def test_values_cross_as_they_are(readers: Readers) -> None:
    odd = hostile.Odd(b"\0\xff", {"a": ("1", 1, 1.0, math.inf), "b": ("", "ä\0\x1b")}, date(2024, 2, 29))
    given = (odd, Path("/a b/ä"), bytes(range(256)), (0.1, -math.inf))
    back = readers.call(hostile.the_same, *given)
    assert back == (odd, Path("/a b/ä"), bytes(range(256)), [0.1, -math.inf])
    assert [type(value) for value in back[0].values["a"]] == [str, int, float, float]
    series = hostile.series_of(Path("/x"))
    assert readers.call(hostile.same_series, series) == series


def test_many_bytes_cross_without_being_copied(readers: Readers) -> None:
    content, empty = bytes(2**22), b""
    tracemalloc.start()
    try:
        assert readers.call(hostile.sizes_of, 1, content, (content, empty), "x") == (2**22 + 1, [2**22, 0], "x")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_call_that_cannot_be_made_leaves_the_reader_to_others(readers: Readers) -> None:
    with pytest.raises(ValueError, match="cannot be given"):
        readers.call(hostile.unsuitable, object())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        readers.call(hostile.sizes_of, 1, b"x", ("no bytes",), "x")  # type: ignore[arg-type]
    assert readers.call(hostile.process_id) == readers.pids[0]


def test_a_reader_is_another_process_and_serves_one_call_after_the_other(readers: Readers) -> None:
    pid = readers.call(hostile.process_id)
    assert pid == readers.call(hostile.process_id) == readers.pids[0]
    assert HERE.call(hostile.process_id) != pid


def test_our_own_errors_cross_with_their_words(readers: Readers) -> None:
    with pytest.raises(UnsuitableInput, match="no pixels"):
        readers.call(hostile.unsuitable, "no pixels")
    with pytest.raises(PeerRefused, match="not here"):
        readers.call(hostile.refused, "not here")


def test_an_error_that_nobody_foresaw_says_its_kind_and_no_value(caplog: pytest.LogCaptureFixture) -> None:
    with Readers(1) as readers:
        pid = readers.call(hostile.process_id)
        with pytest.raises(ReadingFailed, match="KeyError") as raised:
            readers.call(hostile.broken, "Secret^Anna")
        assert not isinstance(raised.value, ReaderDied)
        assert readers.call(hostile.process_id) == pid
    assert "hostile.py" in caplog.text
    assert "Secret" not in f"{caplog.text}{raised.value}"


@pytest.mark.parametrize(
    ("function", "arguments", "why"),
    [
        (hostile.fill_memory, (4096,), "too much memory"),
        (hostile.crash, (), "SIGSEGV"),
        (hostile.count_for_ever, (), "too long"),
        (hostile.wrong_kind, (), "an answer that makes no sense"),
    ],
    ids=["memory", "crash", "processor time", "an answer of another kind"],
)
def test_what_ends_a_reader_ends_nothing_else(
    readers: Readers, function: object, arguments: tuple[object, ...], why: str
) -> None:
    with pytest.raises(ReaderDied, match=why):
        readers.call(function, *arguments)  # type: ignore[arg-type]
    assert readers.call(hostile.process_id) > 0


def test_what_waits_without_end_is_ended_by_the_clock() -> None:
    with Readers(1, wall_s=2.0) as readers, pytest.raises(StorageAway, match="not read within 2 s"):
        readers.call(hostile.sleep, 600.0)


def test_the_limit_is_for_one_file_of_many(readers: Readers) -> None:
    assert readers.call(hostile.work_on, 9, 0.2) == 9


def test_a_reader_opens_few_files_and_the_node_keeps_its_own(readers: Readers) -> None:
    assert readers.call(hostile.open_files) < 64


def test_a_closed_pool_says_so_and_leaves_no_process() -> None:
    readers = Readers(1)
    pid = readers.call(hostile.process_id)
    readers.close()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(MustWait, match="being stopped"):
        readers.call(hostile.process_id)


def test_in_a_box_a_reader_reads_images_and_nothing_else_of_the_node(tmp_path: Path) -> None:
    need_a_box()
    data = tmp_path / "data"
    (data / "instances").mkdir(parents=True)
    image, other, outside = data / "instances" / "1.dcm", data / "condyle.db", tmp_path / "token"
    for path in (image, other, outside):
        path.write_text("content")
    with Readers(1, instances=data / "instances") as readers:
        assert readers.call(digest_of, image) == digest_of(image)
        assert readers.call(digest_of, other) is None
        assert readers.call(digest_of, outside) is None
        (data / "instances").rename(data / "away")
        (data / "instances").mkdir()
        (data / "instances" / "2.dcm").write_text("of a storage that came back")
        assert readers.call(digest_of, data / "instances" / "2.dcm") is not None


def test_what_the_system_killed_is_tried_once_more(readers: Readers, tmp_path: Path) -> None:
    assert readers.call(hostile.killed_once, tmp_path / "mark") == 1


def test_a_death_that_is_no_files_fault_is_nobodys(readers: Readers) -> None:
    with pytest.raises(MustWait, match="short of memory"):
        readers.call(hostile.killed)
    assert readers.call(hostile.process_id) > 0


def test_a_call_has_an_end_whatever_the_reader_says_and_however_it_says_it() -> None:
    with Readers(1, call_s=1.0) as readers:
        with pytest.raises(StorageAway, match="not read within 1 s"):
            readers.call(hostile.goes_on_for_ever)
        with pytest.raises(StorageAway, match="not read within 1 s"):
            readers.call(hostile.begins_to_answer)


def test_an_answer_that_was_made_ready_for_another_question_is_none() -> None:
    with Readers(1) as readers:
        readers.call(hostile.answers_beforehand)
        (process,) = readers._running
        until(process.connection.poll)
        with pytest.raises(ReaderDied, match="makes no sense"):
            readers.call(hostile.process_id)
        assert readers.call(hostile.process_id) != 7


@pytest.mark.skipif(os.getuid() == 0, reason="the system does not hold root to a number of processes")
def test_a_reader_starts_no_process_and_no_thread(readers: Readers) -> None:
    assert readers.call(hostile.starts_others) == 0


def test_what_a_reader_says_is_not_long(readers: Readers) -> None:
    with pytest.raises(UnsuitableInput) as raised:
        readers.call(hostile.unsuitable, "no pixels " * 1000)
    assert len(str(raised.value)) == 300


def test_calls_do_not_wait_without_end_for_a_reader_that_is_free() -> None:
    with Readers(0, call_s=0.1) as readers, pytest.raises(MustWait, match="busy"):
        readers.call(hostile.process_id)


def test_a_reader_that_is_busy_does_not_outlive_the_node(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    node = subprocess.Popen([sys.executable, "-m", "tests.node.reading.hostile", str(told)])
    until(lambda: told.exists() and told.read_text() != "")
    node.kill()
    node.wait()
    until(lambda: not Path(f"/proc/{told.read_text()}").exists())


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30.0
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_a_reader_that_says_it_died_is_ended(readers: Readers) -> None:
    pid = readers.call(hostile.process_id)
    with pytest.raises(ReaderDied, match="makes no sense"):
        readers.call(hostile.says_that_it_died)
    assert not Path(f"/proc/{pid}").exists()
    assert len(readers.pids) <= 1
