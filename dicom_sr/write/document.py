"""Results from the patient's record: an Enhanced SR with a private title, and its content as an encapsulated PDF/A.

The PDF conforms to PDF/A-2b (ISO 19005-2): every font is embedded, there is an output intent with an ICC profile, the
XMP metadata state the conformance, and there is neither encryption nor a script. The tests check these points one by
one; they run no PDF/A validator, so they check less than veraPDF would.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
from PIL import Image, ImageCms
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from pydicom.uid import EncapsulatedPDFStorage, EnhancedSRStorage

from dicom_sr import codes
from dicom_sr.capture.pages import draw_page, pages
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Finding, Measurement, NotRun, RecordReport, Result
from dicom_sr.profile import RESEARCH_USE, EncodedObject
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.read.headers import MANUFACTURER, coded
from dicom_sr.write.finish import finish, write
from dicom_sr.write.secondary_capture import imprint, study_label
from dicom_sr.write.sr_document import (
    container,
    content_item,
    document,
    evidence_items,
    image_item,
    names_of,
    observer_items,
    predecessor_items,
    references,
    result_objects,
    text_item,
)


# ---- Enhanced SR
def encode_enhanced_report(
    provenance: Provenance,
    folder: Path,
    predecessors: Iterable[EncodedObject] = (),
    others: Sequence[EncodedObject] = (),
) -> tuple[EncodedObject, ...]:
    """A report from the record as Enhanced SR: findings with their numbers, conclusions, limits.

    It names images only where findings do.

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
    named = list(predecessors)
    names = (*names_of(others), *names_of(named))
    ds = document(provenance, "report", EnhancedSRStorage, _tree(provenance, others), names)
    if named:
        ds.PredecessorDocumentsSequence = predecessor_items(named)
    finish(ds, provenance, "report")
    return (write(ds, "report", folder, "report.dcm"),)


def _tree(provenance: Provenance, others: Sequence[EncodedObject]) -> Dataset:
    """The root content item."""
    result = provenance.result
    root = Dataset()
    root.ValueType, root.ContinuityOfContent = "CONTAINER", "SEPARATE"
    root.ConceptNameCodeSequence = [coded(codes.NOT_RUN if isinstance(result, NotRun) else _terms(result).title)]
    items = [*_context(provenance)]
    if isinstance(result, NotRun):
        items.append(text_item(standard.DCM.Conclusion, f"Analysis not performed: {result.reason}"))
        items += [text_item(standard.DCM.Comment, text) for text in (*provenance.limits, RESEARCH_USE)]
    else:
        if findings := list(_findings(provenance, result)):  # a model that abstained found nothing
            items.append(container(standard.DCM.Findings, findings))
        items += [text_item(standard.DCM.Conclusion, text) for text in result.conclusion]
        items += [text_item(standard.DCM.Comment, text) for text in _notes(provenance, result)]
        items += [image_item(provenance.header_of[uid]) for uid in _referenced(result)]
    named = [] if isinstance(result, NotRun) else [provenance.header_of[uid] for uid in _referenced(result)]
    if evidence := [*named, *references(others)]:
        root.CurrentRequestedProcedureEvidenceSequence = evidence_items(evidence)
    root.ContentSequence = [*items, *result_objects(others)]
    return root


def _terms(result: Result) -> RecordReport:
    """What the report and its numbers are called."""
    if result.from_record is None:
        raise EncodingError(
            f"the result of {result.model.name} has neither images nor `from_record`, which names its report"
        )
    return result.from_record


def _referenced(result: Result) -> list[str]:
    """The images that findings name; the patient's study is not evidence just because the report lies in it."""
    return list(dict.fromkeys(i.sop_instance_uid for finding in result.findings for i in finding.images))


def _notes(provenance: Provenance, result: Result) -> list[str]:
    model = result.model
    notes = [f"Not evaluable: {item.tracking_id}: {item.sentence}" for item in result.not_evaluable]
    notes += provenance.limits
    notes += [f"{key}: {value}" for key, value in result.parameters]
    trained_on = model.trained_on.strip()
    if trained_on:
        notes.append(f"{trained_on[:1].upper()}{trained_on[1:].rstrip('.')}.")
    notes.append(f"{RESEARCH_USE} {model.name} {model.version}, weights sha256:{model.weights_digest}")
    return notes


def _context(provenance: Provenance) -> list[Dataset]:
    """Language and observer (TID 1204, TID 1001)."""
    language = content_item("HAS CONCEPT MOD", "CODE", standard.DCM.LanguageOfContentItemAndDescendants)
    language.ConceptCodeSequence = [coded(Code("en-US", "RFC5646", "English (United States)"))]
    return [language, *observer_items(provenance)]


