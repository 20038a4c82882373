"""Pictures for the page are those in the objects, no wider than asked for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless, SecondaryCaptureImageStorage

from node.status.capture_png import png
from tests.node.receive.harness import mr, part10


def capture(path: Path, pixels: np.ndarray) -> Path:
    """A Secondary Capture with these pixels, (rows, columns, 3) or (rows, columns), uint8."""
    colour = pixels.ndim == 3
    ds = mr(
        SOPClassUID=SecondaryCaptureImageStorage,
        SamplesPerPixel=3 if colour else 1,
        PhotometricInterpretation="RGB" if colour else "MONOCHROME2",
        Rows=pixels.shape[0],
        Columns=pixels.shape[1],
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
    )
    if colour:
        ds.PlanarConfiguration = 0
    ds.PixelData = pixels.tobytes()
    path.write_bytes(part10(ds))
    return path


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 6)])
def test_the_picture_is_that_of_the_object(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    picture = Image.open(io.BytesIO(png(capture(tmp_path / "one.dcm", pixels), None)))
    assert np.array_equal(np.asarray(picture), pixels)


def test_a_wide_picture_is_made_narrower_in_proportion(tmp_path: Path) -> None:
    path = capture(tmp_path / "wide.dcm", np.zeros((20, 40, 3), np.uint8))
    assert Image.open(io.BytesIO(png(path, 10))).size == (10, 5)
    assert Image.open(io.BytesIO(png(path, 100))).size == (40, 20)  # never wider than it is


def test_a_picture_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        png(tmp_path / "gone.dcm", None)


def test_nothing_is_unpacked_or_decoded_for_a_picture(tmp_path: Path) -> None:
    path = capture(tmp_path / "one.dcm", np.zeros((4, 6), np.uint8))
    for syntax in (DeflatedExplicitVRLittleEndian, JPEGLSLossless):
        other = tmp_path / f"{syntax}.dcm"
        ds = dcmread(path)
        ds.file_meta.TransferSyntaxUID = syntax
        if syntax.is_compressed:
            ds.PixelData = encapsulate([bytes(100)])
        ds.save_as(other)
        with pytest.raises(OSError, match="no capture as the node writes them"):
            png(other, None)


@pytest.mark.parametrize("content", [b"", b"rubbish", bytes(128) + b"DICM" + bytes(40)])
def test_a_file_that_is_no_capture_is_an_error_of_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.dcm").write_bytes(content)
    with pytest.raises(OSError, match=r"one\.dcm: "):
        png(tmp_path / "one.dcm", None)


def test_a_capture_with_pixels_missing_is_one_too(tmp_path: Path) -> None:
    path = capture(tmp_path / "one.dcm", np.zeros((40, 60), np.uint8))
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(OSError, match="cannot be read as a capture"):
        png(path, None)
