"""What a reader process does with an object that may hold a verdict."""

from __future__ import annotations

import io
import os
from pathlib import Path

from pydicom.sr.coding import Code

from dicom_sr.assessment import AssessmentDocument
from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.segment_masks import edited_segments
from dicom_sr.read.statements import Document, document_in
from node.progress import goes_on
from node.receive.status import NotStored
from node.receive.store.header import ends_early
from node.receive.store.part10 import read_meta

LARGEST_REPORT = 16 * 2**20  # bytes; ours are well under one
LARGEST_SEGMENTATION = 128 * 2**20  # bytes; two of them are in memory at a time


def document_at(path: Path, answers: tuple[Code, ...]) -> Document:
    """The report in a file.

    Parameters
    ----------
    path
        Of an instance in the store.
    answers
        Names of coded items that make a container a group though it has no tracking UID.

    Raises
    ------
    UnsuitableInput
        If it cannot be read, is larger than a report is, or is cut off: what it lacks was not left out by anybody.
    OSError
        If the file cannot be opened.
    """
    return document_in(_whole(path, LARGEST_REPORT), answers)


def segments_at(path: Path, ours: bytes) -> AssessmentDocument | None:
    """What the editor of the segmentation in a file says about one of ours; None where they have no segment in common.

    Parameters
    ----------
    path
        Of an instance in the store.
    ours
        The file of the segmentation that the node made.

    Raises
    ------
    UnsuitableInput
        If it cannot be read, is too large, or is cut off.
    NotAnEdit
        If it says nothing.
    OSError
        If the file cannot be opened.
    """
    return edited_segments(ours, _whole(path, LARGEST_SEGMENTATION), goes_on)


def _whole(path: Path, largest: int) -> bytes:
    """A file that is neither too large nor cut off."""
    content = content_of(path, largest)
    try:
        meta = read_meta(io.BytesIO(content))
    except NotStored as error:
        raise UnsuitableInput("it is no DICOM file") from error
    if ends_early(memoryview(content)[meta.length :], meta.transfer_syntax_uid):
        raise UnsuitableInput("it is cut off")
    return content


def content_of(path: Path, largest: int) -> bytes:
    """A file, whole.

    Raises
    ------
    UnsuitableInput
        If it is larger than `largest` bytes; it is not read then.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise UnsuitableInput(f"it has {size} bytes, and no more than {largest} are read")
        return file.read(size)
