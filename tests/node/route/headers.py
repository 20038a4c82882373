"""Headers for routes to look at: small, and with what routes ask for at values that the tests choose."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from dicom_sr.series import Instance, Series

NESTED = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5_000
"""(0040,0275), and in its item the same again, and so on: to be added to a data set in Explicit VR Little Endian."""


def header(number: int = 1, **elements: object) -> Dataset:
    """A sagittal MR slice, `number` from 1, 3 mm thick every 4 mm, unless `elements` say otherwise; None leaves out."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    ds.Modality, ds.InstanceNumber = "MR", number
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientAge = "Secret^Anna", "ID-4711", "19600229", "066Y"
    ds.ImagePositionPatient = [4.0 * number, -20.0, 30.0]
    ds.ImageOrientationPatient = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]
    ds.PixelSpacing, ds.SliceThickness = [0.5, 0.25], 3.0
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def enhanced(frames: int, spacing_mm: float) -> Dataset:
    """An axial multi-frame object whose orientation stands in the shared and whose positions in the frames' groups."""
    ds = header(ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, SliceThickness=None)
    ds.NumberOfFrames = frames
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    measures.SliceThickness, measures.PixelSpacing = spacing_mm, [0.5, 0.5]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for frame in range(frames):
        position, echo, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0.0, 0.0, spacing_mm * frame]
        echo.EffectiveEchoTime = 10.0 * (1 + frame % 2)
        group.PlanePositionSequence, group.MREchoSequence = Sequence([position]), Sequence([echo])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return ds


def add_frames(path: Path, frames: int, macros: int) -> None:
    """Give a file the groups of so many frames 1 mm apart, each with other macros too; pydicom would take its time."""
    group, position = Dataset(), Dataset()
    position.ImagePositionPatient = ["0", "0", "77777"]
    group.PlanePositionSequence = Sequence([position])
    for number in range(macros):
        macro = Dataset()
        macro.add_new((0x0018, 0x9087), "FD", 1.0 * number)
        group.add_new((0x0018, 0x9A00 + 2 * number), "SQ", Sequence([macro]))
    written = DicomBytesIO()
    written.is_little_endian, written.is_implicit_VR = True, False
    write_dataset(written, group)
    one = written.getvalue()
    item = b"\xfe\xff\x00\xe0" + len(one).to_bytes(4, "little")
    items = b"".join(item + one.replace(b"77777", b"%05d" % number) for number in range(frames))
    with path.open("ab") as file:
        file.write(b"\x00\x52\x30\x92SQ\0\0" + len(items).to_bytes(4, "little") + items)


def series(folder: Path, *headers: Dataset, **attributes: str) -> Series:
    """The headers as the files of one series."""
    instances = []
    for number, ds in enumerate(headers):
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{number}.dcm"
        ds.save_as(path, enforce_file_format=True)
        instances.append(Instance(str(ds.SOPInstanceUID), str(ds.SOPClassUID), path))
    return Series("1.2.3.4", "1.2.3", "MR", tuple(instances), attributes)
