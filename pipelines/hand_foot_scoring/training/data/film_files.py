"""Picture files that hold films: PNG, JPEG, BMP, TIFF, MetaImage and DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from dicom_sr.errors import UNREADABLE, UnsuitableInput
from dicom_sr.read.pixels import frames
from dicom_sr.series import Instance

Image = NDArray[np.float32]
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
METAIMAGE = (".mha", ".mhd")
DICOM = (".dcm", ".dicom", ".ima", "")  # files of an export often have no ending
_MAGIC = b"DICM"  # after the preamble of 128 bytes, PS3.10 7.1
_FIRST_GROUPS = (b"\x02\0", b"\x08\0", b"\0\x08")  # of a file meta group and of data sets in either byte order


class UnreadableData(ValueError):
    """Data of a site that cannot be used; the message names the file and, in a table, row and column."""


def grey(path: Path) -> Image:
    """The first picture in a file, (H, W), larger is brighter.

    Bone has to be the brighter; films that are stored the other way round are turned only where DICOM says so.

    Raises
    ------
    UnreadableData
        If there is no such file, or no picture in it.
    """
    if not path.is_file():
        raise UnreadableData(f"{path}: there is no such file")
    ending = path.suffix.lower()
    read = _pillow if ending in PICTURES else _metaimage if ending in METAIMAGE else _dicom
    try:
        picture = read(path)
        if not np.isfinite(picture).all():
            raise UnsuitableInput("it holds values that are no numbers")
        return picture
    except (OSError, UnidentifiedImageError, UnsuitableInput, RuntimeError, ValueError, SyntaxError) as error:
        raise UnreadableData(f"{path}: is no picture that can be read ({error})") from error


def _pillow(path: Path) -> Image:
    with Pillow.open(path) as image:
        if image.mode.startswith(("I", "F")):  # 16 bits and more; `convert` would cut them off
            return np.asarray(image, np.float32)
        return np.asarray(image.convert("L"), np.float32)


def _metaimage(path: Path) -> Image:
    import SimpleITK

    array = np.squeeze(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
    if array.ndim != 2:
        raise UnsuitableInput(f"it has {array.ndim} dimensions")
    return np.asarray(array, np.float32)


def _dicom(path: Path) -> Image:
    picture = next(iter(frames(Instance("", "", path))))
    array = np.asarray(picture.array, np.float32)
    return array.mean(axis=-1) if array.ndim == 3 else array


def films_in(folder: Path) -> list[Path]:
    """The files below a folder that may be films, sorted; reports and other objects of a DICOM export are not."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [path for path in files if _may_be_a_film(path)]


def _may_be_a_film(path: Path) -> bool:
    ending = path.suffix.lower()
    if ending in PICTURES or ending in METAIMAGE:
        return True
    return ending in DICOM[:-1] or _is_dicom(path)


def _is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM, or, without preamble, begins as a data set and names its SOP class."""
    try:
        with path.open("rb") as stream:
            head = stream.read(132)
    except OSError:  # it is named among those that cannot be read
        return True
    if head[128:] == _MAGIC or not head.startswith((_MAGIC, *_FIRST_GROUPS)):
        return head[128:] == _MAGIC
    try:
        return bool(pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True, force=True))
    except UNREADABLE:
        return False
