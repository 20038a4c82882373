"""Scanco's own files, AIM and ISQ, as HR-pQCT scanners write them: voxels and spacing.

The layout of the headers follows the open readers of ITK and ormir_xct. Values are as stored: the network normalises
every volume by itself, and mask and motion look at relations only, so that no density calibration is needed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput

ISQ_MAGIC = b"CTDATA-HEADER_V1"
AIM_V030 = b"AIMDATA_V030   \0"
BLOCK = 512  # bytes of an ISQ header's unit
MOST_VOXELS = 2**31  # a header that asks for more is broken, not large

_AIM_TYPES: dict[int, str] = {
    0x00010001: "i1",
    0x00160001: "u1",
    0x000D0001: "u1",
    0x00020002: "<i2",
    0x00170002: "<u2",
    0x00030004: "<i4",
    0x001A0004: "<f4",
}
_RUNS_OF_BITS, _RUNS_OF_BYTES = 0x00150001, 0x00080002


@dataclass(frozen=True)
class Scan:
    """Voxels of a scan."""

    array: NDArray[np.float32]  # (D, H, W): slice, row, column
    spacing_mm: tuple[float, float, float]  # along D, H, W


def read(path: Path) -> Scan:
    """An AIM (versions 020 and 030) or ISQ file.

    Raises
    ------
    UnsuitableInput
        If it is neither, is cut off, or holds a kind of voxel that this cannot read; names the file.
    """
    data = path.read_bytes()
    try:
        scan = _isq(data) if data.startswith(ISQ_MAGIC) else _aim(data)
    except (struct.error, ValueError, IndexError) as error:
        raise UnsuitableInput(f"{path.name} is no whole AIM or ISQ file: {error}") from error
    return scan


def _shaped(values: NDArray[np.generic], size: tuple[int, int, int], spacing: tuple[float, float, float]) -> Scan:
    """Voxels in file order, columns fastest; `size` and `spacing` along x, y, z."""
    voxels = _voxels(size)
    if len(values) < voxels:
        raise ValueError(f"{len(values)} of {voxels} voxels are there")
    if not all(0.001 < one < 10.0 for one in spacing):
        raise ValueError("the voxel size is not one")
    array = np.asarray(values[:voxels], np.float32).reshape(size[::-1])
    return Scan(array, (spacing[2], spacing[1], spacing[0]))


def _voxels(size: tuple[int, int, int]) -> int:
    voxels = int(size[0]) * int(size[1]) * int(size[2])
    if min(size) < 1 or voxels > MOST_VOXELS:
        raise ValueError(f"a volume of {size[0]} x {size[1]} x {size[2]} voxels")
    return voxels


def _isq(data: bytes) -> Scan:
    columns, rows, slices, *um = struct.unpack_from("<6i", data, 44)
    _voxels((columns, rows, slices))
    (offset,) = struct.unpack_from("<i", data, BLOCK - 4)
    body = data[(offset + 1) * BLOCK :]
    values = np.frombuffer(body[: 2 * min(columns * rows * slices, len(body) // 2)], "<i2")
    spacing = (um[0] / columns / 1000, um[1] / rows / 1000, um[2] / slices / 1000)
    return _shaped(values, (columns, rows, slices), spacing)


def _aim(data: bytes) -> Scan:
    new = data.startswith(AIM_V030)
    start, word = (len(AIM_V030), "q") if new else (0, "i")
    before, structure, log = struct.unpack_from(f"<3{word}", data, start)
    if not new and before != 20:
        raise ValueError("neither header is there")
    at = start + before
    (kind,) = struct.unpack_from("<i", data, at + 20)
    numbers = struct.unpack_from(f"<21{word}", data, at + 24)  # position, size, offset and others, x y z each
    size = numbers[3:6]
    sizes = at + 24 + 21 * struct.calcsize(f"<{word}")
    if new:
        spacing = tuple(nm / 1e6 for nm in struct.unpack_from("<3q", data, sizes))
    else:
        spacing = tuple(_vax_float(data[sizes + 4 * axis :][:4]) for axis in range(3))
    body = data[at + structure + log :]
    return _shaped(_aim_values(kind, body, _voxels(size), struct.calcsize(f"<{word}")), size, spacing)


def _aim_values(kind: int, body: bytes, voxels: int, length_bytes: int) -> NDArray[np.generic]:
    if kind in _AIM_TYPES:
        dtype = np.dtype(_AIM_TYPES[kind])
        there = min(voxels, len(body) // dtype.itemsize)
        return np.frombuffer(body[: there * dtype.itemsize], dtype)
    runs = np.frombuffer(body[length_bytes:], np.uint8)  # what comes first is the length of the rest
    if kind == _RUNS_OF_BYTES:
        pairs = runs[: len(runs) // 2 * 2].reshape(-1, 2)
        return np.repeat(pairs[:, 1].view(np.int8), pairs[:, 0])
    if kind == _RUNS_OF_BITS:
        # two values, then runs of one and the other in turn; 255 stands for 254 voxels and no turn after them
        lengths = np.where(runs[2:] == 255, 254, runs[2:]).astype(np.int64)
        turns = np.concatenate([[0], np.cumsum(runs[2:] != 255)[:-1]]) if len(runs) > 2 else np.zeros(0, np.int64)
        return np.repeat(runs[:2].view(np.int8)[turns % 2], lengths)
    raise ValueError(f"voxels of kind 0x{kind:08X}")


def _vax_float(four: bytes) -> float:
    """A VAX F_floating number: PDP word order, exponent bias 128 and a fraction from a half."""
    (value,) = struct.unpack("<f", four[2:4] + four[0:2])
    return float(value) / 4
