"""Segmentations: heatmaps and coded regions as FRACTIONAL, BINARY and LABELMAP objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from dicom_sr.findings import ImageReference
from dicom_sr.profile import EncodedObject, Kind
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.read.headers import MANUFACTURER
from dicom_sr.segment_places import SegmentPlace
from dicom_sr.write.equipment import algorithm_parameters, algorithms, manufacturer
from dicom_sr.write.explicit_vr import encoded_item
from dicom_sr.write.finish import finish, write
from dicom_sr.write.left_out import Attempts
from dicom_sr.write.multi_frame import for_segment, frame_order, frames_tail, of_one_pixel, packed_bits
from dicom_sr.write.ohif import opens_segmentation
from dicom_sr.write.references import frame_number
from dicom_sr.write.segment_layers import Group, Layer, groups

Form = Literal["fractional", "binary", "labelmap"]
_MAXIMUM = 255.0  # MaximumFractionalValue
_LONGEST_TEXT = 10240  # characters of a long text (LT)


@dataclass(frozen=True)
class _Frame:
    """A frame of the object: where it lies, and what it shows."""

    place: int  # index among the used planes, in the object's order
    plane: int  # of the group
    segment: int  # index of the layer; 0 where the frame shows them all


def encode_segmentation(
    form: Form, provenance: Provenance, folder: Path, attempt: Attempts
) -> tuple[EncodedObject, ...]:
    """The heatmaps and segments of the result, one object for each image or volume that carries some.

    FRACTIONAL holds what is a probability; BINARY and LABELMAP hold everything, thresholded. Where segments of a
    LABELMAP overlap, the more probable one has the pixel.

    Parameters
    ----------
    form
        Which kind of segmentation.
    provenance
        What all objects of the result share.
    folder
        Where the files go.
    attempt
        Makes each object.
    """
    objects: list[EncodedObject] = []
    kind: Kind = f"segmentation_{form}"  # type: ignore[assignment]
    for index, group in enumerate(groups(provenance)):
        layers = [layer for layer in group.layers if layer.is_probability or form != "fractional"]
        if form == "binary":  # OHIF and others refuse a segment without a pixel
            layers = [layer for layer in layers if any(layer.is_on(plane) for plane in layer.planes)]
        if layers and (provenance.profile.viewer != "ohif" or opens_segmentation(group.images)):
            objects += attempt(kind, partial(_write, provenance, folder, kind, form, index, group, layers))
    return tuple(objects)


def _write(
    provenance: Provenance, folder: Path, kind: Kind, form: Form, index: int, group: Group, layers: list[Layer]
) -> EncodedObject:
    used = _used(form, layers, range(group.number_of_planes))
    ds = _of_one_pixel(provenance, form, index, group, layers, used)
    frames = _frames(form, layers, frame_order(ds, group.images))
    if group.frame is not None:  # from here on the frames name those of the whole image, not of the group's
        _refer_to_frame(ds, provenance.header_of[group.frame.sop_instance_uid], group.frame)
    _number_frames(ds, group)
    ds.Rows, ds.Columns = group.shape
    ds.NumberOfFrames = len(frames)
    ds.SegmentsOverlap = _overlap(form, layers, used, group.shape)
    finish(ds, provenance, f"{form} segments")
    if form != "labelmap":
        _remember(provenance, kind, ds, layers, frames)
    places = [encoded_item(one) for one in ds.PerFrameFunctionalGroupsSequence]
    many = form != "labelmap" and len(layers) > 1
    items = [for_segment(places[one.place], one.segment + 1) if many else places[one.place] for one in frames]
    del ds.PerFrameFunctionalGroupsSequence, ds.PixelData
    bits = len(frames) * group.shape[0] * group.shape[1] * ds.BitsAllocated
    vr = "OW" if ds.BitsAllocated > 8 else "OB"
    tail = frames_tail(items, "PixelData", vr, -(-bits // 8), _pixels(form, layers, frames, group.shape))
    return write(ds, kind, folder, f"segmentation-{form}-{index + 1}.dcm", tail=tail)


def _remember(provenance: Provenance, kind: Kind, ds: Dataset, layers: list[Layer], frames: list[_Frame]) -> None:
    """Keep where the segments lie: the report refers to them."""
    series = str(ds.ReferencedSeriesSequence[0].SeriesInstanceUID)  # a group lies on the images of one
    shown_on: dict[int, list[tuple[int, int]]] = {}  # by layer: number of the frame, and which place it shows
    for n, one in enumerate(frames, start=1):
        if layers[one.segment].is_on(one.plane):
            shown_on.setdefault(one.segment, []).append((n, one.place))
    for index, shown in shown_on.items():
        source = ds.PerFrameFunctionalGroupsSequence[shown[0][1]].DerivationImageSequence[0].SourceImageSequence[0]
        image = ImageReference(str(source.ReferencedSOPInstanceUID), source.get("ReferencedFrameNumber"))
        place = SegmentPlace(
            kind,
            str(ds.SOPClassUID),
            str(ds.SOPInstanceUID),
            index + 1,
            tuple(n for n, _ in shown),
            series,
            image if len(shown) == 1 else None,
            str(source.ReferencedSOPClassUID),
        )
        provenance.segments.add(layers[index].label, place)


def _used(form: Form, layers: list[Layer], planes: Sequence[int]) -> Sequence[int]:
    """The planes on which a layer has something; all of them where no frame would have a pixel."""
    if not any(_has_pixels(form, layer, plane) for layer in layers for plane in layer.planes):
        return planes
    return [plane for plane in planes if any(_is_used(form, layer, plane) for layer in layers)]


def _is_used(form: Form, layer: Layer, plane: int) -> bool:
    return layer.peak(plane) > 0 if form == "fractional" else layer.is_on(plane)


def _has_pixels(form: Form, layer: Layer, plane: int) -> bool:
    """Whether a frame of the layer on the plane would have a pixel that is not 0."""
    if form == "fractional":
        return bool(np.around(np.float32(layer.peak(plane)) * _MAXIMUM) > 0)
    return layer.is_on(plane)


def _frames(form: Form, layers: list[Layer], planes: list[int]) -> list[_Frame]:
    """Segment by segment, those of the used planes on which it has a pixel; all of them where no segment has any."""
    if form == "labelmap":
        return [_Frame(place, plane, 0) for place, plane in enumerate(planes)]
    every = [_Frame(place, plane, n) for n in range(len(layers)) for place, plane in enumerate(planes)]
    return [one for one in every if _has_pixels(form, layers[one.segment], one.plane)] or every


def _overlap(form: Form, layers: list[Layer], used: Sequence[int], shape: tuple[int, int]) -> str:
    """SegmentsOverlap; of probabilities nobody has defined what it means (PS3.3 C.8.20.2)."""
    if len(layers) == 1 or form == "labelmap":
        return "NO"
    if form == "fractional":
        return "UNDEFINED"
    of_one_map = len({id(layer.values) for layer in layers}) == 1 and all(layer.label_value for layer in layers)
    if of_one_map and len({layer.label_value for layer in layers}) == len(layers):
        return "NO"
    for plane in used:
        taken = np.zeros(shape, np.bool_)
        for layer in layers:
            if layer.is_on(plane):
                mask = layer.mask(plane, shape)
                if (taken & mask).any():
                    return "YES"
                taken |= mask
    return "NO"


def _pixels(form: Form, layers: list[Layer], frames: list[_Frame], shape: tuple[int, int]) -> Iterator[bytes]:
    """The pixels of the frames as they are stored."""
    if form == "binary":
        return packed_bits(layers[one.segment].mask(one.plane, shape) for one in frames)
    if form == "fractional":
        scaled = (np.around(layers[one.segment].probability(one.plane, shape) * _MAXIMUM) for one in frames)
        return (values.astype(np.uint8).tobytes() for values in scaled)
    dtype = np.uint8 if len(layers) <= np.iinfo(np.uint8).max else np.dtype("<u2")
    return (_labels(layers, one.plane, shape).astype(dtype).tobytes() for one in frames)


def _labels(layers: list[Layer], plane: int, shape: tuple[int, int]) -> NDArray[np.intp]:
    """The number of the segment at each pixel of a plane; of several the more probable one, then the first."""
    labels, best = np.zeros(shape, np.intp), np.full(shape, -1, np.float32)
    for number, layer in enumerate(layers, start=1):
        if layer.is_on(plane):
            probability = layer.probability(plane, shape)
            better = layer.mask(plane, shape) & (probability > best)
            labels[better], best[better] = number, probability[better]
    return labels


def _of_one_pixel(
    provenance: Provenance, form: Form, index: int, group: Group, layers: list[Layer], used: Sequence[int]
) -> Dataset:
    """The object but for its pixels: the frames of its first segment on the used planes, each of one pixel."""
    kind, images = f"segmentation_{form}", [of_one_pixel(image) for image in group.images]
    shown = np.zeros((group.number_of_planes, 1, 1), np.uint8)
    shown[list(used)] = 1
    ds = hd.seg.Segmentation(
        source_images=images,
        pixel_array=shown,
        segmentation_type=form.upper(),
        segment_descriptions=[_description(provenance, n, layer) for n, layer in enumerate(layers, start=1)],
        series_instance_uid=provenance.uid(kind, "series"),
        series_number=provenance.series_number(kind),
        sop_instance_uid=provenance.uid(kind, str(index)),
        instance_number=index + 1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=provenance.model.name,
        software_versions=software_version(),
        device_serial_number=provenance.profile.device_serial_number,
        content_label="SEGMENTATION",
        content_description=provenance.result.title[:64],
        content_creator_name=f"{MANUFACTURER}^",
    )
    if "FrameOfReferenceUID" not in images[0]:
        ds.PatientOrientation = ""  # dciodvfy wants it where no plane orientation says how the pixels lie
    return ds


def _number_frames(ds: Dataset, group: Group) -> None:
    """Have each frame name that of the image which it shows, where the group's image stands for some of its frames."""
    for frame in ds.PerFrameFunctionalGroupsSequence if group.frame_numbers else ():
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        source.ReferencedFrameNumber = group.frame_numbers[int(source.ReferencedFrameNumber) - 1]


