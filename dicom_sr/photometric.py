"""What the pixels of an image mean for the eye: grey from black or from white, or colours."""

from __future__ import annotations

from pydicom.dataset import Dataset

_SHAPES = {"IDENTITY": "MONOCHROME2", "INVERSE": "MONOCHROME1"}  # PresentationLUTShape, PS3.3 C.8.11.3.1


def photometric(header: Dataset) -> str:
    """PhotometricInterpretation; what PresentationLUTShape says where it is missing, and empty where neither is there."""
    said = str(header.get("PhotometricInterpretation") or "").strip().upper()
    return said or _SHAPES.get(str(header.get("PresentationLUTShape") or "").strip().upper(), "")


def least_is_white(header: Dataset) -> bool:
    """Whether larger values are darker."""
    return photometric(header) == "MONOCHROME1"
