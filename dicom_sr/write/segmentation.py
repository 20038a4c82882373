"""Segmentations: heatmaps and coded regions as FRACTIONAL, BINARY and LABELMAP objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_sr.capture.drawing import SERIES
from dicom_sr.codes import SPATIAL_CONCEPT
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Heatmap, ImageReference, Result, Segment, Site
from dicom_sr.profile import EncodedObject, Kind
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.read.frames import classic_element, number_of_frames
from dicom_sr.read.headers import MANUFACTURER
from dicom_sr.write.derived_series import derived_references
from dicom_sr.write.finish import finish, write
from dicom_sr.write.left_out import Attempts
from dicom_sr.write.references import frame_number, stand_in, stand_ins

Form = Literal["fractional", "binary", "labelmap"]
_GRID_TOLERANCE_MM = 0.01


@dataclass(frozen=True)
class _Layer:
    """One segment: what it is, and where on the images of its group."""

    label: str
    category: Code
    property_type: Code
    values: NDArray[np.float32]  # (N, H, W), probability in 0..1, on the images of the group
    threshold: float
    is_probability: bool
    colour_rgb: tuple[int, int, int]
    site: Site | None = None


@dataclass
class _Group:
    """Images that one segmentation object refers to, and its segments."""

    images: list[Dataset]
    layers: list[_Layer]
    frame: ImageReference | None = None  # the one frame it lies on, where the image's frames have no place in space


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
    for index, group in enumerate(_groups(provenance)):
        layers = [layer for layer in group.layers if layer.is_probability or form != "fractional"]
        if form == "binary":  # OHIF and others refuse a segment without a pixel
            layers = [layer for layer in layers if (layer.values >= layer.threshold).any()]
        if layers:
            objects += attempt(kind, partial(_write, provenance, folder, kind, form, index, group, layers))
    return tuple(objects)


def _write(
    provenance: Provenance, folder: Path, kind: Kind, form: Form, index: int, group: _Group, layers: list[_Layer]
) -> EncodedObject:
    ds = _segmentation(provenance, form, index, group, layers)
    return write(ds, kind, folder, f"segmentation-{form}-{index + 1}.dcm")


def _groups(provenance: Provenance) -> list[_Group]:
    result = provenance.result
    if not isinstance(result, Result):
        return []
    images = {uid: _without_scale(image) for uid, image in stand_ins(provenance).items()}
    planar: dict[tuple[str, int | None], _Group] = {}
    for number, heatmap in enumerate(result.heatmaps):
        group = _planar_group(planar, images, heatmap.image)
        group.layers.append(_from_heatmap(heatmap, group, SERIES[number % len(SERIES)]))
    volumes: dict[str, _Group] = {}
    for segment in result.segments:
        if segment.volume is None:
            if segment.image is None or segment.mask is None:
                raise EncodingError(f"segment {segment.label!r} has neither a volume nor an image with a mask")
            group = _planar_group(planar, images, segment.image)
            group.layers.append(_from_segment(segment, _on_frames(segment.mask, group, segment.image.frame_number)))
        else:
            grid = _grid_of(provenance, segment)
            if grid is None:
                continue
            slices, order = grid
            group = volumes.setdefault(str(slices[0].SOPInstanceUID), _Group(slices, []))
            group.layers.append(_from_segment(segment, segment.volume.array[order]))
    return [*planar.values(), *volumes.values()]


def _planar_group(
    planar: dict[tuple[str, int | None], _Group], images: dict[str, Dataset], reference: ImageReference
) -> _Group:
    """The group for maps on an image; where its frames have no place in space, as in a cine, on that frame of it.

    Without a frame of reference an object can tell only by its references which frame it lies on: one object a frame.
    """
    image = images[reference.sop_instance_uid]
    alone = reference.frame_number is not None and "FrameOfReferenceUID" not in image
    key = (reference.sop_instance_uid, reference.frame_number if alone else None)
    if key not in planar:
        if alone:
            image = stand_in(image)
            # highdicom looks for functional groups in all that may have frames: `_refer_to_frame` puts the class right
            for keyword, value in (("SOPClassUID", SecondaryCaptureImageStorage), ("NumberOfFrames", 1)):
                element = classic_element(keyword, value)
                image[element.tag] = element
        planar[key] = _Group([image], [], reference if alone else None)
    return planar[key]


def _without_scale(image: Dataset) -> Dataset:
    """A projection's spacing makes a pixel measures item without slice thickness, which no reader takes."""
    if "ImagePositionPatient" not in image:
        for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
            if keyword in image:
                del image[keyword]
    return image


