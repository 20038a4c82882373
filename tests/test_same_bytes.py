"""Two nodes with one configuration, each in a place and a time of its own, make the same objects of the same images."""

from __future__ import annotations

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


def made_by(folder: Path, images: list[Path]) -> dict[str, bytes]:
    """The files that a node in `folder` puts into its destination, by name."""
    folder.mkdir(parents=True)
    with RunningNode(folder, routes=ROUTES, destinations={"out": {"kind": "folder", "path": "out"}}) as node:
        node.send(images)
        (job,) = node.ended_jobs(1)
        assert (job.state, job.reason) == ("done", "")
    return {path.name: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}


def test_place_time_zone_and_locale_of_a_node_do_not_show_in_what_it_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = phantoms.study_header(phantoms.Person(), "same bytes", "Simulated knee")
    images = phantoms.write_knee_mr(tmp_path / "images", header, (8, 48, 44), (4.0, 1.25, 1.25), (30.0,))
    for name, value in {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}.items():
        monkeypatch.setenv(name, value)
    first = made_by(tmp_path / "here", images)
    elsewhere = {
        "TZ": "Asia/Tokyo",
        "LC_ALL": "de_DE.UTF-8",
        "PYTHONHASHSEED": "2",
        "HOSTNAME": "other",
        "USER": "other",
    }
    for name, value in elsewhere.items():
        monkeypatch.setenv(name, value)
    second = made_by(tmp_path / "further" / "down" / "there", images)
    assert len(first) > 20
    assert first == second
