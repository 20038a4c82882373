from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pikepdf
import pytest

from dicom_sr.errors import EncodingError
from dicom_sr.findings import Result, Subject
from dicom_sr.phantoms import Person
from tests.dicom_sr.conftest import Encode
from tests.factories import knee_study, record_result


@pytest.fixture
def result(tmp_path: Path) -> Result:
    return record_result(knee_study(tmp_path / "in", person=Person("SIM-0004", sex="F")))


def test_the_risk_is_an_enhanced_report_with_its_numbers(result: Result, encoded: Encode) -> None:
    (report,) = encoded(result, "report")["report"]
    assert report.SOPClassUID.name == "Enhanced SR Storage"
    assert report.ConceptNameCodeSequence[0].CodeValue == "OA-RISK-RPT"
    (findings,) = (i for i in report.ContentSequence if i.ValueType == "CONTAINER")
    numbers = [
        (i.ConceptNameCodeSequence[0].CodeValue, float(i.MeasuredValueSequence[0].NumericValue))
        for i in findings.ContentSequence
        if i.ValueType == "NUM"
    ]
    assert numbers[-3:] == [("OA-RISK-5Y", 0.21), ("OA-RISK-LO", 0.15), ("OA-RISK-HI", 0.29)]
    texts = " ".join(i.TextValue for i in report.ContentSequence if i.ValueType == "TEXT")
    assert "Research use only" in texts
    assert "Body mass index 31: +0.044" in texts


def test_no_image_is_evidence_of_what_the_record_says(result: Result, encoded: Encode) -> None:
    (report,) = encoded(result, "report")["report"]
    assert "CurrentRequestedProcedureEvidenceSequence" not in report


def test_a_person_without_images_gets_a_study_of_their_own(result: Result, encoded: Encode) -> None:
    subject = Subject("P-7", "Doe^Jane", "19600101", "F", "ISSUER", "ORDER-1")
    objects = encoded(replace(result, evidence=(), subject=subject))
    assert sorted(objects) == ["document", "report", "secondary_capture"]
    studies = {ds.StudyInstanceUID for group in objects.values() for ds in group}
    assert len(studies) == 1
    for group in objects.values():
        for ds in group:
            assert (str(ds.PatientName), ds.PatientID, ds.AccessionNumber) == ("Doe^Jane", "P-7", "ORDER-1")
    again = encoded(replace(result, evidence=(), subject=replace(subject, accession_number="ORDER-2")), "report")
    assert again["report"][0].StudyInstanceUID not in studies


def test_another_record_is_another_report(result: Result, encoded: Encode) -> None:
    (before,) = encoded(result, "report")["report"]
    measured = replace(result.findings[0].measurements[0], value=0.5)
    changed = replace(result, findings=(replace(result.findings[0], measurements=(measured,)),))
    (after,) = encoded(changed, "report")["report"]
    assert before.SOPInstanceUID != after.SOPInstanceUID


def test_a_result_of_nothing_is_no_report(result: Result, encoded: Encode) -> None:
    with pytest.raises(EncodingError, match="neither images nor `from_record`"):
        encoded(replace(result, evidence=(), from_record=None), "report")


@pytest.fixture
def pdf(result: Result, encoded: Encode) -> pikepdf.Pdf:
    (ds,) = encoded(result, "document")["document"]
    assert len(ds.EncapsulatedDocument) % 2 == 0
    return pikepdf.open(io.BytesIO(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]))


def test_every_font_of_the_document_is_embedded(pdf: pikepdf.Pdf) -> None:
    fonts = [font for page in pdf.pages for font in page.Resources.get("/Font", {}).values()]
    assert fonts
    assert all("/FontFile2" in font.get("/FontDescriptor", {}) for font in fonts), [str(f.BaseFont) for f in fonts]


def test_the_document_says_its_colours_and_that_it_is_pdf_a(pdf: pikepdf.Pdf) -> None:
    (intent,) = pdf.Root.OutputIntents
    assert intent.S == "/GTS_PDFA1"
    assert intent.DestOutputProfile.N == 3
    assert bytes(intent.DestOutputProfile.read_bytes())[36:40] == b"acsp"  # an ICC profile's signature
    with pdf.open_metadata() as xmp:
        assert (xmp["pdfaid:part"], xmp["pdfaid:conformance"]) == ("2", "B")
        assert xmp["dc:title"] == "Knee osteoarthritis risk"
        assert "2026-11-22T14:05:06" in xmp["xmp:CreateDate"]


def test_the_document_holds_nothing_that_pdf_a_forbids(pdf: pikepdf.Pdf) -> None:
    assert not pdf.is_encrypted
    assert "/ID" in pdf.trailer
    for keyword in ("/JavaScript", "/EmbeddedFiles"):
        assert keyword not in pdf.Root.get("/Names", {})
    assert "/OpenAction" not in pdf.Root or "/JS" not in pdf.Root.OpenAction
    assert not [a for page in pdf.pages for a in page.get("/Annots", [])]
    for page in pdf.pages:
        for image in page.get_images().values():
            assert "/Interpolate" not in image or not bool(image.Interpolate)


def test_the_document_names_no_patient_and_has_the_capture(pdf: pikepdf.Pdf) -> None:
    assert len(pdf.pages) >= 2
    assert any(len(page.get_images()) for page in pdf.pages)
    raw = b"".join(
        bytes(page.Contents.read_bytes()) for page in pdf.pages if not isinstance(page.Contents, pikepdf.Array)
    )
    assert b"Phantom" not in raw
    assert b"SIM-0004" not in raw
