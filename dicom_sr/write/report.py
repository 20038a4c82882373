"""TID 1500 Imaging Measurement Report, as Comprehensive 3D SR and as Comprehensive SR."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_sr import codes
from dicom_sr.decimal_string import rounded
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Finding, ImageReference, Measurement, NotEvaluable, Region, Site, frame_outline
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance
from dicom_sr.read.frames import number_of_frames
from dicom_sr.segment_places import SegmentPlace
from dicom_sr.versions import series_of
from dicom_sr.write import ohif, statements
from dicom_sr.write.derived_series import derived_references
from dicom_sr.write.equipment import algorithm_parameters, algorithm_uid, algorithms, manufacturer
from dicom_sr.write.finish import finish, write
from dicom_sr.write.references import frame_number, stand_ins
from dicom_sr.write.sr_document import (
    document,
    evidence_items,
    image_library,
    names_of,
    predecessor_items,
    references,
    result_objects,
    text_item,
)

_CLASSES = {"comprehensive_3d": Comprehensive3DSRStorage, "comprehensive": ComprehensiveSRStorage}
_MAXIMUM_TEXT = 1024
Group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations


def encode_report(
    provenance: Provenance,
    folder: Path,
    predecessors: Sequence[EncodedObject] = (),
    others: Sequence[EncodedObject] = (),
) -> tuple[EncodedObject, ...]:
    """The measurement report in the form that the profile asks for.

    Where that is Comprehensive 3D SR, a Comprehensive SR with the same tree comes with it as its twin, for peers
    that refuse the newer class.

    Parameters
    ----------
    provenance
        What all objects of the result share.
    folder
        Where the files go.
    predecessors
        The reports that this one revises.
    others
        The other objects of the result, which the report refers to.
    """
    if not provenance.headers:
        raise EncodingError("a measurement report needs images")
    form, tree = provenance.profile.measurement_report, MeasurementTree(provenance, others)
    first = _write(provenance, folder, form, tree, predecessors, None)
    if form == "comprehensive":
        return (first,)
    return first, _write(provenance, folder, "comprehensive", tree, predecessors, first.sop_instance_uid)


def _write(
    provenance: Provenance,
    folder: Path,
    form: str,
    tree: MeasurementTree,
    predecessors: Sequence[EncodedObject],
    twin_of: str | None,
) -> EncodedObject:
    kind = series_of("report", _CLASSES[form])
    ds = document(provenance, kind, _CLASSES[form], tree.content, (*tree.names, *names_of(predecessors)))
    if predecessors:
        ds.PredecessorDocumentsSequence = predecessor_items(predecessors)
    finish(ds, provenance, "report")
    return write(ds, "report", folder, f"{kind.replace('_', '-')}.dcm", twin_of)


class MeasurementTree:
    """The content of the report.

    A group refers to its segment, where it has one, or carries a 2-D outline: OHIF refuses a whole report for one group
    without an outline, so its destinations get outlines only.
    """

    def __init__(self, provenance: Provenance, others: Sequence[EncodedObject] = ()) -> None:
        self._provenance = provenance
        self._result = provenance.result
        self._sources = stand_ins(provenance)
        self._derived = [derived_references(provenance, index) for index in range(len(provenance.derived))]
        evidence = [*self._sources.values(), *chain.from_iterable(self._derived)]
        self._by_uid = {str(ds.SOPInstanceUID): ds for ds in evidence}
        self._segments = self._places({one.sop_instance_uid for one in others})
        # a structure of a volume that happens to lie on one slice is reported as its neighbours are
        self._volumetric = any(place.source is None for place in self._segments.values())
        report = hd.sr.MeasurementReport(
            observation_context=self._observer(),
            procedure_reported=_procedure(self._provenance),
            imaging_measurements=self._groups(),
            title=standard.DCM.ImagingMeasurementReport,
        )
        items = list(report[0].ContentSequence)
        at = next(i for i, item in enumerate(items) if item.name == standard.DCM.ImagingMeasurements)
        if provenance.profile.viewer == "ohif":
            labels = [ohif.label_of(found) for found in statements.findings(provenance)]
            items[at] = ohif.for_ohif(items[at], labels, lambda uid: _size(self._by_uid[uid]))
        texts = [text_item(name, text) for name, text in statements.sentences(provenance)]
        # a plain data set: highdicom's own look into every item that is put into them
        self.content = Dataset()
        self.content.update({element.tag: element for element in report[0] if element.keyword != "ContentSequence"})
        self.content.ContentSequence = [
            *items[:at],
            image_library(evidence),
            *items[at:],
            *texts,
            *result_objects(others),
        ]
        self.content.CurrentRequestedProcedureEvidenceSequence = evidence_items([*evidence, *references(others)])
        form = [] if provenance.profile.viewer == "any" else [provenance.profile.viewer]
        self.names = (*names_of(others), *(("segments",) if self._segments else ()), *form)

    # ---- context
    def _observer(self) -> hd.sr.ObservationContext:
        algorithm = algorithms(self._provenance)[0]
        device = hd.sr.DeviceObserverIdentifyingAttributes(
            uid=algorithm_uid(self._provenance, algorithm),
            name=algorithm.name,
            manufacturer_name=manufacturer(algorithm),
            model_name=algorithm.name,
            serial_number=self._provenance.profile.device_serial_number,
        )
        return hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(
                observer_type=standard.DCM.Device, observer_identifying_attributes=device
            )
        )

    def _algorithm(self) -> hd.sr.AlgorithmIdentification:
        algorithm = algorithms(self._provenance)[0]
        return hd.sr.AlgorithmIdentification(
            name=algorithm.name,
            version=algorithm.version,
            parameters=[text[:_MAXIMUM_TEXT] for text in algorithm_parameters(self._provenance)],
            family=codes.ARTIFICIAL_INTELLIGENCE,
        )

    # ---- groups
    def _groups(self) -> list[Group]:
        return [
            self._not_evaluable(found) if isinstance(found, NotEvaluable) else self._finding(found)
            for found in statements.findings(self._provenance)
        ]

    def _finding(self, finding: Finding) -> Group:
        return self._group(
            finding.tracking_id,
            finding.finding,
            finding.site,
            finding.region,
            finding.images,
            list(chain.from_iterable(self._numbers(m) for m in finding.measurements)),
            [
                hd.sr.QualitativeEvaluation(self._provenance.reported(e.name), self._provenance.reported(e.value))
                for e in finding.evaluations
            ],
        )

    def _not_evaluable(self, item: NotEvaluable) -> Group:
        """A group without numbers: what was looked for, that it could not be judged, and why."""
        evaluations = [
            hd.sr.QualitativeEvaluation(codes.NOT_EVALUABLE, self._provenance.reported(item.what)),
            hd.sr.QualitativeEvaluation(codes.WHY, self._provenance.reported(item.reason)),
        ]
        return self._group(item.tracking_id, codes.NOT_EVALUABLE, item.site, item.region, (), [], evaluations)

    def _group(
        self,
        tracking_id: str,
        finding: Code,
        site: Site | None,
        region: Region | None,
        images: tuple[ImageReference, ...],
        measurements: list[hd.sr.Measurement],
        evaluations: list[hd.sr.QualitativeEvaluation],
    ) -> Group:
        common: dict[str, Any] = {
            "tracking_identifier": hd.sr.TrackingIdentifier(
                uid=self._provenance.tracking_uid(tracking_id), identifier=tracking_id
            ),
            "finding_type": self._provenance.reported(finding),
            "algorithm_id": self._algorithm(),
            "finding_sites": None if site is None else [_site(site)],
            "measurements": measurements or None,
            "qualitative_evaluations": evaluations or None,
        }
        place = self._segments.get(tracking_id)
        if place is not None and (self._volumetric or place.source is None):
            return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                referenced_segment=_volume_segment(place), **common
            )
        if place is not None and place.source is not None:
            return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_segment=_planar_segment(place, place.source), **common
            )
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            referenced_region=self._region(region or self._whole_image(images)),
            geometric_purpose=codes.OUTLINE,
            **common,
        )

    def _places(self, written: set[str]) -> dict[str, SegmentPlace]:
        """Where the segments of the findings lie, by tracking identifier, if the destination wants them referred to."""
        profile = self._provenance.profile
        if profile.segmented_regions == "outline" or profile.viewer == "ohif":
            return {}
        named = {segment.label for segment in getattr(self._result, "segments", ())}  # a heatmap is no region
        about = named & {finding.tracking_id for finding in getattr(self._result, "findings", ())}
        found = {name: self._provenance.segments.of(name, written) for name in sorted(about)}
        return {name: place for name, place in found.items() if place is not None}

    def _numbers(self, measurement: Measurement) -> list[hd.sr.Measurement]:
        """The value, then its uncertainty: numbers with names of their own, since viewers drop what modifies a name.

        TID 310's children would be the Standard's own way, but viewers drop them too, and PixelMed's validator calls
        each an error.
        """
        numbers = [(measurement.name, measurement.value, measurement.derivation)]
        for one in statements.uncertainties(measurement, self._provenance):
            numbers.append((one.name, one.value, one.derivation))
        return [
            hd.sr.Measurement(
                name=self._provenance.reported(name), value=rounded(value), unit=measurement.unit, derivation=derivation
            )
            for name, value, derivation in numbers
        ]

    def _region(self, region: Region) -> hd.sr.ImageRegion:
        image = self._by_uid[region.image.sop_instance_uid]
        frame = frame_number(region.image, image)
        outline = np.asarray(region.outline, np.float64)
        limit = np.array(_size(image)[::-1], np.float64)
        return hd.sr.ImageRegion(
            graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
            graphic_data=np.clip(outline, 0, limit),
            source_image=hd.sr.SourceImageForRegion(
                str(image.SOPClassUID),
                str(image.SOPInstanceUID),
                None if frame is None else [frame],
            ),
        )

    def _whole_image(self, images: tuple[ImageReference, ...]) -> Region:
        """The border of the image a number without a place stands for: the middle derived slice, or the source."""
        derived = self._provenance.derived_from(images)
        if derived is not None:
            slices = self._derived[derived[0]]
            reference = ImageReference(str(slices[len(slices) // 2].SOPInstanceUID))
        elif images:
            reference = images[0]
        else:
            first = next(iter(self._sources.values()))
            reference = ImageReference(str(first.SOPInstanceUID), 1 if number_of_frames(first) > 1 else None)
        image = self._by_uid[reference.sop_instance_uid]
        return Region(reference, frame_outline(*_size(image)))


def _size(image: Dataset) -> tuple[int, int]:
    """Rows and columns; of what has no pixels, of which a missing result may have to speak, one of each."""
    return int(image.get("Rows") or 1), int(image.get("Columns") or 1)


def _volume_segment(place: SegmentPlace) -> hd.sr.ReferencedSegment:
    return hd.sr.ReferencedSegment(
        place.sop_class_uid,
        place.sop_instance_uid,
        place.number,
        source_series=hd.sr.SourceSeriesForSegmentation(place.source_series_uid),
    )


def _planar_segment(place: SegmentPlace, source: ImageReference) -> hd.sr.ReferencedSegmentationFrame:
    items = hd.sr.ReferencedSegmentationFrame(
        place.sop_class_uid,
        place.sop_instance_uid,
        list(place.frames),
        place.number,
        hd.sr.SourceImageForSegmentation(
            place.source_class_uid,
            source.sop_instance_uid,
            None if source.frame_number is None else [source.frame_number],
        ),
    )
    del items[0].ReferencedSOPSequence[0].ReferencedSegmentNumber  # its frame says it (PS3.3 table 10-3)
    return items


def _procedure(provenance: Provenance) -> Code:
    """Procedure reported: must be in CID 100, and the validators' edition of it."""
    if all(series.modality == "MR" for series in provenance.result.evidence):
        return codes.MRI_UNSPECIFIED_BODY_REGION
    return codes.IMAGING_PROCEDURE


def _site(site: Site) -> hd.sr.FindingSite:
    return hd.sr.FindingSite(
        anatomic_location=site.region,
        laterality=None if site.laterality is None else codes.LATERALITY[site.laterality],
        topographical_modifier=site.modifier,
    )
