"""Which joint an image shows, and whether it may be classified, as far as its header says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_sr.codes import CONDYLE, FINGER_JOINT, private
from dicom_sr.findings import Site
from dicom_sr.read.body_parts import Side, coded_parts, other_parts, side_named
from pipelines.svh_sites import svh_site

PARTS = frozenset({"hand", "finger", "wrist"})  # that may be a finger; with none, or only a limb, the picture decides
# ImageType value 3 of ultrasound, PS3.3 C.8.5.6.1.1: what it was used for, where that is not a joint
OTHER_USES = (
    "ABDOMINAL",
    "BREAST",
    "CHEST",
    "CARDIOLOGY",
    "ENDO",
    "FETAL",
    "GYNECOLOGY",
    "INTRA",
    "NEURO",
    "OBSTE",
    "OPHTHALMOLOGY",
    "PELVIC",
    "PERIPHERAL",
    "RENAL",
    "TEE",
    "TRANS",
    "UROLOGY",
    "VASCULAR",
)
_ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5"}
_JOINT = re.compile(r"\b(MCP|PIP|DIP|IP)[\s\-_]*(?:D|DIG)?[\s\-_]*([1-5]|I{1,3}|IV|V)?\b", re.IGNORECASE)
_WORDS = ("ImageComments", "SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")


@dataclass(frozen=True)
class Joint:
    """A joint of the hand, as far as it is known."""

    name: str  # e.g. MCP2; "" where the header does not say
    side: Side | None
    of_hand: bool  # the header says that it is one of the hand

    @property
    def label(self) -> str:
        """For people and for tracking, e.g. "L MCP2", "L finger joint", "joint"."""
        name = self.name or ("finger joint" if self.of_hand else "joint")
        return f"{self.side} {name}" if self.side else name

    @property
    def site(self) -> Site | None:
        """None where nothing says which part of the body it is."""
        if not self.of_hand:
            return None
        value = f"SITE-{self.name}"
        known = value in CONDYLE
        region = svh_site("hand", self.name).region if known else FINGER_JOINT
        return Site(region, self.side, private(value) if known else None)


def joint(header: Dataset, bone: bool = False) -> Joint:
    """The joint that a header names, in its descriptions; of a `bone` scan it is one of the hand whatever they say."""
    texts = [str(header.get(keyword) or "").replace("_", " ") for keyword in _WORDS]
    name = _name(texts)
    return Joint(name, side_named(header), bone or bool(name) or bool(coded_parts(header) & {"hand", "finger"}))


def _name(texts: list[str]) -> str:
    for text in texts:
        match = _JOINT.search(text)
        if match and match.group(2):
            number = match.group(2).upper()
            return match.group(1).upper() + _ROMAN.get(number, number)
    return ""


def refusal(header: Dataset) -> str | None:
    """Why an image cannot be of a finger joint, from its header alone; None where it may be."""
    other = other_parts(header, PARTS)
    if other:
        return f"the header says {other}, not a hand"
    use = [str(value).strip().upper() for value in (header.get("ImageType") or [])][2:3]
    if use and use[0].startswith(OTHER_USES):
        return f"the image was made as {use[0]}, not of a joint"
    return None
