"""Frames written one by one: objects of many frames need not be in memory, nor be built, as a whole.

What an object says of its frames does not hang on how many pixels they have. So highdicom builds it with frames of one
pixel, and the functional groups and pixels of the real frames follow in the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_sr.read.frames import classic_element
from dicom_sr.write.part10 import element_header

# headers of the elements that tell the frames of one segment from those of another at the same place
_DIMENSION_INDEX_VALUES = b"\x20\x00\x57\x91UL"  # the segment's comes first; two bytes of length follow
_REFERENCED_SEGMENT_NUMBER = b"\x62\x00\x0b\x00US\x02\x00"
_ONE_PIXEL = (classic_element("Rows", 1), classic_element("Columns", 1))


def of_one_pixel(image: Dataset) -> Dataset:
    """A source image as it is, but with frames of one pixel."""
    small = Dataset()
    small.update(image)
    for element in _ONE_PIXEL:
        small[element.tag] = element
    return small


def frame_order(ds: Dataset, images: Sequence[Dataset]) -> list[int]:
    """Which frame of its source images each frame of an object shows, as an index.

    Parameters
    ----------
    ds
        The object.
    images
        One image of many frames, or images of one frame each.
    """
    number = {str(image.SOPInstanceUID): n for n, image in enumerate(images)}
    order = []
    for one in ds.PerFrameFunctionalGroupsSequence:
        (source,) = one.DerivationImageSequence[0].SourceImageSequence
        frame = int(source.get("ReferencedFrameNumber") or 1) - 1
        order.append(number[str(source.ReferencedSOPInstanceUID)] + frame)
    return order


def for_segment(group: bytes, number: int) -> bytes:
    """The functional groups of a frame, those of the frame at the same place that shows another segment.

    Parameters
    ----------
    group
        The encoded item of the frame of any segment, of which there are several.
    number
        Of the segment.
    """
    changed = bytearray(group)
    struct.pack_into("<L", changed, group.index(_DIMENSION_INDEX_VALUES) + 8, number)
    struct.pack_into("<H", changed, group.index(_REFERENCED_SEGMENT_NUMBER) + 8, number)
    return bytes(changed)


def frames_tail(
    groups: Sequence[bytes], keyword: str, vr: str, length: int, pixels: Iterable[bytes]
) -> Iterator[bytes]:
    """The end of an object of many frames: their functional groups and their pixels.

    Parameters
    ----------
    groups
        The encoded item of each frame.
    keyword
        Of the element that holds the pixels.
    vr
        Of that element.
    length
        Of the pixels in bytes.
    pixels
        The pixels, in pieces of any size.

    Raises
    ------
    EncodingError
        If there are more pixels than an object can hold.
    """
    padding = b"\0" * (length % 2)
    of_groups = element_header("PerFrameFunctionalGroupsSequence", "SQ", sum(map(len, groups)))
    of_pixels = element_header(keyword, vr, length + len(padding))
    return chain([of_groups], groups, [of_pixels], pixels, [padding])


def packed_bits(masks: Iterable[NDArray[np.bool_]]) -> Iterator[bytes]:
    """Eight pixels in a byte, the first one in its lowest bit (PS3.5 8.1.1); a frame may begin within a byte."""
    rest = np.empty(0, np.bool_)
    for mask in masks:
        bits = np.concatenate([rest, mask.ravel()]) if len(rest) else mask.ravel()
        whole = len(bits) // 8 * 8
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
        rest = bits[whole:]
    yield np.packbits(rest, bitorder="little").tobytes()
