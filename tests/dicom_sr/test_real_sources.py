from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_sr import codes
from dicom_sr.findings import Finding, Heatmap, ImageReference, Measurement, Region, Result, Site
from dicom_sr.series import read_studies
from dicom_sr.write.encode import EncodingProfile, encode
from pipelines.joint_classification.codes import CLS_RA, PROB_RA
from tests.dicom_sr import validators
from tests.dicom_sr.conftest import CREATED
from tests.factories import MODEL, knee_result, square

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.validators,
    pytest.mark.filterwarnings("ignore"),  # real headers make pydicom warn
]


def of_our_making(result: Result, folder: Path) -> list[str]:
    """dciodvfy's errors in one object of each series, but for those in values that the source brought."""
    source = "\n".join(str(header) for series in result.evidence for header in series.headers)
    found, seen = [], set()
    for one in encode(result, EncodingProfile(), CREATED, folder):
        if one.series_instance_uid not in seen:
            seen.add(one.series_instance_uid)
            for error in validators.dciodvfy(one.path)[0]:
                values = re.findall(r"= <([^>]*)>", error)
                if not values or values[0] not in source:
                    found.append(f"{one.path.name}: {error}")
    assert len(seen) >= 3
    return found


@pytest.mark.parametrize("name", ["wrist-ge-genesis", "phantom-thin-slice-ge", "enhanced-agfa/siemens-011-0001.dcm"])
def test_a_real_stack_becomes_objects_without_an_error_of_ours(tmp_path: Path, shared_data: Path, name: str) -> None:
    path = shared_data / "mr" / name
    (study,) = read_studies([path] if path.is_file() else path.glob("*"))
    assert of_our_making(knee_result(study), tmp_path) == []


def test_the_real_knee_becomes_objects_without_an_error_of_ours(tmp_path: Path, shared_data: Path) -> None:
    (study,) = read_studies((shared_data / "mr" / "knee-mese-t2-ge").glob("*"))
    result = knee_result(study)
    one_echo = replace(result, derived=result.derived[:1], findings=result.findings[:1])
    assert of_our_making(one_echo, tmp_path) == []


@pytest.mark.parametrize(
    "name", ["us/elbow-esaote/YBR_422.dcm", "us/hip-multiframe-dicom/167854.dcm", "xray/other-body-part/dx_image.dcm"]
)
def test_a_real_picture_becomes_objects_without_an_error_of_ours(tmp_path: Path, shared_data: Path, name: str) -> None:
    path = shared_data / name
    (study,) = read_studies([path])
    header = study.series[0].headers[0]
    frames = int(header.get("NumberOfFrames") or 1)
    reference = ImageReference(study.instances[0].sop_instance_uid, 1 if frames > 1 else None)
    heat = np.zeros((header.Rows, header.Columns), np.float32)
    heat[header.Rows // 4 : header.Rows // 2, header.Columns // 4 :] = 0.8
    finding = Finding(
        "Joint",
        CLS_RA,
        Site(codes.HAND, "R"),
        Region(reference, square((header.Columns / 2, header.Rows / 2), 20)),
        (Measurement(PROB_RA, 0.5, codes.NO_UNITS),),
        image_label="RA",
    )
    heatmap = Heatmap(reference, heat, codes.GRAD_CAM, "Attention")
    result = Result(MODEL, "Joint classification", study.series, (), (finding,), heatmaps=(heatmap,))
    assert of_our_making(result, tmp_path) == []


def test_an_empty_value_that_is_required_is_filled(tmp_path: Path, shared_data: Path) -> None:
    # this scanner leaves SequenceVariant, Type 1, empty
    (study,) = read_studies((shared_data / "mr" / "wrist-ge-genesis").glob("*"))
    assert not study.series[0].headers[0].get("SequenceVariant")
    first = encode(knee_result(study), EncodingProfile(kinds=("derived_series",)), CREATED, tmp_path)[0]
    assert pydicom.dcmread(first.path).SequenceVariant == "NONE"
