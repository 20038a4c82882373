"""What pixels mean for the eye."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from dicom_sr.photometric import least_is_white, photometric


def header(**elements: str) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("elements", "meaning", "white"),
    [
        ({"PhotometricInterpretation": "MONOCHROME2"}, "MONOCHROME2", False),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1", True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"}, "MONOCHROME1", True),
        ({"PresentationLUTShape": "INVERSE"}, "MONOCHROME1", True),
        ({"PresentationLUTShape": "IDENTITY", "PhotometricInterpretation": ""}, "MONOCHROME2", False),
        ({"PhotometricInterpretation": "RGB"}, "RGB", False),
        ({}, "", False),
    ],
)
def test_the_header_says_what_is_white_and_the_shape_says_it_where_that_is_missing(
    elements: dict[str, str], meaning: str, white: bool
) -> None:
    assert photometric(header(**elements)) == meaning
    assert least_is_white(header(**elements)) is white
