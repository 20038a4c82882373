from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicom_sr.findings import Finding, ImageReference, Region, Result
from pipelines.joint_classification.codes import CLS_RA
from tests.dicom_sr.conftest import Encode
from tests.factories import MODEL, joint_result, radiograph_study, ultrasound_study


def test_a_joint_is_a_circle_with_its_scores(tmp_path: Path, encoded: Encode) -> None:
    (ds,) = encoded(joint_result(radiograph_study(tmp_path / "in"), (40, 30)), "presentation_state")[
        "presentation_state"
    ]
    assert ds.SOPClassUID.name == "Grayscale Softcopy Presentation State Storage"
    (annotation,) = ds.GraphicAnnotationSequence
    (graphic,) = annotation.GraphicObjectSequence
    assert graphic.GraphicType == "CIRCLE"
    centre, edge = np.reshape(graphic.GraphicData, (2, 2))
    np.testing.assert_allclose(centre, [40, 30])
    assert np.linalg.norm(edge - centre) == pytest.approx(8)
    (text,) = annotation.TextObjectSequence
    assert text.UnformattedTextValue == "MCP2 E2"


def test_a_label_at_the_edge_stays_inside_the_image(tmp_path: Path, encoded: Encode) -> None:
    (ds,) = encoded(joint_result(radiograph_study(tmp_path / "in"), (90, 115)), "presentation_state")[
        "presentation_state"
    ]
    (text,) = ds.GraphicAnnotationSequence[0].TextObjectSequence
    corners = [*text.BoundingBoxTopLeftHandCorner, *text.BoundingBoxBottomRightHandCorner]
    assert 0 <= corners[0] < corners[2] <= 96
    assert 0 <= corners[1] < corners[3] <= 120


def test_a_colour_image_gets_a_colour_state(tmp_path: Path, encoded: Encode) -> None:
    study = ultrasound_study(tmp_path / "in")
    outline = np.array([[10, 10], [90, 10], [90, 60], [10, 60], [10, 10]], float)
    region = Region(ImageReference(study.instances[0].sop_instance_uid), outline)
    finding = Finding("Joint", CLS_RA, None, region, image_label="RA 71 %")
    result = Result(MODEL, "Joint classification", study.series, (), (finding,))
    (ds,) = encoded(result, "presentation_state")["presentation_state"]
    assert ds.SOPClassUID.name == "Color Softcopy Presentation State Storage"
    assert ds.ICCProfile[12:16] in (b"spac", b"scnr")  # a display profile (mntr) is not allowed
    (graphic,) = ds.GraphicAnnotationSequence[0].GraphicObjectSequence
    assert graphic.GraphicType == "POLYLINE"
    np.testing.assert_allclose(np.reshape(graphic.GraphicData, (-1, 2)), outline)


def test_without_a_marked_place_there_is_no_state(tmp_path: Path, encoded: Encode) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))
    nowhere = replace(result.findings[0], region=None)
    assert encoded(replace(result, findings=(nowhere,)), "presentation_state") == {}


@pytest.mark.dcmtk
def test_dcmtk_reads_it_and_renders_the_image_through_it(
    tmp_path: Path, encoded: Encode, dcmtk: Callable[[str], Path]
) -> None:
    study = radiograph_study(tmp_path / "in")
    encoded(joint_result(study), "presentation_state")
    (state,) = (tmp_path / "objects").glob("*.dcm")
    picture = tmp_path / "out.pgm"
    subprocess.run([str(dcmtk("dcmp2pgm")), "-p", str(state), str(study.instances[0].path), str(picture)], check=True)
    header, pixels = picture.read_bytes().split(b"255\n", 1)
    assert b"96 120" in header
    assert np.frombuffer(pixels, np.uint8).std() > 10
    checked = subprocess.run([str(dcmtk("dcmpschk")), str(state)], capture_output=True, check=False)
    assert b"Test passed" in checked.stdout + checked.stderr