def _from_heatmap(heatmap: Heatmap, group: _Group, colour: tuple[int, int, int]) -> _Layer:
    values = _on_frames(heatmap.array, group, heatmap.image.frame_number)
    return _Layer(
        heatmap.label[:64],
        SPATIAL_CONCEPT,
        heatmap.meaning,
        values,
        heatmap.threshold,
        True,
        colour,
        heatmap.site,
    )


def _from_segment(segment: Segment, values: NDArray[np.generic]) -> _Layer:
    return _Layer(
        segment.label[:64],
        segment.category,
        segment.property_type,
        np.asarray(values, np.float32),
        0.5,
        values.dtype.kind == "f",
        segment.colour_rgb,
    )


def _on_frames(plane: NDArray[np.generic], group: _Group, frame_number: int | None) -> NDArray[np.float32]:
    """`plane` (H, W) as (frames, H, W), empty on the other frames of the group's image."""
    image = group.images[0]
    if plane.shape != (int(image.Rows), int(image.Columns)):
        raise EncodingError(f"a map of {plane.shape} is not on the pixels of its image")
    values = np.zeros((number_of_frames(image), *plane.shape), np.float32)
    values[0 if group.frame is not None else (frame_number or 1) - 1] = plane
    return values


def _grid_of(provenance: Provenance, segment: Segment) -> tuple[list[Dataset], NDArray[np.intp]] | None:
    """The images on whose grid the segment's volume lies, and for each the slice of the array that is its own.

    None where that may be a derived series which does not go to the destination.
    """
    assert segment.volume is not None
    wanted = segment.volume
    candidates = [derived_references(provenance, i) for i in range(len(provenance.derived))]
    for series in provenance.result.evidence:
        candidates.append([stand_in(header) for header in series.headers if header.get("ImagePositionPatient")])
    for slices in candidates:
        if len(slices) < len(wanted.array) or (int(slices[0].Rows), int(slices[0].Columns)) != wanted.array.shape[1:]:
            continue
        positions = np.array([ds.ImagePositionPatient for ds in slices], np.float64)  # (N, 3)
        corners = wanted.affine[:3, 3] + np.arange(len(wanted.array))[:, None] * wanted.affine[:3, 0]  # (D, 3)
        distances = np.linalg.norm(positions[:, None] - corners[None], axis=2)  # (N, D)
        nearest = distances.argmin(1)
        found = np.flatnonzero(distances.min(1) < _GRID_TOLERANCE_MM)
        if len(set(nearest[found])) == len(wanted.array):
            # of several echoes at one place the first one carries the segment
            first = [next(i for i in found if nearest[i] == k) for k in range(len(wanted.array))]
            return [slices[i] for i in first], np.arange(len(wanted.array))
    if getattr(provenance.result, "derived", ()) and not provenance.derived:
        return None
    raise EncodingError(f"segment {segment.label!r} lies on the grid of no series of the result")


def _segmentation(provenance: Provenance, form: Form, index: int, group: _Group, layers: list[_Layer]) -> Dataset:
    kind, images = f"segmentation_{form}", group.images
    ds = hd.seg.Segmentation(
        source_images=images,
        pixel_array=_pixels(form, layers),
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
    if group.frame is not None:
        _refer_to_frame(ds, provenance.header_of[group.frame.sop_instance_uid], group.frame)
    return finish(ds, provenance, f"{form} segments")


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


def _pixels(form: Form, layers: list[_Layer]) -> NDArray[np.generic]:
    """(N, H, W, segments), or a label map (N, H, W)."""
    if form == "fractional":
        return np.clip(np.stack([layer.values for layer in layers], axis=-1), 0, 1)
    masks = np.stack([layer.values >= layer.threshold for layer in layers], axis=-1)
    if form == "binary":
        return masks.astype(np.uint8)
    strength = np.where(masks, np.stack([layer.values for layer in layers], axis=-1), 0)
    labels = strength.argmax(-1) + 1
    return np.where(masks.any(-1), labels, 0).astype(np.uint8)


def _description(provenance: Provenance, number: int, layer: _Layer) -> hd.seg.SegmentDescription:
    model = provenance.model
    tracking_id = f"{layer.label}"
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=layer.label,
        segmented_property_category=layer.category,
        segmented_property_type=layer.property_type,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=model.name, family=standard.DCM.ArtificialIntelligence, version=model.version
        ),
        tracking_uid=provenance.tracking_uid(tracking_id),
        tracking_id=tracking_id,
        anatomic_regions=None if layer.site is None else [layer.site.region],
        display_color=hd.color.CIELabColor.from_rgb(*layer.colour_rgb),
    )
