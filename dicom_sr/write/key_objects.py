"""Key Object Selection: the images to look at first, with the reasons in words (TID 2010)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_sr.findings import Result
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance
from dicom_sr.read.headers import coded
from dicom_sr.write.finish import finish, write
from dicom_sr.write.references import frame_number
from dicom_sr.write.sr_document import evidence_items, image_item, observer_items, template, text_item


def encode_key_objects(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """One selection of all flagged images; nothing where none is flagged."""
    result = provenance.result
    if not isinstance(result, Result) or not result.flags:
        return ()
    flagged = [(provenance.header_of[flag.image.sop_instance_uid], flag.image) for flag in result.flags]
    images = [(header, frame_number(reference, header)) for header, reference in flagged]
    ds = selection(
        standard.DCM.OfInterest,
        observer_items(provenance)[:2],
        # a reason that several images share is written only one time
        " ".join(dict.fromkeys(flag.reason for flag in result.flags)),
        [image_item(h, n) for h, n in images],
    )
    ds.SOPInstanceUID = provenance.uid("key_objects", "0")
    ds.SeriesInstanceUID, ds.SeriesNumber = (
        provenance.uid("key_objects", "series"),
        provenance.series_number("key_objects"),
    )
    ds.CurrentRequestedProcedureEvidenceSequence = evidence_items(
        {str(h.SOPInstanceUID): h for h, _ in images}.values()
    )
    return (write(finish(ds, provenance, "look first"), "key_objects", folder, "key-objects.dcm"),)


def selection(title: Code, observer: Sequence[Dataset], text: str, references: Sequence[Dataset]) -> Dataset:
    """A Key Object Selection Document without its UIDs and its evidence.

    Parameters
    ----------
    title
        Document title (CID 7010).
    observer
        Content items that say who selected.
    text
        Key Object Description.
    references
        IMAGE and COMPOSITE content items.
    """
    ds = Dataset()
    ds.SOPClassUID, ds.Modality, ds.InstanceNumber = KeyObjectSelectionDocumentStorage, "KO", 1
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.ContentDate = ds.ContentTime = ""
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [coded(title)]
    ds.ContentTemplateSequence = [template("2010")]
    ds.ContentSequence = [*observer, text_item(standard.DCM.KeyObjectDescription, text), *references]
    return ds