def _findings(provenance: Provenance, result: Result) -> list[Dataset]:
    items: list[Dataset] = []
    terms = _terms(result)
    for finding in result.findings:
        code = content_item("CONTAINS", "CODE", standard.DCM.Finding)
        code.ConceptCodeSequence = [coded(provenance.reported(finding.finding))]
        label = content_item("HAS CONCEPT MOD", "TEXT", standard.DCM.TrackingIdentifier)
        label.TextValue = finding.tracking_id  # distinguishes findings that share a code
        code.ContentSequence = [label]
        if finding.site is not None:
            site = content_item("HAS CONCEPT MOD", "CODE", standard.SCT.FindingSite)
            site.ConceptCodeSequence = [coded(finding.site.region)]
            code.ContentSequence = [label, site]
        items.append(code)
        items += [number for m in finding.measurements for number in _numbers(m, terms)]
        for evaluation in finding.evaluations:
            item = content_item("CONTAINS", "CODE", evaluation.name)
            item.ConceptCodeSequence = [coded(provenance.reported(evaluation.value))]
            items.append(item)
    return items


def _numbers(measurement: Measurement, terms: RecordReport) -> list[Dataset]:
    """The value, then the ends of its interval as numbers with names of their own."""
    numbers = [(measurement.name, measurement.value)]
    if measurement.interval is not None:
        numbers += [(terms.interval_low, measurement.interval[0]), (terms.interval_high, measurement.interval[1])]
    items = []
    for name, value in numbers:
        item = content_item("CONTAINS", "NUM", name)
        measured = Dataset()
        measured.NumericValue, measured.MeasurementUnitsCodeSequence = f"{value:.6g}", [coded(measurement.unit)]
        item.MeasuredValueSequence = [measured]
        items.append(item)
    return items


# ---- Encapsulated PDF
def encode_document(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """The result as Encapsulated PDF."""
    pdf = make_pdf(provenance)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = EncapsulatedPDFStorage, provenance.uid("document", "0", *provenance.limits_key)
    ds.SeriesInstanceUID = provenance.uid("document", "series")
    ds.SeriesNumber, ds.InstanceNumber = provenance.series_number("document"), 1
    ds.Modality, ds.ConversionType = "DOC", "WSD"
    ds.ContentDate = ds.ContentTime = ds.AcquisitionDateTime = ""
    ds.BurnedInAnnotation, ds.DocumentTitle = "NO", provenance.result.title[:1024]
    ds.ConceptNameCodeSequence = []
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    ds.EncapsulatedDocumentLength = len(pdf)
    return (write(finish(ds, provenance, "document"), "document", folder, "document.dcm"),)


def make_pdf(provenance: Provenance) -> bytes:
    """The result as PDF/A-2b: what was found in words and numbers, then the captures; the same bytes each time.

    It names no patient: the DICOM object round it does.
    """
    result = provenance.result
    if isinstance(result, NotRun):
        raise EncodingError("a document needs a result")
    return _as_pdf_a(_plain_pdf(provenance, result), provenance)


def _plain_pdf(provenance: Provenance, result: Result) -> bytes:
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import SimpleDocTemplate

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in ("DejaVuSans", "DejaVuSans-Bold"):
        pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))

    def canvas(filename: Any, **arguments: Any) -> Canvas:
        # reportlab names Helvetica, which is not embedded, on every page unless another font is set
        arguments |= {"initialFontName": "DejaVuSans", "invariant": 1}
        return Canvas(filename, **arguments)

    def footer(drawing: Any, _: Any) -> None:
        drawing.setFont("DejaVuSans", 8)
        drawing.drawString(
            54, 30, f"{RESEARCH_USE} {result.model.name} {result.model.version}, {provenance.readable_date}"
        )
        drawing.drawRightString(A4[0] - 54, 30, f"Page {drawing.getPageNumber()}")

    buffer = BytesIO()
    template = SimpleDocTemplate(
        buffer, pagesize=A4, leftMargin=54, rightMargin=54, topMargin=54, bottomMargin=54, title=result.title
    )
    template.build(_story(provenance, result), onFirstPage=footer, onLaterPages=footer, canvasmaker=canvas)
    return buffer.getvalue()


