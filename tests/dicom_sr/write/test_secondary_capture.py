from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dicom_sr.capture.pages import draw_page
from dicom_sr.findings import ImagePanel, Page
from dicom_sr.profile import EncodingProfile
from dicom_sr.provenance import Provenance
from dicom_sr.write.secondary_capture import imprint
from tests.dicom_sr.conftest import CREATED, Encode
from tests.factories import knee_result, knee_study

RAMP = np.tile(np.linspace(0, 1000, 64, dtype=np.float32), (48, 1))  # dark at the left


def page_of(title: str) -> Page:
    return Page("A title", (ImagePanel(title, RAMP),), summary=("What was found.",))


def test_the_object_holds_the_drawn_page(tmp_path: Path, encoded: Encode) -> None:
    study = knee_study(tmp_path / "in")
    result = replace(knee_result(study), pages=(page_of("a"), page_of("b")))
    first, second = encoded(result, "secondary_capture")["secondary_capture"]
    expected = draw_page(
        result.pages[0], imprint(Provenance(result, EncodingProfile(kinds=("secondary_capture",)), CREATED))
    )
    np.testing.assert_array_equal(first.pixel_array, np.asarray(expected))
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert (first.BurnedInAnnotation, first.PhotometricInterpretation, first.ConversionType) == ("YES", "RGB", "WSD")
    assert len(first.SourceImageSequence) == len(study.instances)
