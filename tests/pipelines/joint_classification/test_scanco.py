"""AIM and ISQ: real format samples against the same volume in open formats, and every kind of voxel."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification import scanco

SAMPLES = "hrpqct/ormir-xct-format"


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["test_aim.AIM", "test_isq.ISQ"])
def test_a_sample_holds_what_the_same_volume_holds_in_other_formats(shared_data: Path, name: str) -> None:
    scan = scanco.read(shared_data / SAMPLES / name)
    image = SimpleITK.ReadImage(str(shared_data / SAMPLES / "test_mha.mha"))
    np.testing.assert_array_equal(scan.array, SimpleITK.GetArrayFromImage(image))
    assert scan.spacing_mm == pytest.approx(image.GetSpacing()[::-1], rel=1e-3)


def _vax(value: float) -> bytes:
    """A number as a VAX writes it: times four, words swapped."""
    four = struct.pack("<f", value * 4)
    return four[2:] + four[:2]


def aim(array: Any, kind: Any, body: Any = None, version: Any = 20, spacing: Any = (0.03, 0.02, 0.01)) -> bytes:
    """An AIM file of a (D, H, W) array, spacing along D, H, W."""
    content = bytes(array.tobytes() if body is None else body)
    size = array.shape[::-1]
    log = b"! made by a test\0"
    if version == 20:
        numbers = struct.pack("<21i", *(0,) * 3, *size, *(0,) * 15) + b"".join(_vax(s) for s in spacing[::-1])
        structure = struct.pack("<5i", 16, 0, 0, 0, 0) + struct.pack("<i", kind) + numbers
        return struct.pack("<5i", 20, len(structure), len(log), len(content), 0) + structure + log + content
    nanometres = [round(s * 1e6) for s in spacing[::-1]]
    numbers = struct.pack("<21q", *(0,) * 3, *size, *(0,) * 15) + struct.pack("<3q", *nanometres)
    structure = struct.pack("<5i", 18, 0, 0, 0, 0) + struct.pack("<i", kind) + numbers
    before = scanco.AIM_V030 + struct.pack("<5q", 40, len(structure), len(log), len(content), 0)
    return bytes(before) + structure + log + content


@pytest.mark.parametrize("version", [20, 30])
@pytest.mark.parametrize(("kind", "dtype"), [(0x00010001, "i1"), (0x00020002, "<i2"), (0x001A0004, "<f4")])
def test_every_kind_of_voxel_is_read_in_both_versions(tmp_path: Path, version: int, kind: int, dtype: str) -> None:
    array = (np.arange(24).reshape(2, 3, 4) - 5).astype(dtype)
    path = tmp_path / "a.aim"
    path.write_bytes(aim(array, kind, version=version))
    scan = scanco.read(path)
    np.testing.assert_array_equal(scan.array, array)
    assert scan.spacing_mm == pytest.approx((0.03, 0.02, 0.01))


def test_runs_of_bits_and_of_bytes_are_unrolled(tmp_path: Path) -> None:
    flat = np.array([0] * 300 + [127] * 5 + [0] * 7, np.int8)
    array = flat.reshape(2, 12, 13)
    bits = bytes([0, 127, 255, 46, 5, 7])  # 254 + 46 zeros without a turn between, 5 of the other, 7 zeros
    pairs = bytes([255, 0, 45, 0, 5, 127, 7, 0])
    for kind, runs in ((0x00150001, bits), (0x00080002, pairs)):
        path = tmp_path / f"{kind}.aim"
        path.write_bytes(aim(array, kind, struct.pack("<i", 4 + len(runs)) + runs))
        np.testing.assert_array_equal(scanco.read(path).array, array)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-3], "voxels are there"),
        (lambda data: data[:60], "no whole AIM"),
        (lambda data: b"", "no whole AIM"),
        (lambda data: b"DICM" * 100, "neither header"),
        (lambda data: data[:40] + struct.pack("<i", 0x7777) + data[44:], "kind 0x00007777"),
        (lambda data: data[:56] + struct.pack("<3i", 60000, 60000, 60000) + data[68:], "60000 x 60000"),
    ],
)
def test_a_broken_file_is_refused_in_words(tmp_path: Path, change: Any, words: str) -> None:
    path = tmp_path / "broken.aim"
    path.write_bytes(change(aim(np.zeros((2, 3, 4), "<i2"), 0x00020002)))
    with pytest.raises(UnsuitableInput, match=words):
        scanco.read(path)
