"""`condyle conformance`: the DICOM conformance statement (PS3.2), written from what the code offers.

Services, statuses and limits are read from the modules that hold them, and the objects that the node creates from
examples of every one of them, so that the statement cannot say what the code does not do.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pydicom
from pydicom.uid import UID
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext

from dicom_sr.profile import EncodedObject
from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.write.hl7 import CHARACTER_SETS
from node.commands.exit_codes import OK
from node.commands.terminal import console
from node.config import DimseDestination, DimseSettings, NodeSettings
from node.database.verdicts import SOURCES
from node.network.fhir_client import SEARCHES
from node.network.sop_classes import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from node.receive.dimse.presentation_contexts import MESSAGE_SYNTAXES
from node.receive.status import Status
from node.receive.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.rejections.reading import MOST_OBJECTS

# PS3.6 has these names; pydicom's dictionary is older than the classes
NEWER_NAMES = {"1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage"}
MEANING = {
    Status.SUCCESS: "the instance is stored, with the durability of receive.durability, and its receipt is recorded",
    Status.PROCESSING_FAILURE: "the service failed because of a problem of the node",
    Status.DUPLICATE_INVOCATION: "the Message ID is already in use",
    Status.CLASS_NOT_SUPPORTED: "the SOP class of the command is not that of its presentation context",
    Status.INVALID_INSTANCE: "the SOP Instance UID is not a UID",
    Status.OUT_OF_RESOURCES: "the disk is almost full or cannot be written; send again later",
    Status.DOES_NOT_MATCH: "SOP class or instance of the data set are not those of the command",
    Status.CANNOT_UNDERSTAND: "the data set cannot be read, or was cut off where a whole one is stored",
    Status.NO_SERIES: "Study or Series Instance UID is missing or not a UID",
    Status.UID_TAKEN: "an instance of another patient, study or series is stored under the SOP Instance UID, and stays",
}


def conformance(output: Path | None) -> int:
    """Write the statement to `output`, or to standard output."""
    from pipelines.examples import write_examples

    with console(error=True).status("Making an example of every object"), tempfile.TemporaryDirectory() as folder:
        text = statement(write_examples(Path(folder)))
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
    return OK


def statement(examples: Mapping[str, Iterable[EncodedObject]]) -> str:
    """The conformance statement as Markdown; of what the node creates it tells the objects of the `examples`."""
    return (
        "\n\n".join(
            [
                HEAD,
                _services(),
                _reception(),
                _created(examples),
                _sending(),
                _rejections(),
                _verdicts(),
                _web(),
                _fhir(),
                _hl7(),
                TAIL,
            ]
        )
        + "\n"
    )


HEAD = f"""# DICOM conformance statement

`condyle conformance docs/conformance.md` writes this page from what the code offers; a test keeps it up to date.
Values in *italics* are the defaults of the keys that `config.yaml` explains.

Condyle receives studies, runs pipelines on them and sends derived objects. It is for research and is not a medical
device. It is one application entity, with the AE title *{NodeSettings.model_fields["ae_title"].default}*.

