"""Instances, series and studies as they lie on disk, with their headers but without their pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import pydicom
from pydicom.dataset import Dataset

from dicom_sr.errors import UNREADABLE, UnsuitableInput, why_unreadable
from dicom_sr.header_numbers import whole_number_in

_BESIDE_IMAGES = {"", "PR", "KO", "SR", "OT", "DOC"}  # modalities of what comes with images


@dataclass(frozen=True)
class Instance:
    """One SOP instance, stored."""

    sop_instance_uid: str
    sop_class_uid: str
    path: Path

    def header(self) -> Dataset:
        """The data set without its pixels.

        Raises
        ------
        UnsuitableInput
            If it cannot be read.
        """
        try:
            return pydicom.dcmread(self.path, stop_before_pixels=True, force=True)
        except UNREADABLE as error:
            what = f"the header of instance {self.sop_instance_uid} cannot be read"
            raise UnsuitableInput(f"{what}: {why_unreadable(error)}") from error


@dataclass(frozen=True)
class Series:
    """The instances of one series, in the order of InstanceNumber, then SOPInstanceUID."""

    series_instance_uid: str
    study_instance_uid: str
    modality: str
    instances: tuple[Instance, ...]
    # what came with the association, not with the images: calling_ae_title, called_ae_title, peer_address
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @cached_property
    def headers(self) -> tuple[Dataset, ...]:
        """One data set without pixels per instance, in the order of `instances`; read once."""
        return tuple(instance.header() for instance in self.instances)


@dataclass(frozen=True)
class Study:
    """The series of one study that a job was given."""

    study_instance_uid: str
    series: tuple[Series, ...]

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Every instance of the study, series by series."""
        return tuple(instance for series in self.series for instance in series.instances)

    def only_series(self, *modalities: str) -> Series:
        """The single series of the given modalities.

        Raises
        ------
        UnsuitableInput
            If there is none, or more than one.
        """
        found = [series for series in self.series if series.modality in modalities]
        if len(found) != 1:
            raise UnsuitableInput(f"needs one series of modality {' or '.join(modalities)}, found {len(found)}")
        return found[0]


def read_studies(paths: Iterable[Path]) -> tuple[Study, ...]:
    """The studies that the given Part 10 files make up; only headers are read.

    Raises
    ------
    UnsuitableInput
        If a file is not DICOM or lacks a UID; the message names the file.
    """
    grouped: dict[str, dict[str, list[tuple[int, Instance, str]]]] = {}
    for path in sorted(paths):
        try:
            ds = pydicom.dcmread(
                path,
                stop_before_pixels=True,
                specific_tags=[
                    "SOPInstanceUID",
                    "SOPClassUID",
                    "SeriesInstanceUID",
                    "StudyInstanceUID",
                    "Modality",
                    "InstanceNumber",
                ],
                force=True,
            )
            instance = Instance(str(ds.SOPInstanceUID), str(ds.SOPClassUID), path)
            series = grouped.setdefault(str(ds.StudyInstanceUID), {}).setdefault(str(ds.SeriesInstanceUID), [])
            series.append((whole_number_in(ds, "InstanceNumber") or 0, instance, str(ds.get("Modality") or "")))
        except UNREADABLE as error:
            lacks = getattr(error, "name", None) if isinstance(error, AttributeError) else None
            what = f"is no DICOM instance: it has no {lacks}" if lacks else f"cannot be read: {why_unreadable(error)}"
            raise UnsuitableInput(f"{path.name} {what}") from error
    return tuple(
        Study(study_uid, tuple(_series(study_uid, series_uid, rows) for series_uid, rows in series.items()))
        for study_uid, series in grouped.items()
    )


def _series(study_uid: str, series_uid: str, rows: list[tuple[int, Instance, str]]) -> Series:
    rows = sorted(rows, key=lambda row: (row[0], row[1].sop_instance_uid))
    return Series(series_uid, study_uid, _modality([row[2] for row in rows]), tuple(row[1] for row in rows))


def _modality(of_instances: list[str]) -> str:
    """That of most instances; a presentation state or a capture among images does not give its name to all."""
    images = [modality for modality in of_instances if modality not in _BESIDE_IMAGES]
    return Counter(images or of_instances).most_common(1)[0][0]
