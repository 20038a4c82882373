"""What the pixels of an image mean for the eye: grey from black or from white, or colours."""

from __future__ import annotations

from pydicom.dataset import Dataset

KNOWN = (  # of PS3.3 C.7.6.3.1.2, what can be shown
    "MONOCHROME1",
    "MONOCHROME2",
    "PALETTE COLOR",
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_PARTIAL_422",
    "YBR_PARTIAL_420",
    "YBR_ICT",
    "YBR_RCT",
)
_SHAPES = {"IDENTITY": "MONOCHROME2", "INVERSE": "MONOCHROME1"}  # PresentationLUTShape, PS3.3 C.8.11.3.1


def photometric(header: Dataset) -> str:
    """PhotometricInterpretation; where it is missing, what PresentationLUTShape says; empty where neither is there."""
    said = str(header.get("PhotometricInterpretation") or "").strip().upper()
    return said or _SHAPES.get(str(header.get("PresentationLUTShape") or "").strip().upper(), "")


def least_is_white(header: Dataset) -> bool:
    """Whether larger values are darker."""
    return photometric(header) == "MONOCHROME1"
