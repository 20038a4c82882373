"""What a reader process does with an object that may hold a verdict."""

from __future__ import annotations

import io
import os
from pathlib import Path

from pydicom.sr.coding import Code

from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.statements import Document, document_in
from node.receive.status import NotStored
from node.receive.store.header import ends_early
from node.receive.store.part10 import read_meta

LARGEST_REPORT = 16 * 2**20  # bytes; ours are well under one


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
    content = content_of(path, LARGEST_REPORT)
    try:
        meta = read_meta(io.BytesIO(content))
    except NotStored as error:
        raise UnsuitableInput("it is no DICOM file") from error
    if ends_early(memoryview(content)[meta.length :], meta.transfer_syntax_uid):
        raise UnsuitableInput("it is cut off")
    return document_in(content, answers)


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