| | |
|---|---|
| Implementation Class UID | {IMPLEMENTATION_CLASS_UID} |
| Implementation Version Name | {IMPLEMENTATION_VERSION_NAME} |"""


def _table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _services() -> str:
    find = UID(StudyRootQueryRetrieveInformationModelFind)
    rows = [
        (UID(Verification).name, Verification, "yes", "`condyle check --online`"),
        ("every Storage SOP class", "see Reception and Sending", "yes", "yes"),
        (
            UID(StorageCommitmentPushModel).name,
            StorageCommitmentPushModel,
            "yes",
            "destinations with `commitment: true`",
        ),
        (
            find.name,
            find,
            "no",
            "to check that a destination has the objects, if it does not offer storage commitment; to find earlier "
            "reports in the archives of `priors.ask`; to find studies in those of `run_requests.archives`",
        ),
        *(
            (UID(uid).name, uid, "no", f"to retrieve earlier reports, and studies for requests, {how}")
            for uid, how in (
                (
                    StudyRootQueryRetrieveInformationModelGet,
                    "if the archive offers it; the node takes the SCP role for their classes",
                ),
                (StudyRootQueryRetrieveInformationModelMove, "if C-GET does not deliver them, to the node's own port"),
            )
        ),
    ]
    return "## Services\n\n" + _table(("SOP class", "UID", "SCP", "SCU"), rows)


def _default(section: type[DimseSettings] | type[DimseDestination], field: str) -> str:
    return f"*{section.model_fields[field].default}*"


def _reception() -> str:
    known = sorted({(UID(str(context.abstract_syntax)).name, str(context.abstract_syntax)) for context in storage()})
    syntaxes = [(UID(syntax).name, syntax) for syntax in ALL_TRANSFER_SYNTAXES]
    limits = [
        ("Called AE titles", "node.ae_title and receive.dimse.ae_titles; all others are refused *(on)*"),
        ("Calling AE titles and addresses", "those in peers; all others are refused *(on)*"),
        ("Maximum PDU size", f"{_default(DimseSettings, 'maximum_pdu_size')} bytes"),
        (
            "Simultaneous associations",
            f"{_default(DimseSettings, 'maximum_associations')}; for each peer, the limit in peers",
        ),
        ("Asynchronous operations window", "1, 1"),
        ("Longest wait for the association request", f"{_default(DimseSettings, 'association_timeout_s')} s"),
        ("Longest silence within an association", f"{_default(DimseSettings, 'idle_timeout_s')} s"),
        ("Largest data set", f"{_default(DimseSettings, 'maximum_instance_bytes')} bytes"),
        ("Secure transport", "TLS 1.2 or later (BCP 195), off by default; client certificates if configured"),
    ]
    return "\n\n".join(
        [
            "## Reception",
            "Instances are stored as sent, without conversion (level 2). The node accepts every Storage SOP class in "
            "the list below, every retired one, and every private or unknown class. It accepts every transfer "
            "syntax, retired, private and unknown ones too: of those proposed the first that is in the list of "
            "transfer syntaxes, else the first. A data set in a private one is read as Explicit or Implicit VR "
            "Little Endian, whichever its first element shows, and refused with 0xC000 where it is neither; pixels "
            "in a syntax that is not in the list are stored, and no pipeline uses them. The node accepts "
            "verification and storage "
            "commitment in " + ", ".join(UID(syntax).name for syntax in MESSAGE_SYNTAXES) + ".",
            _table(("", ""), limits),
            "### Statuses of C-STORE",
            _table(("Status", "Meaning"), ((f"0x{status:04X}", MEANING[status]) for status in Status)),
            "The node answers storage commitment with an N-EVENT-REPORT on a new association to the configured address "
            "of the peer, and repeats it until the peer accepts it. An instance is committed when it has been flushed "
            "to disk.",
            f"### Transfer syntaxes ({len(syntaxes)})",
            _table(("Name", "UID"), syntaxes),
            f"### Storage SOP classes known by name ({len(known)})",
            _table(("Name", "UID"), known),
        ]
    )


def storage() -> list[PresentationContext]:
    """The presentation contexts of the storage classes that pynetdicom knows."""
    return list(AllStoragePresentationContexts)


def _created(examples: Mapping[str, Iterable[EncodedObject]]) -> str:
    rows = _objects(examples)
    return "\n\n".join(
        [
            "## Objects that the node creates",
            "UIDs are derived from the source instances, the pipeline, the model and the settings, so that the same "
            "images give the same instances. Dates and times are those of the latest source image. "
            "Text is in ISO_IR 192 (UTF-8). Patient and study are copied from the source. A value that its VR does not "
            "allow is made valid: control characters and what is too long are cut, of several values where one may "
            "stand the first is kept, a date, time, number or key that is none is left empty or out. A PatientID or "
            "IssuerOfPatientID that has to be changed ends in `_` and eight hexadecimal digits made from the whole, so "
            "that it is nobody else's; report and capture say that the patient's name or ID was changed, and the log "
            "names the attributes. The Contributing Equipment Sequence of every object has an item for the scanner, "
            "for each algorithm and for the node, with their Device UIDs; objects that name this software are never "
            "processed when they come back. Device Serial Number and Device UID are those of the installation. "
            "Where all images of a result name the same requested procedure, its objects do so too, in Request "
            "Attributes Sequence or Referenced Request Sequence. "
            "The profile of a destination decides which kinds of object it gets. A report refers to every object of "
            "its result that the destination gets, and a group of a segmented finding to its segment (TID 1410 or "
            "1411), or to an outline with `segmented_regions: outline`. With `viewer: ohif` the report has other "
            "UIDs and holds under Imaging Measurements a group with a label and a line for each finding (TID 1501; "
            "the place of the label is coded in 99CS3D, the scheme of Cornerstone3D), then all groups of TID 1410 in "
            "a container Findings (121070, DCM); presentation states, key objects, fractional segmentations and "
            "segmentations of images without a place in space are left out. What is kept of IHE AI Results stands in "
            "the [IHE integration statement](ihe-integration-statement.md).",
            _table(("SOP class", "UID", "Modality", "Template", "Transfer syntax", "Pipelines"), rows),
            "Where a job revises another, which late images, other settings or another model bring about, its report "
            "names the report before it in Predecessor Documents Sequence. Reports, key objects, documents, "
            "presentation states and segmentations lie in the series of the earlier version with higher Instance "
            "Numbers; series of images are of one version, and their Series Description says which.",
            "What takes objects back is a rejection note (IHE RAD TF-2 4.66): a Key Object Selection Document (TID "
            f"2010) in their study and in a series of its own, titled {_titles()}. Its tree and its Current Requested "
            "Procedure Evidence Sequence name every object that is taken back, the Key Object Description says why.",
        ]
    )


def _titles() -> str:
    """The titles that a rejection note may have."""
    *others, last = (f"{reason.meaning} ({reason.value})" for reason in RejectionReason)
    return f"{', '.join(others)} or {last}"


def _objects(examples: Mapping[str, Iterable[EncodedObject]]) -> list[tuple[str, ...]]:
    seen: dict[tuple[str, ...], set[str]] = {}
    for pipeline, objects in examples.items():
        for made in objects:
            ds = pydicom.dcmread(made.path, stop_before_pixels=True)
            template = next(iter(ds.get("ContentTemplateSequence") or ()), None)
            key = (
                _name(made.sop_class_uid),
                made.sop_class_uid,
                str(ds.Modality),
                f"TID {template.TemplateIdentifier}" if template else "",
                _name(str(ds.file_meta.TransferSyntaxUID)),
            )
            seen.setdefault(key, set()).add(pipeline)
    return [(*key, ", ".join(sorted(pipelines))) for key, pipelines in sorted(seen.items())]


def _name(uid: str) -> str:
    return NEWER_NAMES.get(uid) or UID(uid).name


def _sending() -> str:
    return "\n\n".join(
        [
            "## Sending",
            "When there is something to send to a destination of kind `dimse`, the node opens an association and "
            "proposes the SOP classes that it is going to send, each with Explicit VR Little Endian and Implicit VR "
            "Little Endian. If the destination refuses Comprehensive 3D SR, the node sends the same report as "
            "Comprehensive SR. It skips objects of other refused classes and records this. Success and warning "
            "count as delivered. After 0xA7xx, 0x0110 and 0x0213 the node tries again later. After any other "
            "failure it does not, and shows the failure to the operator.",
            _table(
                ("", ""),
                [
                    ("Simultaneous associations", _default(DimseDestination, "associations")),
                    ("Longest wait for an answer", f"{_default(DimseDestination, 'timeout_s')} s"),
                    ("Confirmation", "storage commitment with `commitment: true`; otherwise C-FIND, if offered"),
                    ("Withdrawal", "a rejection note with `withdraw: iocm`; C-FIND before and after"),
                ],
            ),
            "Rejection notes (IHE Imaging Object Change Management) go out when a result is withdrawn or replaced, and "
            "name what was sent to the destination.",
        ]
    )


def _rejections() -> str:
    rows = [
        (reason.value, reason.meaning, "nothing" if reason is RejectionReason.RETENTION else "rejects the images")
        for reason in RejectionReason
    ]
    return "\n\n".join(
        [
            "## Rejection notes that come in",
            "The node looks into every Key Object Selection Document that it stores, unless "
            "`receive.rejection_notes.action` is `ignore` (IHE RAD TF-2 4.66, Rejection Note Stored; as one that "
            "keeps rejected images and processes them no more).",
            _table(("Document title (DCM)", "Meaning", "Effect"), rows),
            "What the content refers to and the evidence places in the study of the document is rejected, now or when "
            f"it comes. A document of more than {MOST_OBJECTS:,} references, or one that names images of another study "
            "or patient as its own, is refused, and the audit trail says so. Results of rejected images are marked "
            "*(mark)* or withdrawn. The node offers no query or retrieval of what it stores.",
        ]
    )


def _verdicts() -> str:
    classes = ", ".join(sorted(UID(uid).name.removesuffix(" Storage") for uid in SOURCES))
    return "\n\n".join(
        [
            "## Verdicts of readers",
            f"Unless `verdicts.read` is false, the node looks into what it stores of these classes: {classes}. "
            "It takes a verdict from three kinds of objects.",
            "- Assessment SRs, of whatever root template: a container with a Tracking Unique Identifier "
            "(112040, DCM), or one that refers to an object of a result, has a coded item (VERDICT, 99MSKAI) with the "
            "value VERDICT-ACCEPTED, VERDICT-MODIFIED or VERDICT-REJECTED. Reason (VERDICT-WHY, 99MSKAI), Comment "
            "(121106, DCM) and new values stand in the same container. `verdicts` names codes of others.\n"
            "- Edited copies of the node's TID 1500 reports, which name the report in Predecessor Documents Sequence, "
            "or have its Tracking UIDs and a Verifying Observer, Person Observer Name or Author.\n"
            "- Edited copies of the node's segmentations: segments with its Tracking UIDs (0062,0021), of a copy with "
            "another Content Creator's Name, or with Segment Algorithm Type MANUAL or SEMIAUTOMATIC.",
            "The result is found by SOP Instance UID, else by Tracking UID within the study. Person names are not "
            "stored. What is not understood is left alone, and the audit trail says why. `docs/verdicts.md` has the "
            "rules.",
            "With `verdicts.form: true` a verdict can be given on the node's page. It becomes an Assessment SR: "
            "Comprehensive SR of root template TID 1500 with a Person Observer and the node as Device Observer, and "
            "the coded items above. It is sent to the destinations whose profile names the kind `assessment`. The node "
            "claims no actor of IHE AI Result Assessment (AIRA).",
        ]
    )


def _web() -> str:
    rows = [
        ("Store transaction (STOW-RS)", "origin server", "/dicom-web/studies and /dicom-web/studies/{study}"),
        ("Store transaction (STOW-RS)", "user agent", "destinations of kind `dicomweb`"),
        ("Search transaction (QIDO-RS)", "user agent", "to check that a destination has the objects"),
        ("DELETE of an instance (no part of DICOM)", "user agent", "destinations with `withdraw: delete-dicomweb`"),
        ("Search transaction (QIDO-RS)", "user agent", "to find earlier reports in the archives of `priors.ask`"),
        ("Search transaction (QIDO-RS)", "user agent", "to find studies in the archives of `run_requests.archives`"),
        (
            "Retrieve transaction (WADO-RS)",
            "user agent",
            "to retrieve earlier reports and studies, by instance",
        ),
    ]
    callback = (
        "A caller of `POST /run` may have the end of its jobs told by HTTP POST of JSON, at or below the addresses of "
        "`run_requests.callbacks`. It names neither patient nor results (`docs/jobs.md`)."
    )
    return "## DICOMweb\n\n" + _table(("Transaction (PS3.18)", "Role", "Where"), rows) + f"\n\n{callback}"


def _fhir() -> str:
    rows = [
        (
            "RiskAssessment",
            "create, conditional; transaction: conditional update where the server has it for another patient ID",
            "client",
            "destinations of kind `fhir`",
        ),
        ("RiskAssessment", "search by identifier", "client", "before each one, and to confirm it"),
        (
            "DiagnosticReport, Observation, Device (BodyStructure contained)",
            "transaction: conditional update of reports and observations, conditional create of devices",
            "client",
            "destinations of kind `fhir` with `diagnostic_report` among their `resources`",
        ),
        (
            "DiagnosticReport, Observation, RiskAssessment",
            "transaction: update with status entered-in-error",
            "client",
            "destinations of kind `fhir` with `withdraw: entered-in-error`",
        ),
        (
            "DiagnosticReport",
            "search by identifier",
            "client",
            "before each transaction, and to confirm it",
        ),
        (
            "RiskAssessment",
            "`POST /risk`, `GET /risk/{job}`",
            "server",
            "the status page's port; not a FHIR interaction",
        ),
        ("Patient", "search by identifier, `$everything`", "client", "`records.fhir`"),
        (", ".join(SEARCHES), "search by patient", "client", "`records.fhir`, where `$everything` is not offered"),
        ("Bundle", "`POST /fhir`", "server", "the status page's port; not a FHIR transaction"),
        ("CapabilityStatement", "capabilities", "client", "`condyle check --online`"),
    ]
    mapping = (
        "DiagnosticReports follow the guide DICOM SR to FHIR Resource Mapping (hl7.fhir.uv.dicom-sr) 1.0.0, which is "
        "for R5, as far as R4 has the elements. `docs/reporting.md` says where they differ."
    )
    return "## FHIR R4\n\n" + _table(("Resource", "Interaction", "Role", "Where"), rows) + "\n\n" + mapping


def _hl7() -> str:
    segments = [
        ("MSH", "ORU^R01^ORU_R01, version 2.5.1, processing ID P; MSH-10 is the same whenever a message is sent again"),
        ("PID", "patient ID with assigning authority; name, birth date and sex unless `patient: identifier`"),
        ("ORC, OBR", "order control RE; placer order number and accession number (OBR-18) of the images; filler order "
         "number by the node; status P, F, C or X"),
        ("OBX", "ST, TX, CWE, NM; coded as the report, units in UCUM; status P, F or C, and X for what could not be "
         "judged"),
        ("NTE", "after an OBX: uncertainty in words, why something could not be judged"),
        ("all", "of a message that takes back another: the same order and values, MSH-7 and OBR-22 of that moment, "
         "OBR-25 X, OBX-11 W, and an NTE after the OBR that says so"),
    ]  # fmt: skip
    received = "ADT, ORM, OMI, ORU and others, for patients' records"
    rows = [
        ("ORU^R01", "sender", "destinations of kind `hl7`: MLLP, with or without TLS, or files in a folder"),
        ("ACK", "receiver", "AA and CA: delivered. AE, AR, CE and CR: refused. No answer in time: sent again"),
        (received, "receiver", "`records.mllp`"),
        ("ADT^A40, A47; A18, A30, A34, A36, A39, A46; A08, A31", "receiver",
         "`records.mllp`: the record follows a merge or a change of patient ID; with `records.patient_changes` also "
         "jobs, kept reports and the timelines of results, and corrections (IHE PIR: Patient Update, RAD-12)"),
        ("ACK", "sender", "`records.mllp`: AA, AE and AR"),
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## HL7 v2",
            _table(("Message", "Role", "Where"), rows),
            "### Segments of ORU^R01",
            _table(("Segment", "Content"), segments),
            f"Character sets (MSH-18): {', '.join(CHARACTER_SETS)}.",
            "### Merges and corrections",
            "PID-3 has the surviving patient ID and MRG-1 the prior ones, of the same assigning authority, which must "
            "be known (`records.issuers`, `records.default_issuer`). A message that names none that is, that merges "
            "two patient IDs into each other, or with `records.patient_changes` one that was merged into another "
            "patient before, is answered AE, and nothing of it is stored. EVN-2, or else MSH-7, tells which of two "
            "messages is the later one. Accounts and visits (A35, A41 and others), links (A24, A37) and moves (A43 to "
            "A45) change nothing.",
        ]
    )


TAIL = """## Media

`condyle import` and watched folders read DICOM files with or without a preamble, folders, and files in zip, tar, gzip,
bzip2 and xz; `condyle import` also reads media with a DICOMDIR (file-set reader). Where the file meta names another
instance or class than the data set, the data set's holds. The node writes no media.

## Character sets

The node accepts every specific character set of PS3.3 C.12.1.1.2 and stores it as sent. It creates objects in
ISO_IR 192."""
