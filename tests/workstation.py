"""What a reader's workstation of another make sends: edited copies of reports and segmentations."""

from __future__ import annotations

import io
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from dicom_sr.read.headers import coded
from dicom_sr.write.sr_document import content_item

READER = "Roe^Jane^^Dr"


def groups(report: Dataset) -> list[Dataset]:
    """The measurement groups."""
    (measurements,) = named(report, "126010")
    return list(measurements.ContentSequence)


def named(parent: Dataset, value: str) -> list[Dataset]:
    """The content items of that name."""
    return [item for item in parent.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == value]


def edited(
    report: Dataset,
    change: Callable[[Dataset], None] = lambda copy: None,
    *,
    person: str = READER,
    succeeds: bool = True,
) -> Dataset:
    """A copy of a report as another system writes it, after `change`.

    Parameters
    ----------
    person
        Who stands for it; empty: nobody.
    succeeds
        Whether it names the report as its predecessor.
    """
    copy = deepcopy(report)
    uid = copy.SOPInstanceUID
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    copy.SeriesInstanceUID = generate_uid()
    copy.Manufacturer, copy.ManufacturerModelName = "ACME", "Viewer"
    for keyword in ("ContributingEquipmentSequence", "PredecessorDocumentsSequence"):
        if keyword in copy:
            delattr(copy, keyword)
    copy.ContentDate, copy.ContentTime, copy.TimezoneOffsetFromUTC = "20261201", "101500", "+0000"
    if person:
        observer = Dataset()
        observer.VerifyingObserverName, observer.VerifyingOrganization = person, "St. Elsewhere"
        observer.VerificationDateTime = "20261201101530+0000"
        copy.VerificationFlag, copy.VerifyingObserverSequence = "VERIFIED", [observer]
    if succeeds:
        reference, series, study = Dataset(), Dataset(), Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = report.SOPClassUID, uid
        series.SeriesInstanceUID, series.ReferencedSOPSequence = report.SeriesInstanceUID, [reference]
        study.StudyInstanceUID, study.ReferencedSeriesSequence = report.StudyInstanceUID, [series]
        copy.PredecessorDocumentsSequence = [study]
    change(copy)
    return copy


def set_number(group: Dataset, name: str, value: str) -> None:
    """Put another value in the place of the number of that name."""
    named(group, name)[0].MeasuredValueSequence[0].NumericValue = value


def add_code(group: Dataset, name: Code, value: Code) -> None:
    """Add a coded statement."""
    item = content_item("CONTAINS", "CODE", name)
    item.ConceptCodeSequence = [coded(value)]
    group.ContentSequence.append(item)


def add_comment(group: Dataset, text: str) -> None:
    """Add a comment."""
    item = content_item("CONTAINS", "TEXT", standard.DCM.Comment)
    item.TextValue = text
    group.ContentSequence.append(item)


def redrawn(ds: Dataset, change: Callable[[np.ndarray], None] = lambda frames: None, person: str = READER) -> Dataset:
    """A copy whose frames were changed, as a workstation writes it."""
    copy = deepcopy(ds)
    frames = np.atleast_3d(ds.pixel_array).reshape(-1, ds.Rows, ds.Columns).copy()
    change(frames)
    copy.PixelData = pack_bits(frames.astype(np.uint8)) if ds.BitsAllocated == 1 else frames.tobytes()
    copy.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    copy.Manufacturer, copy.ManufacturerModelName, copy.ContentCreatorName = "ACME", "Viewer", person
    return copy


def content_of(ds: Dataset) -> bytes:
    """The data set as a Part 10 file."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()
