"""What a shadow made lies in a local folder, and goes with its job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dicom_sr.profile import EncodedObject
from node.config import Configuration
from node.run.notes import ObjectsNote
from node.run.shadow_folder import folder_of, remove, write

ROUTE: dict[str, Any] = {"when": {}, "pipeline": "knee_super_resolution", "destinations": []}


def configured(folder: Path, **shadow: Any) -> Configuration:
    routes = {"knee": ROUTE, "candidate": {"shadow_of": "knee", **shadow}}
    return Configuration.model_validate({"node": {"data": folder / "data"}, "routes": routes})


@pytest.fixture
def note(tmp_path: Path) -> ObjectsNote:
    objects = []
    for number, kind in enumerate(("report", "secondary_capture", "key_objects")):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(kind.encode())
        objects.append(
            EncodedObject("1.4", f"1.{number}", "1.5", "1.2", path, kind, 9 - number, "ab", 3, None)  # type: ignore[arg-type]
        )
    twin = {"p": {"1.0": None, "1.1": None, "1.2": "1.0"}}
    return ObjectsNote("key", tuple(objects), twin)


def test_only_a_route_that_shadows_another_has_a_folder(tmp_path: Path) -> None:
    assert folder_of(configured(tmp_path), "knee") is None
    assert folder_of(configured(tmp_path), "by hand") is None
    assert folder_of(configured(tmp_path), "candidate") == tmp_path / "data" / "shadow" / "candidate"
    assert folder_of(configured(tmp_path, shadow_folder="/look"), "candidate") == Path("/look")


def test_the_objects_of_a_job_lie_in_its_folder_in_order_and_once(tmp_path: Path, note: ObjectsNote) -> None:
    for _ in range(2):  # a step may be done twice
        write(tmp_path / "shadow", "job1", note)
    lies = sorted((tmp_path / "shadow" / "job1").iterdir())
    assert [path.name for path in lies] == ["001-secondary_capture.dcm", "002-report.dcm"]
    assert lies[1].read_bytes() == b"report"


@pytest.mark.parametrize("own", [True, False])
def test_a_job_takes_its_folder_with_it_also_where_the_route_is_gone(
    tmp_path: Path, note: ObjectsNote, own: bool
) -> None:
    configuration = configured(tmp_path, **({"shadow_folder": str(tmp_path / "look")} if own else {}))
    folder = folder_of(configuration, "candidate")
    assert folder is not None
    for job in ("job1", "job2"):
        write(folder, job, note)
    remove(configuration if own else Configuration.model_validate({"node": {"data": tmp_path / "data"}}), "job1")
    assert [path.name for path in folder.iterdir()] == ["job2"]