def _story(provenance: Provenance, result: Result) -> list[Any]:
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Image as Picture
    from reportlab.platypus import PageBreak, Paragraph, Spacer, Table

    body = ParagraphStyle("body", fontName="DejaVuSans", fontSize=9.5, leading=14)
    head = ParagraphStyle("head", fontName="DejaVuSans-Bold", fontSize=18, leading=24)
    section = ParagraphStyle("section", fontName="DejaVuSans-Bold", fontSize=11.5, leading=18, spaceBefore=8)
    warning = ParagraphStyle("warning", parent=body, fontName="DejaVuSans-Bold", textColor=colors.HexColor("#8a4b00"))
    institution = f"{provenance.profile.institution} · " if provenance.profile.institution else ""
    story: list[Any] = [
        Paragraph(escape(result.title), head),
        Paragraph(escape(f"{institution}{provenance.readable_date} · study {study_label(provenance)}"), body),
        Spacer(1, 8),
        Paragraph(RESEARCH_USE, warning),
        Paragraph("Conclusion", section),
        *(Paragraph(escape(text), body) for text in result.conclusion),
    ]
    rows = [[Paragraph(escape(cell), body) for cell in row] for row in _rows(result.findings)]
    if rows:
        story.append(Paragraph("Findings", section))
        style = [
            ("FONTNAME", (0, 0), (-1, -1), "DejaVuSans"),
            ("GRID", (0, 0), (-1, -1), 0.4, colors.HexColor("#b8c0c8")),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
        story.append(Table(rows, colWidths=[(A4[0] - 108) * part for part in (0.6, 0.4)], style=style))
    notes = _notes(provenance, result)
    story += [Paragraph("Limits and model", section), *(Paragraph(escape(text), body) for text in notes)]
    for page in pages(result):
        picture = draw_page(page, imprint(provenance))
        width, height = A4[0] - 108, A4[1] - 140
        scale = min(width / picture.width, height / picture.height)
        story += [PageBreak(), Picture(_png(picture), picture.width * scale, picture.height * scale)]
    return story


def _rows(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    rows = []
    for finding in findings:
        # a number that is the finding itself goes by the finding's name
        rows += [
            (finding.tracking_id if m.name == finding.finding else m.name.meaning, _value(m))
            for m in finding.measurements
        ]
        rows += [(e.name.meaning, e.value.meaning) for e in finding.evaluations]
    return rows


def _value(measurement: Measurement) -> str:
    unit = {"1": "", "a": " years"}.get(measurement.unit.value, f" {measurement.unit.value}")
    unit = "" if unit.startswith(" {") else unit
    text = f"{measurement.value:.3g}{unit}"
    if measurement.standard_deviation is not None:
        text += f" (SD {measurement.standard_deviation:.2g})"
    if measurement.interval is not None:
        low, high = measurement.interval
        text += f" ({measurement.interval_level:.0%} interval {low:.3g} to {high:.3g})"
    return text


def _png(picture: Image.Image) -> BytesIO:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    buffer.seek(0)
    return buffer


@cache
def _output_profile() -> bytes:
    """An sRGB profile without the time at which it was made (ICC.1 7.2.8: bytes 24 to 35 of the header)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    profile[84:100] = bytes(16)  # the profile's ID, a digest that may be zero
    return bytes(profile)


def _as_pdf_a(pdf: bytes, provenance: Provenance) -> bytes:
    """`pdf` with what PDF/A-2b asks for beside embedded fonts: output intent, XMP metadata, a file identifier."""
    import pikepdf

    with pikepdf.open(BytesIO(pdf)) as document_:
        profile = document_.make_stream(_output_profile())
        profile.N = 3
        intent = pikepdf.Dictionary(
            Type=pikepdf.Name.OutputIntent,
            S=pikepdf.Name.GTS_PDFA1,
            OutputConditionIdentifier=pikepdf.String("sRGB"),
            Info=pikepdf.String("sRGB IEC61966-2.1"),
            DestOutputProfile=profile,
        )
        document_.Root.OutputIntents = document_.make_indirect(pikepdf.Array([intent]))
        document_.Root.Lang = pikepdf.String("en-US")
        for keyword in list(document_.docinfo.keys()):
            del document_.docinfo[keyword]
        moment = f"{provenance.created:%Y-%m-%dT%H:%M:%S}Z"
        with document_.open_metadata(set_pikepdf_as_editor=False) as xmp:
            xmp["dc:title"] = provenance.result.title
            xmp["xmp:CreatorTool"] = f"{MANUFACTURER} {software_version()}"
            xmp["xmp:CreateDate"] = xmp["xmp:ModifyDate"] = moment
            xmp["pdfaid:part"], xmp["pdfaid:conformance"] = "2", "B"
        buffer = BytesIO()
        document_.save(buffer, deterministic_id=True, linearize=False)
    return buffer.getvalue()
