from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

import node.run.pool
from dicom_sr.errors import UnsuitableInput
from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.series import Study
from node import box
from node.errors import JobFailed, StorageAway, WorkerDied
from node.files import digest_of
from node.run.job_folder import JobFolder
from node.run.job_view import JobView, remove_all
from node.run.messages import Check, Encode, Encoded, Infer, Inferred, Settings
from node.run.notes import ObjectsNote, StudyNote
from node.run.pool import Pool, Stopping
from pipelines.joint_classification import JointClassification
from tests.factories import knee_study
from tests.needs import need_a_box
from tests.node.run.trial import CREATED, mr_instances
from tests.waiting import until

PIPELINE = "joint_classification"
HOSTILE = '''
import ctypes, json, os, socket, time
from pathlib import Path
from typing import ClassVar
from pipelines.base import PipelineSettings
from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Model

PASSES = object()

class Settings(PipelineSettings):
    do: str
    at: str = ""

class Panic(BaseException):
    """As Rust's panics come to Python."""

def tried(what):
    try:
        return str(what())
    except OSError as error:
        return f"no: {error.strerror}"

class Hostile:
    name, version, title, level = "hostile", "1.0", "Hostile", "series"
    needs_context = wants_prior_report = False
    settings_type: ClassVar = Settings
    model = Model("hostile", "1.0", "0" * 64, "nothing")

    def __init__(self, settings):
        self.settings = settings

    def load(self):
        pass

    def check(self, study):
        said = getattr(self, self.settings.do)(self.settings.at)
        if said is not PASSES:
            raise UnsuitableInput(json.dumps(said))

    def look(self, at):
        return {path: tried(lambda: sorted(os.listdir(path)) if Path(path).is_dir() else len(Path(path).read_bytes()))
                for path in at.split()}

    def write(self, at):
        return {path: tried(lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT))) for path in at.split()}

    def connect(self, at):
        return tried(lambda: socket.create_connection(("127.0.0.1", int(at)), 2))

    def resolve(self, at):
        return tried(lambda: socket.create_connection(("192.0.2.1", 80), 2))

    def tell(self, at):
        status = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return {"environment": dict(os.environ), "effective": status["CapEff"], "privileges": status["NoNewPrivs"],
                "account": os.getuid(), "processes": sorted(p for p in os.listdir("/proc") if p.isdigit())}

    def panic(self, at):
        raise Panic(at)

    def abort(self, at):
        os.abort()

    def swell(self, at):
        self.held = []
        if os.fork() == 0:
            while True:
                self.held.append(b"1" * 2**20)
        os.wait()

    def linger(self, at):
        if os.fork() == 0:
            os.setsid()
            while True:
                socket.socket().close()
        while True:
            socket.socket().close()

    def go_deep(self, at):
        here = os.open(at, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("deep", dir_fd=here)
            here, above = os.open("deep", os.O_RDONLY, dir_fd=here), here
            os.close(above)
        os.close(here)

    def leave(self, at):
        Path("/tmp/left").write_bytes(b"1" * int(at))

    def fill(self, at):
        with open("/dev/shm/left", "wb") as file:
            for _ in range(64):
                file.write(bytes(2**24))
            time.sleep(60)

    def write_to_log(self, at):
        for name in ("1", "2"):
            with open(f"/proc/self/fd/{name}", "w") as file:
                file.write("\\x1b[2Jforged\\n")
            try:
                os.truncate(f"/proc/self/fd/{name}", 0)
            except OSError as error:
                said = error.strerror
        return said

    def fork(self, at):
        for _ in range(int(at)):
            if os.fork() == 0:
                time.sleep(60)
        time.sleep(60)

    def leave_a_hole(self, at):
        job, size = at.split()
        with open(Path(job) / "checked.json", "wb") as file:
            file.truncate(int(size))
        os.replace = lambda *names: None  # the worker's own note does not take its place
        return PASSES

    def slip_in(self, at):  # what the node would read, or send, in the place of what it asked for
        job = Path(at)
        (job / "checked.json").unlink(missing_ok=True)
        (job / "checked.json").symlink_to("/etc/passwd")
        (job / "study.json").write_text("{}")
'''


