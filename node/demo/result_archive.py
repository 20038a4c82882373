"""Where the demo's results go and are looked for: Orthanc, or a folder where there is no Orthanc."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pydicom
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedMRImageStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from dicom_sr.words import counted
from node.demo.orthanc_process import Orthanc

WORDS = {
    MRImageStorage: "MR series",
    EnhancedMRImageStorage: "MR series",
    SecondaryCaptureImageStorage: "capture",
    MultiFrameTrueColorSecondaryCaptureImageStorage: "capture",
    Comprehensive3DSRStorage: "report",
    ComprehensiveSRStorage: "report",
    EnhancedSRStorage: "report",
    ParametricMapStorage: "parametric map",
    SegmentationStorage: "segmentation",
    GrayscaleSoftcopyPresentationStateStorage: "presentation state",
    KeyObjectSelectionDocumentStorage: "key object note",
    EncapsulatedPDFStorage: "document",
}
OTHER = "other object"


@dataclass(frozen=True)
class Stored:
    """One object in the archive."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str

    @property
    def word(self) -> str:
        """What the object is called in a list."""
        return WORDS.get(UID(self.sop_class_uid), OTHER)


class ResultArchive(Protocol):
    """Says what it has."""

    def stored(self, study_instance_uid: str) -> tuple[Stored, ...]:
        """Every object of a study."""


class OrthancArchive:
    """Asks Orthanc by QIDO-RS."""

    def __init__(self, orthanc: Orthanc) -> None:
        self._orthanc = orthanc

    def stored(self, study_instance_uid: str) -> tuple[Stored, ...]:
        """What Orthanc holds of a study."""
        answer = self._orthanc.get("/dicom-web/instances", StudyInstanceUID=study_instance_uid, includefield="00080016")
        return tuple(
            Stored(_value(one, "00080018"), _value(one, "00080016"), _value(one, "0020000E")) for one in answer or ()
        )


class FolderArchive:
    """Looks into the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stored(self, study_instance_uid: str) -> tuple[Stored, ...]:
        """What lies in the folder of a study."""
        tags = ["SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID"]
        found = []
        for path in sorted(self._folder.rglob("*.dcm")):
            ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(tags))
            if ds.StudyInstanceUID == study_instance_uid:
                found.append(Stored(str(ds.SOPInstanceUID), str(ds.SOPClassUID), str(ds.SeriesInstanceUID)))
        return tuple(found)


def in_words(objects: tuple[Stored, ...]) -> str:
    """What these objects are, e.g. ``4 MR series (372 images), 1 capture, 1 report``."""
    counts = Counter(one.word for one in objects)
    phrases = []
    for word in sorted(counts, key=[*dict.fromkeys(WORDS.values()), OTHER].index):
        count = counts[word]
        if word == "MR series":
            series = len({one.series_instance_uid for one in objects if one.word == word})
            phrases.append(f"{series} MR series ({counted(count, 'image')})")
        else:
            phrases.append(counted(count, word))
    return ", ".join(phrases)


def _value(one: dict[str, Any], tag: str) -> str:
    return str(one.get(tag, {}).get("Value", [""])[0])