def _refer_to_frame(ds: Dataset, image: Dataset, reference: ImageReference) -> None:
    """Let a segmentation and every frame of it name the frame of `image` that it lies on (PS3.3 C.7.6.16.2.6)."""
    number = frame_number(reference, image)
    instances = [item for series in ds.ReferencedSeriesSequence for item in series.ReferencedInstanceSequence]
    for frame in ds.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            for source in derivation.SourceImageSequence:
                instances.append(source)
                if number is not None:
                    source.ReferencedFrameNumber = number
    for item in instances:
        item.ReferencedSOPClassUID = image.SOPClassUID


def _description(provenance: Provenance, number: int, layer: Layer) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=layer.label,
        segmented_property_category=layer.category,
        segmented_property_type=layer.property_type,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=_algorithm_identification(provenance),
        tracking_uid=provenance.tracking_uid(layer.label),
        tracking_id=layer.label,
        anatomic_regions=None if layer.site is None else [layer.site.region],
        display_color=hd.color.CIELabColor.from_rgb(*layer.colour_rgb),
    )


def _algorithm_identification(provenance: Provenance) -> hd.AlgorithmIdentificationSequence:
    """Name, version and source as the contributing equipment has them, and the digest of the weights."""
    algorithm = algorithms(provenance)[0]
    identification = hd.AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=standard.DCM.ArtificialIntelligence,
        version=algorithm.version,
        source=manufacturer(algorithm),
    )
    identification[0].AlgorithmParameters = "\n".join(algorithm_parameters(provenance))[:_LONGEST_TEXT]
    return identification
