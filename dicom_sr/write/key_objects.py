"""Key Object Selection: the images to look at first, with the reasons in words (TID 2010)."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_sr.findings import Result
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance
from dicom_sr.read.headers import coded
from dicom_sr.write.finish import finish, write
from dicom_sr.write.references import frame_number
from dicom_sr.write.sr_document import content_item, evidence_items, image_item, observer_items


def encode_key_objects(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """One selection of all flagged images; nothing where none is flagged."""
    result = provenance.result
    if not isinstance(result, Result) or not result.flags:
        return ()
    flagged = [(provenance.header_of[flag.image.sop_instance_uid], flag.image) for flag in result.flags]
    images = [(header, frame_number(reference, header)) for header, reference in flagged]
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = KeyObjectSelectionDocumentStorage, provenance.uid("key_objects", "0")
    ds.SeriesInstanceUID, ds.SeriesNumber = (
        provenance.uid("key_objects", "series"),
        provenance.series_number("key_objects"),
    )
    ds.Modality, ds.InstanceNumber = "KO", 1
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.ContentDate = ds.ContentTime = ""
    ds.CurrentRequestedProcedureEvidenceSequence = evidence_items(
        {str(h.SOPInstanceUID): h for h, _ in images}.values()
    )
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [coded(standard.DCM.OfInterest)]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    ds.ContentTemplateSequence = [template]
    # a reason that several images share is written only one time
    reasons = " ".join(dict.fromkeys(flag.reason for flag in result.flags))
    ds.ContentSequence = [
        *observer_items(provenance)[:2],
        _description(reasons),
        *(image_item(h, n) for h, n in images),
    ]
    return (write(finish(ds, provenance, "look first"), "key_objects", folder, "key-objects.dcm"),)


def _description(text: str) -> Dataset:
    item = content_item("CONTAINS", "TEXT", standard.DCM.KeyObjectDescription)
    item.TextValue = text
    return item
