"""TID 1500 Imaging Measurement Report, as Comprehensive 3D SR and as Comprehensive SR."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_sr import codes
from dicom_sr.codes import CodingScheme
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Finding, ImageReference, Measurement, NotEvaluable, NotRun, Region, Site, frame_outline
from dicom_sr.profile import RESEARCH_USE, EncodedObject
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.read.frames import number_of_frames
from dicom_sr.read.headers import MANUFACTURER, coded
from dicom_sr.write.derived_series import derived_references
from dicom_sr.write.finish import finish, write
from dicom_sr.write.references import frame_number, stand_ins

_CLASSES = {"comprehensive_3d": Comprehensive3DSRStorage, "comprehensive": ComprehensiveSRStorage}
_MAXIMUM_TEXT = 1024
_MODALITIES = {  # CID 29
    "MR": standard.DCM.MagneticResonance,
    "DX": standard.DCM.DigitalRadiography,
    "CR": standard.DCM.ComputedRadiography,
    "US": standard.DCM.Ultrasound,
    "CT": standard.DCM.ComputedTomography,
}


def encode_report(
    provenance: Provenance, folder: Path, predecessors: Sequence[EncodedObject] = ()
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
    """
    if not provenance.headers:
        raise EncodingError("a measurement report needs images")
    form, content = provenance.profile.measurement_report, MeasurementTree(provenance).content
    first = _write(provenance, folder, form, content, predecessors, None)
    if form == "comprehensive":
        return (first,)
    return first, _write(provenance, folder, "comprehensive", content, predecessors, first.sop_instance_uid)


def _write(
    provenance: Provenance,
    folder: Path,
    form: str,
    content: Dataset,
    predecessors: Sequence[EncodedObject],
    twin_of: str | None,
) -> EncodedObject:
    kind = "report" if form == "comprehensive_3d" else "report_comprehensive"
    ds = document(provenance, kind, _CLASSES[form], content)
    if predecessors:
        ds.PredecessorDocumentsSequence = predecessor_items(predecessors)
    finish(ds, provenance, "report")
    return write(ds, "report", folder, f"{kind.replace('_', '-')}.dcm", twin_of)


def document(provenance: Provenance, kind: str, sop_class: str, content: Dataset) -> Dataset:
    """An SR document round `content`, its root content item (PS3.3 C.17.2 and C.17.3).

    highdicom's document classes copy the whole tree several times, which takes seconds for a tree of some hundred
    items; the tree itself is theirs.

    Parameters
    ----------
    provenance
        What all objects of the result share.
    kind
        Names the series: its UIDs and its number.
    sop_class
        SOPClassUID.
    content
        The root content item with its tree.
    """
    ds = Dataset()
    ds.update(content)
    # a report that may not refer to the derived series has another tree, so it is another report
    sources_only = not provenance.derived and bool(getattr(provenance.result, "derived", ()))
    what = (kind, *(("sources only",) if sources_only else ()), *provenance.limits_key)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, provenance.uid(*what, "0")
    ds.SeriesInstanceUID, ds.SeriesNumber = provenance.uid(*what, "series"), provenance.series_number(kind)
    ds.Modality, ds.InstanceNumber = "SR", 1
    ds.ReferencedPerformedProcedureStepSequence, ds.PerformedProcedureCodeSequence = [], []
    # a machine's report is complete as far as it goes, and never verified
    ds.CompletionFlag, ds.VerificationFlag, ds.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    ds.ContentDate = ds.ContentTime = ""
    ds.CodingSchemeIdentificationSequence = [_scheme_item(provenance, scheme) for scheme in provenance.coding_schemes]
    return ds


