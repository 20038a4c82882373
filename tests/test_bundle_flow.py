"""MONAI bundles on their whole way, with the node as a real process: sender -> node -> archive."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_sr.series import read_studies
from pipelines.monai_bundle import phantom
from tests.needs import missing, need_a_box
from tests.orthanc import Archive, OrthancMissing
from tests.pipelines.monai_bundle.configured import settings
from tests.pipelines.monai_bundle.made_bundles import classification_bundle, detection_bundle, threshold_bundle
from tests.pipelines.monai_bundle.oblique_series import write_body, write_radiograph
from tests.pipelines.monai_bundle.test_confined import of_code
from tests.pipelines.monai_bundle.test_pipeline import film
from tests.running import RunningNode

SEGMENTATION, REPORT = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"
NODULE = {"kind": "boxes", "findings": {"nodule": {"type": ["SCT", "27925004", "Nodule"]}}, "min_score": 0.0}
FRACTURE = {"kind": "classes", "classes": {"no fracture": {}, "fracture": {"type": ["SCT", "72704001", "Fracture"]}}}
FILM = {"image": {"Modality": "DX"}}


def route(bundle: str, **when: Any) -> dict[str, Any]:
    return {"when": when, "pipeline": f"bundle:{bundle}", "destinations": ["out"]}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    try:
        archive = Archive(tmp_path_factory.mktemp("archive"))
    except OrthancMissing as error:
        missing(str(error))
    with archive:
        yield archive


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, archive: Archive) -> Iterator[RunningNode]:
    """A node with a bundle of each kind."""
    folder = tmp_path_factory.mktemp("node")
    bundles = {
        "spleen": settings(threshold_bundle(folder / "spleen")),
        "nodule": settings(detection_bundle(folder / "nodule"), NODULE),
        "fracture": settings(
            classification_bundle(folder / "fracture"), FRACTURE, inputs={"image": {"Modality": "DX"}}
        ),
    }
    routes = {
        "spleen": route("spleen", Modality="CT", SeriesDescription="ABDOMEN"),
        "nodule": route("nodule", Modality="CT", SeriesDescription="THORAX"),
        "fracture": route("fracture", Modality="DX"),
    }
    there = {"kind": "dimse", "ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.dicom_port}
    with RunningNode(folder, bundles=bundles, routes=routes, destinations={"out": there}) as node:
        yield node


def results(node: RunningNode, archive: Archive, paths: list[Path]) -> list[Dataset]:
    """What the archive has of a study after the node was sent it."""
    images = [dcmread(path) for path in paths]
    assert set(node.send(images)) == {0}
    study = str(images[0].StudyInstanceUID)
    (job,) = node.ended_jobs(1, 240, study=study)
    assert (job.state, job.reason) == ("done", "")
    instances = archive.find("Instance", StudyInstanceUID=study)
    return [dcmread(BytesIO(archive.download(one))) for one in instances]


def of_class(objects: list[Dataset], sop_class: str) -> list[Dataset]:
    return [ds for ds in objects if ds.SOPClassUID == sop_class]


def numbers(report: Dataset) -> list[tuple[str, float]]:
    """Name and value of every number of a report."""
    found: list[tuple[str, float]] = []
    left = list(report.ContentSequence)
    while left:
        item = left.pop(0)
        if item.ValueType == "NUM":
            value = float(item.MeasuredValueSequence[0].NumericValue)
            found.append((str(item.ConceptNameCodeSequence[0].CodeMeaning), value))
        left += list(item.get("ContentSequence") or ())
    return found


@pytest.mark.orthanc
def test_a_segmentation_reaches_the_archive_on_the_images(node: RunningNode, archive: Archive, tmp_path: Path) -> None:
    paths, mask = write_body(tmp_path, numbered_backwards=True, study="flow segmentation")
    objects = results(node, archive, paths)
    (segmentation,) = of_class(objects, SEGMENTATION)
    assert segmentation.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "78961009"
    assert segmentation.FrameOfReferenceUID == dcmread(paths[0]).FrameOfReferenceUID
    (report,) = of_class(objects, REPORT)
    volume_cm3 = dict(numbers(report))["Volume"]
    assert volume_cm3 == pytest.approx(mask.sum() * np.prod(phantom.SPACING_MM) / 1000, rel=0.05)
    assert int(segmentation.pixel_array.sum()) * np.prod(phantom.SPACING_MM) / 1000 == pytest.approx(
        volume_cm3, rel=1e-3
    )


@pytest.mark.orthanc
def test_a_classification_reaches_the_archive_as_a_report(node: RunningNode, archive: Archive, tmp_path: Path) -> None:
    objects = results(node, archive, [write_radiograph(tmp_path, film())])
    (report,) = of_class(objects, REPORT)
    found = [value for name, value in numbers(report) if name == "Probability of the finding"]
    assert len(found) == 2
    assert sum(found) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.orthanc
def test_a_detection_reaches_the_archive_as_a_report(node: RunningNode, archive: Archive, tmp_path: Path) -> None:
    paths, _ = write_body(tmp_path, description="THORAX", study="flow detection")
    objects = results(node, archive, paths)
    (report,) = of_class(objects, REPORT)
    assert any(name == "Score of the detection" for name, _ in numbers(report))
    assert "SCOORD" in report.to_json()


def test_code_of_a_bundle_runs_in_the_box_of_a_worker(tmp_path: Path) -> None:
    need_a_box()
    (tmp_path / "node").mkdir()
    bundles = {"own": settings(of_code(tmp_path / "node" / "own"), trust="code")}
    sections: dict[str, Any] = {"bundles": bundles, "routes": {"own": route("own", Modality="CT")}}
    sections |= {"destinations": {"out": {"kind": "folder", "path": "out"}}, "run": {"box": "required"}}
    # a worker that imports PyTorch can hold up a busy machine for longer than a second between two images
    sections |= {"receive": {"series_quiet_s": 5, "study_quiet_s": 5}}
    paths, _ = write_body(tmp_path / "study", study="flow code")
    with RunningNode(tmp_path / "node", **sections) as node:
        node.send([dcmread(path) for path in paths])
        (job,) = node.ended_jobs(1, 240)
        assert (job.state, job.reason) == ("done", "")
    (study,) = read_studies(sorted((tmp_path / "node" / "out").rglob("*.dcm")))
    assert {instance.sop_class_uid for instance in study.instances} >= {SEGMENTATION, REPORT}
