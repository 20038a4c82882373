"""Two nodes with one configuration, each in a place and a time of its own, make the same objects of the same images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dicom_sr import phantoms
from tests.running import RunningNode

ROUTES = {
    "knee": {
        "when": {"Modality": "MR"},
        "level": "series",
        "pipeline": "knee_super_resolution",
        "settings": {"method": "tricubic"},
        "destinations": ["out"],
    }
}


NODE = {"data": "data", "device_serial_number": "1"}  # else each has a number of its own, and UIDs made from it
OUT = {"out": {"kind": "folder", "path": "out"}}
HERE = {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}
ELSEWHERE = {
    "TZ": "Asia/Tokyo",
    "LC_ALL": "de_DE.UTF-8",
    "PYTHONHASHSEED": "2",
    "HOSTNAME": "other",
    "USER": "other",
}


@contextmanager
def node_in(folder: Path, environment: dict[str, str]) -> Iterator[RunningNode]:
    """A node in a place and an environment of its own."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            node = stack.enter_context(RunningNode(folder, node=NODE, routes=ROUTES, destinations=OUT))
        yield node


def made_by(node: RunningNode) -> dict[str, bytes]:
    """The files that a node puts into its destination, by name."""
    (job,) = node.ended_jobs(1)
    assert (job.state, job.reason) == ("done", "")
    return {path.name: path.read_bytes() for path in (node.folder / "out").rglob("*") if path.is_file()}


def test_place_time_zone_and_locale_of_a_node_do_not_show_in_what_it_makes(tmp_path: Path) -> None:
    header = phantoms.study_header(phantoms.Person(), "same bytes", "Simulated knee")
    images = phantoms.write_knee_mr(tmp_path / "images", header, (8, 48, 44), (4.0, 1.25, 1.25), (30.0,))
    with node_in(tmp_path / "here", HERE) as here:
        here.send(images)  # it works while the other one starts
        with node_in(tmp_path / "further" / "down" / "there", ELSEWHERE) as there:
            there.send(images)
            first, second = made_by(here), made_by(there)
    assert len(first) > 20
    assert first == second