def evidence_items(instances: Iterable[Dataset]) -> list[Dataset]:
    """`instances` as CurrentRequestedProcedureEvidenceSequence (PS3.3 C.17.2)."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for ds in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = str(ds.SOPClassUID), str(ds.SOPInstanceUID)
        series = studies.setdefault(str(ds.StudyInstanceUID), {})
        series.setdefault(str(ds.SeriesInstanceUID), []).append(item)
    return [_study_item(uid, series) for uid, series in studies.items()]


def _study_item(study_instance_uid: str, series: dict[str, list[Dataset]]) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = []
    for series_instance_uid, instances in series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedSOPSequence = series_instance_uid, instances
        study.ReferencedSeriesSequence.append(item)
    return study


def _scheme_item(provenance: Provenance, scheme: CodingScheme) -> Dataset:
    """A private scheme as an item of CodingSchemeIdentificationSequence (PS3.3 C.12.1.1.3)."""
    item = Dataset()
    item.CodingSchemeDesignator, item.CodingSchemeUID = scheme.designator, scheme.uid
    item.CodingSchemeName, item.CodingSchemeVersion = scheme.name, scheme.version
    item.CodingSchemeResponsibleOrganization = provenance.profile.institution or MANUFACTURER
    return item


def predecessor_items(predecessors: Iterable[EncodedObject]) -> list[Dataset]:
    """The reports that this one revises, as PredecessorDocumentsSequence (PS3.3 C.17.2)."""
    instances = []
    for predecessor in predecessors:
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = predecessor.sop_class_uid, predecessor.sop_instance_uid
        ds.SeriesInstanceUID, ds.StudyInstanceUID = predecessor.series_instance_uid, predecessor.study_instance_uid
        instances.append(ds)
    return evidence_items(instances)


class MeasurementTree:
    """The content of the report. Every group carries a 2-D outline: OHIF refuses a report with one that has none."""

    def __init__(self, provenance: Provenance) -> None:
        self._provenance = provenance
        self._result = provenance.result
        self._sources = stand_ins(provenance)
        self._derived = [derived_references(provenance, index) for index in range(len(provenance.derived))]
        evidence = [*self._sources.values(), *chain.from_iterable(self._derived)]
        self._by_uid = {str(ds.SOPInstanceUID): ds for ds in evidence}
        report = hd.sr.MeasurementReport(
            observation_context=self._observer(),
            procedure_reported=_procedure(self._provenance),
            imaging_measurements=self._groups(),
            title=standard.DCM.ImagingMeasurementReport,
        )
        items = list(report[0].ContentSequence)
        at = next(i for i, item in enumerate(items) if item.name == standard.DCM.ImagingMeasurements)
        texts = [text_item(name, text) for name, text in self._sentences()]
        # a plain data set: highdicom's own look into every item that is put into them
        self.content = Dataset()
        self.content.update({element.tag: element for element in report[0] if element.keyword != "ContentSequence"})
        self.content.ContentSequence = [*items[:at], image_library(evidence), *items[at:], *texts]
        self.content.CurrentRequestedProcedureEvidenceSequence = evidence_items(evidence)

    # ---- context
    def _observer(self) -> hd.sr.ObservationContext:
        device = hd.sr.DeviceObserverIdentifyingAttributes(
            uid=self._provenance.device_uid,
            name=f"{MANUFACTURER} {software_version()}",
            manufacturer_name=MANUFACTURER,
            model_name=self._provenance.model.name,
            serial_number=self._provenance.profile.device_serial_number,
        )
        return hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(
                observer_type=standard.DCM.Device, observer_identifying_attributes=device
            )
        )

    def _algorithm(self) -> hd.sr.AlgorithmIdentification:
        model = self._provenance.model
        parameters = [f"weights sha256:{model.weights_digest}", f"trained on: {model.trained_on}"]
        if model.configuration_digest:
            parameters.append(f"configuration sha256:{model.configuration_digest}")
        parameters += [f"{key}: {value}" for key, value in getattr(self._result, "parameters", ())]
        return hd.sr.AlgorithmIdentification(
            name=model.name,
            version=model.version,
            parameters=[text[:_MAXIMUM_TEXT] for text in parameters],
            family=codes.ARTIFICIAL_INTELLIGENCE,
        )

    def _sentences(self) -> list[tuple[Code, str]]:
        """Conclusion, what was not evaluable, limits: plain text under the root."""
        result, comment = self._result, standard.DCM.Comment
        if isinstance(result, NotRun):
            why = (standard.DCM.Conclusion, f"Analysis not performed: {result.reason}")
            return [why, *((comment, text) for text in self._provenance.limits), (comment, RESEARCH_USE)]
        texts = [(standard.DCM.Conclusion, text) for text in result.conclusion]
        texts += [(comment, f"Not evaluable: {item.tracking_id}: {item.sentence}") for item in result.not_evaluable]
        texts += [(comment, text) for text in self._provenance.limits]
        return [*texts, (comment, f"{RESEARCH_USE} {_sentence(result.model.trained_on)}")]

    # ---- groups
    def _groups(self) -> list[hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
        result = self._result
        if isinstance(result, NotRun):
            finding = Finding(
                f"{result.title} not performed",
                codes.NOT_RUN,
                evaluations=(),
            )
            return [self._finding(finding)]
        findings = result.findings
        if not (findings or result.not_evaluable):  # TID 1500 wants a group
            findings = (Finding(f"{result.title}: no finding", codes.NO_FINDING),)
        return [*map(self._finding, findings), *map(self._not_evaluable, result.not_evaluable)]

    def _finding(self, finding: Finding) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
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

    def _not_evaluable(self, item: NotEvaluable) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
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
    ) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                uid=self._provenance.tracking_uid(tracking_id), identifier=tracking_id
            ),
            referenced_region=self._region(region or self._whole_image(images)),
            finding_type=self._provenance.reported(finding),
            algorithm_id=self._algorithm(),
            finding_sites=None if site is None else [_site(site)],
            measurements=measurements or None,
            qualitative_evaluations=evaluations or None,
            geometric_purpose=codes.OUTLINE,
        )

    def _numbers(self, measurement: Measurement) -> list[hd.sr.Measurement]:
        """The value, then its uncertainty as numbers of the same name that differ in their derivation.

        TID 310's children would be the Standard's own way, but PixelMed's validator calls each an error.
        """
        name, unit = self._provenance.reported(measurement.name), measurement.unit
        numbers = [(measurement.value, measurement.derivation)]
        if measurement.standard_deviation is not None:
            numbers.append((measurement.standard_deviation, codes.STANDARD_DEVIATION))
        if measurement.interval is not None:
            numbers += [(measurement.interval[0], codes.INTERVAL_LOW), (measurement.interval[1], codes.INTERVAL_HIGH)]
        return [
            hd.sr.Measurement(name=name, value=_number(value), unit=unit, derivation=derivation)
            for value, derivation in numbers
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


def content_item(relationship: str, value_type: str, name: Code) -> Dataset:
    """A content item without its value (PS3.3 C.17.3).

    Parameters
    ----------
    relationship
        To the item above, e.g. CONTAINS.
    value_type
        E.g. NUM.
    name
        Concept name.
    """
    ds = Dataset()
    ds.RelationshipType, ds.ValueType, ds.ConceptNameCodeSequence = relationship, value_type, [coded(name)]
    return ds


def image_item(ds: Dataset, frame_number: int | None = None) -> Dataset:
    """An IMAGE content item under its container."""
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = str(ds.SOPClassUID), str(ds.SOPInstanceUID)
    if frame_number is not None:
        reference.ReferencedFrameNumber = frame_number
    item.ReferencedSOPSequence = [reference]
    return item


def text_item(name: Code, text: str) -> Dataset:
    """A TEXT content item under its container."""
    ds = content_item("CONTAINS", "TEXT", name)
    ds.TextValue = text
    return ds


def container(name: Code, items: Iterable[Dataset]) -> Dataset:
    """A CONTAINER content item under its container."""
    ds = content_item("CONTAINS", "CONTAINER", name)
    ds.ContinuityOfContent = "SEPARATE"
    ds.ContentSequence = list(items)
    return ds


def image_library(instances: Iterable[Dataset]) -> Dataset:
    """TID 1600, one group a series, with what its images have in common; OHIF needs a library to show any shape."""
    series: dict[str, list[Dataset]] = {}
    for ds in instances:
        series.setdefault(str(ds.SeriesInstanceUID), []).append(ds)
    return container(standard.DCM.ImageLibrary, [_library_group(group) for group in series.values()])


def _library_group(instances: list[Dataset]) -> Dataset:
    modality = content_item("HAS ACQ CONTEXT", "CODE", standard.DCM.Modality)
    modality.ConceptCodeSequence = [coded(_MODALITIES.get(_modality(instances[0]), standard.DCM.OtherModality))]
    items = [modality]
    items += [image_item(ds) for ds in instances]
    return container(standard.DCM.ImageLibraryGroup, items)


def _modality(image: Dataset) -> str:
    return str(image.get("Modality") or "")


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


def _number(value: float) -> float:
    """`value` with six significant digits: it becomes a decimal string, and no model knows more."""
    return float(f"{value:.6g}")


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""
