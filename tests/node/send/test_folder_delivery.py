from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.send.lane import Lane
from tests.node.send.outgoing import HandClock, Outgoing, destinations, outgoing


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


def lane(out: Outgoing, clock: HandClock, **more: Any) -> Lane:
    configuration = destinations(folder={"kind": "folder", "path": out.folder / "results", **more})
    return Lane("folder", configuration.destinations["folder"], "CONDYLE", out.database, clock, data=out.folder)


def test_objects_lie_by_study_and_series_byte_for_byte(out: Outgoing) -> None:
    job = out.job("folder", kinds=("derived_series", "report"))
    assert lane(out, HandClock()).turn()
    found = sorted((out.folder / "results").rglob("*.dcm"))
    assert {path.stem for path in found} == {line.sop_instance_uid for line in out.lines(job)}
    for path in found:
        assert path.read_bytes() == out.path(path.stem).read_bytes()
    assert {len(path.relative_to(out.folder / "results").parts) for path in found} == {3}
    assert [p for p in (out.folder / "results").rglob("*") if p.name.endswith(".partial")] == []
    assert out.job_record(job).state == "done"


def test_a_file_that_is_there_already_is_left_as_it_is(out: Outgoing) -> None:
    clock = HandClock()
    first = out.job("folder")
    lane(out, clock).turn()
    (path,) = (out.folder / "results").rglob("*.dcm")
    before = path.stat().st_mtime_ns
    out.reset(first)
    lane(out, clock).turn()
    assert path.stat().st_mtime_ns == before
    assert out.lines(first)[0].answer == "there already"


def test_a_file_with_other_bytes_is_never_replaced(out: Outgoing) -> None:
    job = out.job("folder")
    lane(out, HandClock()).turn()
    (path,) = (out.folder / "results").rglob("*.dcm")
    path.write_bytes(b"somebody else's")
    out.reset(job)
    lane(out, HandClock()).turn()
    assert path.read_bytes() == b"somebody else's"
    assert out.states(job) == ["refused"]


def test_a_folder_that_cannot_be_written_is_tried_again(out: Outgoing) -> None:
    clock = HandClock()
    (out.folder / "results").write_text("in the way")
    job = out.job("folder")
    sending = lane(out, clock)
    assert not sending.turn()
    assert out.lines(job)[0].answer == "folder: Not a directory"
    (out.folder / "results").unlink()
    clock.wait(2)
    assert sending.turn()
    assert out.states(job) == ["delivered"]


@pytest.mark.parametrize(
    ("readable_by", "folder", "file"),
    [({}, 0o700, 0o600), ({"readable_by": "group"}, 0o750, 0o640), ({"readable_by": "everyone"}, 0o755, 0o644)],
)
def test_who_may_read_what_is_written_is_the_configurations_to_say(
    out: Outgoing, readable_by: dict[str, str], folder: int, file: int
) -> None:
    out.job("folder")
    assert lane(out, HandClock(), **readable_by).turn()
    written = [out.folder / "results", *(out.folder / "results").rglob("*")]
    assert {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in written} == {True: folder, False: file}
