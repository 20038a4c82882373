"""Parametric Map objects: the voxels' uncertainty, float32, on the grid of the derived series they belong to."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from dicom_sr import codes
from dicom_sr.errors import EncodingError
from dicom_sr.findings import DerivedVolume
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.read.headers import MANUFACTURER, coded
from dicom_sr.write.derived_series import derived_references
from dicom_sr.write.equipment import algorithm_parameters, algorithms
from dicom_sr.write.explicit_vr import encoded_item
from dicom_sr.write.finish import finish, laterality, write
from dicom_sr.write.left_out import Attempts
from dicom_sr.write.multi_frame import frame_order, frames_tail, of_one_pixel

_REGIONS = {"KNEE": codes.KNEE, "HAND": codes.HAND, "FOOT": codes.FOOT, "WRIST": codes.WRIST_JOINT}  # BodyPartExamined


def encode_parametric_maps(provenance: Provenance, folder: Path, attempt: Attempts) -> tuple[EncodedObject, ...]:
    """The uncertainty of every derived volume that has one and goes to the destination."""
    objects: list[EncodedObject] = []
    for index, derived in enumerate(provenance.derived):
        if derived.uncertainty is not None:
            objects += attempt("parametric_map", partial(_write, provenance, folder, index, derived))
    return tuple(objects)


def _write(provenance: Provenance, folder: Path, index: int, derived: DerivedVolume) -> EncodedObject:
    assert derived.uncertainty is not None
    values = np.asarray(derived.uncertainty.array, np.dtype("<f4"))  # (D, H, W)
    if values.shape != derived.volume.array.shape:
        raise EncodingError(f"an uncertainty of {values.shape} is not on the grid of {derived.volume.array.shape}")
    references = derived_references(provenance, index)
    ds = _of_one_pixel(provenance, index, derived, references, values)
    order = frame_order(ds, references)
    items = [encoded_item(one) for one in ds.PerFrameFunctionalGroupsSequence]  # of derived slices: nothing to finish
    del ds.PerFrameFunctionalGroupsSequence, ds.FloatPixelData
    ds.Rows, ds.Columns = values.shape[1:]
    finish(ds, provenance, f"uncertainty {derived.label}".strip()[:40])
    tail = frames_tail(items, "FloatPixelData", "OF", values.nbytes, (values[k].tobytes() for k in order))
    return write(ds, "parametric_map", folder, f"parametric-map-{index + 1}.dcm", tail=tail)


class _Mapping(hd.pm.RealWorldValueMapping):
    """highdicom puts it into a message for each frame, whether or not anybody logs it."""

    def __repr__(self) -> str:
        return str(self.LUTLabel)


def _of_one_pixel(
    provenance: Provenance, index: int, derived: DerivedVolume, references: list[Dataset], values: NDArray[np.float32]
) -> Dataset:
    """The map but for its pixels: each of its frames has one."""
    low, high = float(values.min()), float(values.max())
    ds = hd.pm.ParametricMap(
        source_images=[of_one_pixel(image) for image in references],
        pixel_array=np.zeros((len(values), 1, 1), np.float32),
        series_instance_uid=provenance.uid("parametric_map", "series", str(index)),
        series_number=provenance.series_number("parametric_map", index),
        sop_instance_uid=provenance.uid("parametric_map", str(index)),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=provenance.model.name,
        software_versions=software_version(),
        device_serial_number=provenance.profile.device_serial_number,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            _Mapping(
                lut_label="SD",
                lut_explanation="Standard deviation of a voxel",
                unit=codes.ARBITRARY_UNIT,
                value_range=(low, max(high, low + 1e-6)),
                slope=1.0,
                intercept=0.0,
                quantity_definition=codes.UNC_SD,
            )
        ],
        voi_lut_transformations=[
            hd.VOILUTTransformation(window_center=(low + high) / 2, window_width=max(high - low, 1e-6))
        ],
        content_label="UNCERTAINTY",
        content_description="Standard deviation of a voxel",
        content_creator_name=f"{MANUFACTURER}^",
    )
    shared = ds.SharedFunctionalGroupsSequence[0]
    shared.FrameAnatomySequence = [_anatomy(provenance)]
    # the standard has no algorithm identification for a map: it is part of what the quantity is
    for mapping in shared.RealWorldValueMappingSequence:
        mapping.QuantityDefinitionSequence.extend(_algorithm(provenance))
    return ds


def _algorithm(provenance: Provenance) -> list[Dataset]:
    """Name, version and parameters of the algorithm as content items (PS3.3 C.7.6.16.2.11)."""
    algorithm = algorithms(provenance)[0]
    said = [
        (standard.DCM.AlgorithmName, algorithm.name),
        (standard.DCM.AlgorithmVersion, algorithm.version),
        *((standard.DCM.AlgorithmParameters, text) for text in algorithm_parameters(provenance)),
    ]
    items = []
    for name, text in said:
        item = Dataset()
        item.ValueType, item.ConceptNameCodeSequence, item.TextValue = "TEXT", [coded(name)], text
        items.append(item)
    return items


def _anatomy(provenance: Provenance) -> Dataset:
    """Frame Anatomy (PS3.3 C.7.6.16.2.8); dcmqi, and 3D Slicer with it, ends where a map has none."""
    result = provenance.result
    sites = [finding.site for finding in getattr(result, "findings", ()) if finding.site is not None]
    region = sites[0].region if sites else _REGIONS.get(provenance.body_part, standard.SCT.AnatomicalStructure)
    item = Dataset()
    item.AnatomicRegionSequence = [coded(region)]
    item.FrameLaterality = laterality(provenance) or "U"
    return item
