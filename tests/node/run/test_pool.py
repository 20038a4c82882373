from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from jpeg_ls import encode_array
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from dicom_sr.errors import UnsuitableInput
from node.errors import JobFailed, WorkerDied
from node.run.job_folder import JobFolder
from node.run.messages import Check, Checked, Infer
from node.run.notes import StudyNote
from node.run.pool import LONG_S, Interrupted, NoneFree, Pool, Position, Stopping
from tests.counting import counting, counts
from tests.node.run.trial import install_trial, mr_instances
from tests.waiting import until


class Bed:
    """A job's folder with a stored series, and the requests that are made of it."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal.txt"
        self.folder = JobFolder(folder / "job")
        instances = mr_instances()
        paths = [folder / f"{ds.SOPInstanceUID}.dcm" for ds in instances]
        for ds, path in zip(instances, paths, strict=True):
            pydicom.dcmwrite(path, ds, enforce_file_format=True)
        self.folder.write_note(StudyNote(instances[0].StudyInstanceUID, tuple(paths)))

    def request(self, kind: type[Check] | type[Infer] = Infer, **settings: object) -> Check | Infer:
        return kind(self.folder.path, "trial", {"journal": str(self.journal), **settings})

    def said(self, what: str) -> int:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return sum(line.startswith(f"{what} ") for line in lines)


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bed:
    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "site"))
    return Bed(tmp_path)


@contextmanager
def pool(time_limit_s: float = 600.0, memory_limit_mb: int = 4096) -> Iterator[Pool]:
    made = Pool(1, time_limit_s, memory_limit_mb)
    made.start()
    try:
        yield made
    finally:
        made.close()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _are_busy(workers: Pool, number: int) -> bool:
    return workers.busy == number


def test_a_pipeline_that_takes_too_long_is_killed(bed: Bed) -> None:
    with pool(time_limit_s=1.5) as workers:
        (pid,) = workers.pids
        with pytest.raises(JobFailed, match=r"took longer than run.time_limit_s, 1.5 s"):
            workers.call(bed.request(behaviour="hang"))
        assert not alive(pid)


def test_a_pipeline_that_takes_too_much_memory_is_killed(bed: Bed) -> None:
    with pool(memory_limit_mb=500) as workers:
        (pid,) = workers.pids
        with pytest.raises(JobFailed, match=r"took more memory than run.memory_limit_mb, 500 MB"):
            workers.call(bed.request(behaviour="swell"))
        assert not alive(pid)


def test_variables_that_are_named_are_handed_on_and_others_are_not(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/models")
    monkeypatch.setenv("TORCH_HOME", "/others")
    monkeypatch.delenv("NOT_SET", raising=False)
    workers = Pool(1, 60.0, 4096, environment=("HF_HOME", "NOT_SET"))
    try:
        workers.start()
        workers.call(bed.request())
        (pid,) = workers.pids
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert b"HF_HOME=/models" in environment
        assert not [one for one in environment if one.startswith((b"TORCH_HOME=", b"NOT_SET="))]
    finally:
        workers.close()


def test_every_process_gets_the_variables_of_its_number(bed: Bed) -> None:
    workers = Pool(2, 60.0, 4096, of_slot=lambda slot: {"CUDA_VISIBLE_DEVICES": f"GPU-{slot}"})
    try:
        workers.start()
        workers.call(bed.request())
        found = [Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in workers.pids]
        assert [f"CUDA_VISIBLE_DEVICES=GPU-{slot}".encode() in one for slot, one in enumerate(found)] == [True, True]
    finally:
        workers.close()


def test_a_pipeline_is_loaded_once_and_stays_warm(bed: Bed) -> None:
    with pool() as workers:
        for _ in range(3):
            workers.call(bed.request())
        workers.call(bed.request(run_s=0.01))  # other settings are another pipeline
    assert bed.said("load") == 2
    assert bed.said("run") == 4


def test_an_answer_says_what_was_unsuitable_or_failed(bed: Bed) -> None:
    with pool() as workers:
        with pytest.raises(UnsuitableInput, match="needs a knee, found a phantom"):
            workers.call(bed.request(Check, behaviour="refuse"))
        with pytest.raises(JobFailed, match="the pipeline broke while it ran; the log says where"):
            workers.call(bed.request(behaviour="raise", quote="it"))
        (pid,) = workers.pids
        workers.call(bed.request())
        assert workers.pids == (pid,), "an error in a pipeline does not cost its process"


def test_a_process_that_dies_is_replaced_for_the_next_call(bed: Bed) -> None:
    with pool() as workers:
        with pytest.raises(WorkerDied, match="ended with signal 11"):
            workers.call(bed.request(behaviour="crash"))
        assert workers.call(bed.request(Check)) == Checked("1.0", "0" * 64)


def jpeg_2000(side: int) -> bytes:
    """A code stream that claims a picture of side x side, and has 200 bytes of it."""

    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">HH", marker, len(content) + 2) + content

    size = struct.pack(">HLLLLLLLLH", 0, side, side, 0, 0, side, side, 0, 0, 1) + b"\x0f\1\1"
    style, steps = b"\0\0\0\1\0\5\4\4\0\1", b"\x40" + bytes([0x48] * 16)
    tile = struct.pack(">HHHLBB", 0xFF90, 10, 0, 0, 0, 1) + b"\xff\x93" + bytes(200)
    return b"\xff\x4f" + segment(0xFF51, size) + segment(0xFF52, style) + segment(0xFF5C, steps) + tile + b"\xff\xd9"


def jpeg_ls(side: int) -> bytes:
    """A stream that claims a picture of side x side, and has one of 16 x 16."""
    stream = bytearray(encode_array(np.zeros((16, 16), np.uint16)))
    frame = stream.find(b"\xff\xf7")
    stream[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(stream)


def run_length(pairs: int) -> bytes:
    """Two segments, each of which unpacks to 128 bytes for every two."""
    segment = b"\x81\0" * pairs
    return struct.pack("<16L", 2, 64, 64 + len(segment), *[0] * 13) + segment + segment


BOMBS = {
    "JPEG 2000": (JPEG2000Lossless, jpeg_2000(60_000)),
    "JPEG-LS": (JPEGLSLossless, jpeg_ls(65_000)),
    "RLE": (RLELossless, run_length(400_000)),
}


def test_a_picture_that_unpacks_to_far_more_than_its_header_says_ends_its_own_job_only(
    bed: Bed, tmp_path: Path
) -> None:
    paths = list(tmp_path.glob("*.dcm"))
    with pool(memory_limit_mb=900) as workers:
        for name, (syntax, stream) in BOMBS.items():
            for path in paths:
                ds = pydicom.dcmread(path)
                ds.PixelData = encapsulate([stream])
                ds["PixelData"].is_undefined_length = True
                ds.file_meta.TransferSyntaxUID = syntax
                pydicom.dcmwrite(path, ds)
            with pytest.raises((UnsuitableInput, JobFailed, WorkerDied)) as ended:
                workers.call(bed.request(behaviour="decode"))
            assert "Muster" not in str(ended.value), name
            assert workers.call(bed.request(Check)) == Checked("1.0", "0" * 64), name


def test_a_call_that_is_given_up_leaves_no_answer_for_the_next_one(bed: Bed) -> None:
    def broken() -> bool:
        raise RuntimeError("the question itself failed")

    with pool() as workers:
        with pytest.raises(RuntimeError, match="the question itself failed"):
            workers.call(bed.request(run_s=1.5), cancelled=broken)
        assert workers.call(bed.request(Check)) == Checked("1.0", "0" * 64)


def test_a_call_can_be_cancelled(bed: Bed) -> None:
    with pool() as workers, pytest.raises(JobFailed, match="cancelled by an operator"):
        workers.call(bed.request(behaviour="hang"), cancelled=lambda: True)


def test_who_is_at_a_step_is_counted_until_it_ends_however_that_is(bed: Bed) -> None:
    seen = []

    def look() -> bool:
        seen.append(counts()["condyle_workers_busy", "trial", "infer"])
        return True

    with pool() as workers, counting() as added, pytest.raises(JobFailed, match="cancelled"):
        workers.call(bed.request(behaviour="hang"), cancelled=look)
    assert seen == [1]
    assert added == {}


def test_calls_leave_when_the_pool_is_closed_and_nothing_runs_on(bed: Bed) -> None:
    left: list[str] = []
    interrupted: list[bool] = []

    def call(request: Infer | Check) -> None:
        try:
            workers.call(request)
        except Stopping as stopping:
            interrupted.append(isinstance(stopping, Interrupted))
            left.append(request.do)

    with pool() as workers:
        threads = [threading.Thread(target=call, args=(bed.request(behaviour="hang"),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: bed.said("run") == 1 and workers.busy == 3)
        (pid,) = workers.pids
        workers.close()
        for thread in threads:
            thread.join(30)
        assert len(left) == 3
        assert sorted(interrupted) == [False, False, True], "one was under way, two waited for the worker"
        assert not alive(pid)


def test_waiting_calls_are_served_by_priority(bed: Bed) -> None:
    served: list[int] = []

    def call(priority: int) -> Callable[[], None]:
        return lambda: served.append(priority)

    with pool() as workers:
        threads = [threading.Thread(target=workers.call, args=(bed.request(run_s=1.0),))]
        threads[0].start()
        until(lambda: bed.said("run") == 1)
        for number, priority in enumerate((300, 50, 200), start=2):
            asked = {"position": Position(priority=priority), "began": call(priority)}
            threads.append(threading.Thread(target=workers.call, args=(bed.request(Check),), kwargs=asked))
            threads[-1].start()
            until(partial(_are_busy, workers, number))
        for thread in threads:
            thread.join(60)
    assert served == [50, 200, 300]


def test_what_is_done_in_a_moment_goes_first_then_the_oldest_of_one_priority(bed: Bed) -> None:
    served: list[str] = []
    positions = {
        "young": Position(since=9.0),
        "old": Position(since=3.0),
        "urgent": Position(priority=5, since=9.0),
        "light": Position(heavy=False, since=9.0),
    }
    with pool() as workers:
        threads = [threading.Thread(target=workers.call, args=(bed.request(run_s=1.0),))]
        threads[0].start()
        until(lambda: bed.said("run") == 1)
        for number, (name, position) in enumerate(positions.items(), start=2):
            asked = {"position": position, "began": partial(served.append, name)}
            threads.append(threading.Thread(target=workers.call, args=(bed.request(Check),), kwargs=asked))
            threads[-1].start()
            until(partial(_are_busy, workers, number))
        assert (workers.overtakes(99), workers.overtakes(100)) == (True, False)
        for thread in threads:
            thread.join(60)
    assert served == ["light", "urgent", "old", "young"]


def test_a_worker_that_was_long_at_a_result_stays_with_its_job_for_the_objects(bed: Bed) -> None:
    served: list[str] = []
    with pool() as workers:
        other = {"position": Position(since=1.0, job="other"), "began": partial(served.append, "other")}
        waits = threading.Thread(target=workers.call, args=(bed.request(Check),), kwargs=other)
        own = Position(since=2.0, job="own")
        workers.call(bed.request(run_s=LONG_S + 0.1), position=own)
        waits.start()
        until(lambda: workers.busy == 2, "the other one waits, though nobody is asked anything")
        workers.call(bed.request(Check), position=own, began=partial(served.append, "own"))
        waits.join(30)
        assert served == ["own", "other"]
        workers.call(bed.request(run_s=LONG_S + 0.1), position=own)
        until(lambda: workers.busy == 0, "it does not stay for ever")


def test_who_has_no_patience_is_told_that_no_worker_is_free(bed: Bed) -> None:
    with pool() as workers:
        threading.Thread(target=workers.call, args=(bed.request(run_s=2.0),)).start()
        until(lambda: bed.said("run") == 1)
        until(lambda: workers.busy_s > 0.1)
        with pytest.raises(NoneFree):
            workers.call(bed.request(Check), patience_s=0.1)
        with pytest.raises(JobFailed, match="it waits no longer"):
            workers.call(bed.request(Check), waiting=partial(_leave, "it waits no longer"))
        until(lambda: workers.busy == 0)
        assert workers.busy_s == 0.0


def _leave(why: str) -> None:
    raise JobFailed(why)


def test_a_process_that_has_nothing_to_do_ends_and_another_starts_when_it_is_needed(bed: Bed) -> None:
    workers = Pool(1, 600.0, 4096)
    try:
        assert not workers.pids
        workers.end_idle(0.0)
        workers.call(bed.request(Check))
        (first,) = workers.pids
        workers.end_idle(3600.0)
        assert alive(first)
        workers.end_idle(0.0)
        assert (workers.pids, alive(first)) == ((), False)
        workers.call(bed.request(Check))
        assert workers.pids not in ((), (first,))
    finally:
        workers.close()


def test_what_each_process_is_at_can_be_seen(bed: Bed) -> None:
    with pool() as workers:
        (idle,) = workers.views
        assert (idle.slot, idle.pid, idle.job_id, idle.warm) == (0, workers.pids[0], "", ())
        workers.call(bed.request())
        (after,) = workers.views
        assert (after.job_id, after.busy_s) == ("", 0.0)
        assert after.warm == (bed.request().pipeline,)
        workers._workers[0].asked = (bed.request(), workers._clock() - 5)  # type: ignore[union-attr]
        (busy,) = workers.views
        assert (busy.job_id, busy.step) == (bed.request().folder.name, bed.request().do)
        assert busy.busy_s >= 5
    assert workers.views[0].pid is None