@pytest.fixture(scope="module", autouse=True)
def _there_are_boxes() -> None:
    need_a_box()


class Bed:
    """A data folder with two jobs, one of which the hostile pipeline is put to."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.own, self.other = (self._job(name) for name in ("1.own", "2.other"))
        (self.data / "condyle.db").write_text("names")
        (self.data / "outbox").mkdir()
        self.secret = folder / "token"
        self.secret.write_text("secret")

    def _job(self, name: str) -> JobFolder:
        instances = mr_instances()
        (self.data / "instances" / name).mkdir(parents=True)
        paths = [self.data / "instances" / name / f"{number}.dcm" for number, _ in enumerate(instances)]
        for ds, path in zip(instances, paths, strict=True):
            pydicom.dcmwrite(path, ds, enforce_file_format=True)
        made = JobFolder(self.data / "jobs" / name)
        made.write_note(StudyNote(instances[0].StudyInstanceUID, tuple(paths)))
        return made

    def asked(self, do: str, at: object = "", job: JobFolder | None = None) -> Check:
        return Check((job or self.own).path, "hostile", {"do": do, "at": str(at)})


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bed:
    site = tmp_path / "site"
    info = site / "hostile-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "hostile_pipeline.py").write_text(HOSTILE)
    (site / "not_code.txt").write_text("beside the code")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[condyle.pipelines]\nhostile = hostile_pipeline:Hostile\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(Path(box.__file__).parents[1])]))
    monkeypatch.setenv("CONDYLE_TOKEN", "secret of the environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    return Bed(tmp_path)


@contextmanager
def pool(data: Path, time_limit_s: float = 60.0, memory_limit_mb: int = 4096) -> Iterator[Pool]:
    made = Pool(1, time_limit_s, memory_limit_mb, data=data)
    made.start()
    try:
        yield made
    finally:
        made.close()


def told(workers: Pool, asked: Check) -> object:
    with pytest.raises(UnsuitableInput) as caught:
        workers.call(asked)
    return json.loads(str(caught.value))


def in_box(pids: tuple[int, ...]) -> list[int]:
    """The processes below these."""
    found, left = [], list(pids)
    while left:
        below = box._children(left.pop())
        found += below
        left += below
    return found


def test_a_pipeline_sees_its_own_job_and_nothing_else_of_the_node(bed: Bed) -> None:
    with pool(bed.data) as workers:
        data, own, other = bed.data, bed.own.path, bed.other.path
        own_image, other_image = data / "instances" / "1.own" / "0.dcm", data / "instances" / "2.other" / "0.dcm"
        hidden = (
            "/etc/shadow",
            "/etc/passwd",
            data / "condyle.db",
            data / "outbox",
            other,
            other_image,
            bed.secret,
        )
        beside = bed.secret.parent / "site" / "not_code.txt"
        seen = told(workers, bed.asked("look", " ".join(map(str, (own, own_image, data, *hidden, beside)))))
        assert isinstance(seen, dict)
        assert seen.pop(str(own)) == "['study.json']"
        assert seen.pop(str(own_image)) == str(own_image.stat().st_size)
        assert seen.pop(str(data)) == "['instances', 'job-files.key', 'jobs', 'models']"
        assert set(seen.values()) == {"no: No such file or directory"}
        after = told(workers, bed.asked("look", f"{own} {other}", bed.other))
        assert after == {str(own): "no: No such file or directory", str(other): "['study.json']"}
        assert not list((data / "instances").glob(".boxes/*/*")), "what was shown is deleted when the images are"
    assert not list(data.glob("*/.boxes/*"))


def test_a_pipeline_writes_to_its_own_job_only(bed: Bed) -> None:
    image = bed.data / "instances" / "1.own" / "0.dcm"
    places = (image, bed.data / "new", bed.data / "job-files.key", "/new", "/usr/new", box.__file__, "/dev/new")
    kernel = ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper")
    with pool(bed.data) as workers:
        done = told(
            workers, bed.asked("write", " ".join(map(str, (*places, *kernel, bed.own.path / "new", "/tmp/new"))))
        )
    assert isinstance(done, dict)
    assert done.pop(str(bed.own.path / "new")) == done.pop("/tmp/new") == "None"
    assert all(answer.startswith("no: ") for answer in done.values()), done
    assert sorted(path.name for path in bed.own.path.iterdir()) == ["study.json"], "only what a step makes is taken"


def test_a_pipeline_reaches_no_network(bed: Bed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pool(bed.data) as workers:
        assert told(workers, bed.asked("connect", server.getsockname()[1])) == "no: Connection refused"
        assert told(workers, bed.asked("resolve")) == "no: Network is unreachable"


def test_a_pipeline_has_neither_the_environment_nor_the_rights_nor_sight_of_the_node(bed: Bed) -> None:
    with pool(bed.data) as workers:
        seen = told(workers, bed.asked("tell"))
    assert isinstance(seen, dict)
    assert not {"CONDYLE_TOKEN", "AWS_SECRET_ACCESS_KEY"} & set(seen["environment"])
    assert int(seen["effective"], 16) == 0
    assert int(seen["privileges"]) == 1
    assert seen["account"] == 65534
    assert len(seen["processes"]) <= 2


def test_a_panic_and_an_abort_of_native_code_count_as_deaths(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    with pool(bed.data) as workers:
        with pytest.raises(WorkerDied, match="exit code 70"):
            workers.call(bed.asked("panic", "Muster^Erika"))
        with pytest.raises(WorkerDied, match="signal 6"):
            workers.call(bed.asked("abort"))
    assert "worker broke: Panic" in caplog.text
    assert "Muster" not in caplog.text


def test_what_a_pipeline_starts_counts_against_its_memory(bed: Bed) -> None:
    with pool(bed.data, memory_limit_mb=600) as workers:
        until(lambda: len(in_box(workers.pids)) > 1)
        inside = in_box(workers.pids)
        with pytest.raises(JobFailed, match=r"took more memory than run\.memory_limit_mb, 600 MB"):
            workers.call(bed.asked("swell"))
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in inside))


def test_nothing_of_a_box_outlives_the_time_limit(bed: Bed) -> None:
    with pool(bed.data, time_limit_s=1.5) as workers:
        with pytest.raises(JobFailed, match="took longer"):
            workers.call(bed.asked("linger"))
        assert not in_box(workers.pids)


def test_folders_in_folders_without_end_are_removed(bed: Bed) -> None:
    with pool(bed.data) as workers:
        (before,) = workers.pids
        told(workers, bed.asked("go_deep", bed.own.path))
        told(workers, bed.asked("go_deep", "/tmp"))
        assert told(workers, bed.asked("look", bed.own.path)) == {str(bed.own.path): "['study.json']"}
        assert workers.pids == (before,)
    assert not list(bed.data.glob("*/.boxes/*"))


def test_a_process_that_left_much_in_tmp_is_replaced(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.run.pool, "LEFT_BYTES", 10**6)
    with pool(bed.data) as workers:
        told(workers, bed.asked("leave", 1000))
        kept, gone = {"/tmp/left": "1000"}, {"/tmp/left": "no: No such file or directory"}
        assert told(workers, bed.asked("look", "/tmp/left")) == kept, (
            "what a pipeline unpacks once stays for its next job"
        )
        told(workers, bed.asked("leave", 2 * 10**6))
        assert told(workers, bed.asked("look", "/tmp/left")) == gone
        told(workers, bed.asked("leave", 1000))
        monkeypatch.setattr(node.run.pool, "LEFT_S", 0.0)
        assert told(workers, bed.asked("look", "/tmp/left")) == kept
        assert told(workers, bed.asked("look", "/tmp/left")) == gone, "images of old jobs do not stay for ever"


def test_a_pipeline_that_fills_the_disk_is_killed(bed: Bed) -> None:
    with pool(bed.data, memory_limit_mb=600) as workers:
        with pytest.raises(JobFailed, match=r"wrote more than run\.memory_limit_mb, 600 MB, to its folder and /tmp"):
            workers.call(bed.asked("fill"))
        assert not list(bed.data.glob("*/.boxes/*")), "and nothing of it is left"


@pytest.mark.parametrize(
    ("size", "error", "told"),
    [
        (2**20 + 1, WorkerDied, "what the process left is not what was asked of it: a file of 1048577 bytes"),
        (2**40, JobFailed, "wrote more than run.memory_limit_mb"),
    ],
)
def test_a_file_that_is_large_and_takes_no_room_is_not_read_into_memory(
    bed: Bed, size: int, error: type[Exception], told: str
) -> None:
    with pool(bed.data) as workers, pytest.raises(error, match=re.escape(told)):
        workers.call(bed.asked("leave_a_hole", f"{bed.own.path} {size}"))
    assert sorted(path.name for path in bed.own.path.iterdir()) == ["study.json"]


def test_a_pipeline_neither_reads_nor_empties_the_log_and_what_it_writes_is_marked(
    bed: Bed, caplog: pytest.LogCaptureFixture
) -> None:
    with pool(bed.data) as workers:
        assert told(workers, bed.asked("write_to_log")) == "Invalid argument"
        (pid,) = workers.pids
    (first, second) = [record for record in caplog.records if record.message == "process says"]
    assert vars(first)["line"] == vars(second)["line"] == "\x1b[2Jforged"
    assert vars(first)["by"] == f"process {pid}"


def test_a_pipeline_that_starts_processes_without_end_is_killed(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.run.pool, "TASKS", 100)
    with pool(bed.data) as workers:
        until(lambda: len(in_box(workers.pids)) > 1)
        inside = in_box(workers.pids)
        with pytest.raises(JobFailed, match="started more than 100 processes and threads"):
            workers.call(bed.asked("fork", 150))
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in inside))


def test_a_link_in_the_place_of_what_was_made_is_not_taken(bed: Bed) -> None:
    kept = (bed.own.path / "study.json").read_bytes()
    with pool(bed.data) as workers:
        told(workers, bed.asked("slip_in", bed.own.path))
    assert (bed.own.path / "study.json").read_bytes() == kept
    assert not (bed.own.path / "checked.json").is_symlink()


def test_a_storage_that_went_away_and_came_back_is_seen_by_a_new_box(bed: Bed) -> None:
    image = bed.data / "instances" / "1.own" / "0.dcm"
    with pool(bed.data) as workers:
        assert told(workers, bed.asked("look", image)) == {str(image): str(image.stat().st_size)}
        shutil.copytree(bed.data / "instances", bed.data / "again", ignore=shutil.ignore_patterns(".boxes"))
        shutil.rmtree(bed.data / "instances")
        (bed.data / "instances").touch()
        with pytest.raises(StorageAway):
            workers.call(bed.asked("look", image))
        (bed.data / "instances").unlink()
        (bed.data / "again").rename(bed.data / "instances")
        assert told(workers, bed.asked("look", image)) == {str(image): str(image.stat().st_size)}


def test_a_storage_that_hangs_holds_up_the_call_that_needs_it_alone(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, answers = threading.Event(), threading.Event()

    def view(data: Path, node: str, limit: int) -> JobView:
        hangs.set()
        answers.wait()
        return JobView(data, node, limit)

    monkeypatch.setattr(node.run.pool, "JobView", view)
    workers = Pool(1, 60.0, 4096, data=bed.data)
    with ThreadPoolExecutor(1) as caller:
        call = caller.submit(workers.call, bed.asked("tell"))
        assert hangs.wait(10)
        assert workers.busy == 1
        workers.close()
        answers.set()
        assert isinstance(call.exception(30), Stopping)
    assert not list(bed.data.glob("*/.boxes/*")), "the process that came too late has ended"


def test_what_a_killed_node_left_goes_at_its_next_start_and_what_others_show_stays(tmp_path: Path) -> None:
    left, others = JobView(tmp_path, "ward:1", 1), JobView(tmp_path, "ward:2", 1)
    remove_all(tmp_path, "ward:1")
    assert not left.is_seen
    assert others.is_seen
    assert len(list(tmp_path.glob("*/.boxes/*"))) == 2


def test_an_answer_counts_though_what_was_shown_cannot_be_removed(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    cleared = JobView.clear
    with pool(bed.data) as workers:
        told(workers, bed.asked("look", bed.own.path))
        (before,) = workers.pids

        def held(view: JobView) -> None:  # as NFS does while a process has a file open; the first call is at showing
            monkeypatch.setattr(JobView, "clear", fails)
            cleared(view)

        def fails(_view: JobView) -> None:
            monkeypatch.setattr(JobView, "clear", cleared)
            raise OSError(errno.ENOTEMPTY, "Directory not empty")

        monkeypatch.setattr(JobView, "clear", held)
        assert told(workers, bed.asked("look", bed.own.path)) == {str(bed.own.path): "['study.json']"}
        assert told(workers, bed.asked("look", bed.own.path)) == {str(bed.own.path): "['study.json']"}
        assert workers.pids != (before,), "a process that keeps files is replaced"


def test_an_object_outside_of_the_jobs_folder_is_not_one_of_the_job(bed: Bed) -> None:
    image = bed.data / "instances" / "2.other" / "0.dcm"
    for place in (image, bed.own.objects / ".." / ".." / ".." / "instances" / "2.other" / "0.dcm"):
        item = EncodedObject(
            "1.1", "1.2", "1.3", "1.4", place, "report", 0, digest_of(image) or "", image.stat().st_size
        )
        bed.own.write_note(ObjectsNote("key", (item,), {"form": {"1.2": None}}))
        assert bed.own.written_objects() is None


def test_a_pipeline_makes_the_same_bytes_in_a_box(tmp_path: Path) -> None:
    images = JointClassification.example(tmp_path / "example").study
    boxed, free = (_made(images, tmp_path / name / "data", in_box=name == "boxed") for name in ("boxed", "free"))
    assert boxed
    assert boxed == free


@pytest.mark.parametrize("in_box", [True, False])
def test_derived_series_are_in_the_jobs_folder_while_the_rest_is_written(tmp_path: Path, in_box: bool) -> None:
    images = knee_study(tmp_path / "example")
    data = tmp_path / "data"
    folder = JobFolder(data / "jobs" / "1.same")
    seen: list[set[str]] = []

    def look() -> None:
        note = folder.written_series()
        assert note is not None
        assert not in_box or folder.written_objects() is None  # without a box the worker may be through by now
        seen.append({item.kind for item in note.objects})

    knee: tuple[str, Settings] = ("knee_super_resolution", {"method": "tricubic"})
    made = _made(images, data, in_box=in_box, pipeline=knee, series_there=look)
    assert seen == [{"derived_series"}]
    series = folder.written_series()
    assert series is not None
    assert {item.sop_instance_uid for item in series.objects} < set(made)


def _made(
    images: Study,
    data: Path,
    *,
    in_box: bool,
    pipeline: tuple[str, Settings] = (PIPELINE, {}),
    series_there: Callable[[], None] | None = None,
) -> dict[str, str]:
    """Digests of the objects that come of the images, by UID; both jobs have one id, which is part of the UIDs."""
    (data / "instances").mkdir(parents=True)
    paths = [
        Path(shutil.copy(one.path, data / "instances" / one.path.name))
        for series in images.series
        for one in series.instances
    ]
    folder = JobFolder(data / "jobs" / "1.same")
    folder.write_note(StudyNote(images.study_instance_uid, tuple(paths)))
    profiles = {"form": EncodingProfile(not_run_reports=True)}
    workers = Pool(1, 60.0, 4096, data=data if in_box else None)
    try:
        inferred = workers.call(Infer(folder.path, *pipeline))
        assert isinstance(inferred, Inferred)
        asked = Encode(folder.path, *pipeline, inferred.sha256, None, {}, profiles, CREATED, "", "key")
        if series_there is None:
            assert isinstance(workers.call(asked), Encoded)
        else:
            asked = replace(asked, series_first=True)
            assert isinstance(workers.call(asked, series_there=series_there), Encoded)
    finally:
        workers.close()
    note = folder.finished_objects("key")
    assert note is not None
    return {item.sop_instance_uid: item.sha256 for item in note.objects}
