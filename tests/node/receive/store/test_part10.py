"""File meta: what is read of a file's, whatever is wrong with it, and what the node writes of its own."""

from __future__ import annotations

import io
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
)

from node.receive.status import NotStored, Status
from node.receive.store.part10 import PREAMBLE, file_meta, read_meta
from tests.node.receive.harness import data_set, mr, part10


def test_the_meta_that_the_node_writes_is_read_by_pydicom_and_by_itself() -> None:
    ds = mr()
    prefix = file_meta(str(MRImageStorage), ds.SOPInstanceUID, str(ExplicitVRLittleEndian), "SCANNER")
    file = io.BytesIO(prefix + data_set(ds))
    read = pydicom.dcmread(file)
    assert read.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert read.file_meta.SourceApplicationEntityTitle == "SCANNER"
    assert read.PixelData == ds.PixelData
    meta = read_meta(file)
    assert (meta.sop_class_uid, meta.sop_instance_uid) == (MRImageStorage, ds.SOPInstanceUID)
    assert (meta.transfer_syntax_uid, meta.length) == (ExplicitVRLittleEndian, len(prefix))


def test_a_meta_without_preamble_or_prefix_is_read() -> None:
    ds = mr()
    whole = part10(ds)
    for start in (PREAMBLE, PREAMBLE + 4):
        assert read_meta(io.BytesIO(whole[start:])).sop_instance_uid == ds.SOPInstanceUID


@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [
        (ExplicitVRLittleEndian, False, True),
        (ImplicitVRLittleEndian, True, True),
        (ExplicitVRBigEndian, False, False),
    ],
)
def test_a_bare_data_set_shows_its_transfer_syntax(syntax: Any, implicit: bool, little: bool) -> None:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, "1.2.3"
    file = io.BytesIO()
    pydicom.dcmwrite(file, ds, implicit_vr=implicit, little_endian=little)
    meta = read_meta(file)
    assert (meta.transfer_syntax_uid, meta.length) == (syntax, 0)


def test_the_length_that_group_2_states_is_not_believed() -> None:
    prefix = bytearray(file_meta(str(MRImageStorage), "1.2.3", str(JPEG2000Lossless), ""))
    length = PREAMBLE + 4 + 8  # value of (0002,0000)
    prefix[length : length + 4] = b"\xff\xff\0\0"
    meta = read_meta(io.BytesIO(bytes(prefix) + data_set(mr())))
    assert (meta.transfer_syntax_uid, meta.length) == (JPEG2000Lossless, len(prefix))


@pytest.mark.parametrize("content", [b"", b"no DICOM at all, but long enough", b"\0" * 128 + b"DICM\2\0"])
def test_what_is_no_dicom_file_is_refused(content: bytes) -> None:
    with pytest.raises(NotStored) as refused:
        read_meta(io.BytesIO(content))
    assert refused.value.status == Status.CANNOT_UNDERSTAND
