"""A result as an HL7 v2.5.1 message, ORU^R01: for a reporting system, a RIS or an interface engine.

One order (OBR) with the measurement report flattened into observations (OBX), coded as the report is. The sub-ID
(OBX-4) says what belongs together, as items do in the report's tree::

    3         finding number 3: by which name it is tracked, what was found and where
    3.2       its second number or evaluation
    3.2.1     how sure that number is

The filler order number (OBR-3) stays the same when a job revises another; the message control ID (MSH-10) is that of
this message, also when it is sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.decimal_string import rounded
from dicom_sr.errors import EncodingError
from dicom_sr.findings import Evaluation, Finding, Measurement, NotEvaluable, NotRun, Site
from dicom_sr.profile import EncodedObject, MessageHeader
from dicom_sr.provenance import Provenance
from dicom_sr.read.headers import MANUFACTURER
from dicom_sr.write import statements
from dicom_sr.write.equipment import algorithm_uid, algorithms, manufacturer
from dicom_sr.write.foreign_file import write_file
from dicom_sr.write.hl7 import SEPARATORS, Field, authority, coded, in_bytes, moment, numbered, segment
from dicom_sr.write.request import referenced_requests

VERSION = "2.5.1"
KIND: Field = ("ORU", "R01", "ORU_R01")
CONTROL_ID_CHARACTERS = 20  # of MSH-10
RADIOLOGY = "RAD"  # diagnostic service section, HL7 table 0074


def encode_oru(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the result, or that there is none, as ``oru.hl7``.

    Raises
    ------
    EncodingError
        If the result names no patient.
    """
    header = provenance.profile.message or MessageHeader()
    content = in_bytes(Message(provenance, header).segments(), header.character_set)
    form = (*vars(header).values(), provenance.profile.report_status, str(provenance.profile.snomed_licence))
    return (write_file(provenance, "oru", content, folder / "oru.hl7", *form),)


class Message:
    """The message of one result."""

    def __init__(self, provenance: Provenance, header: MessageHeader) -> None:
        self._provenance, self._header, self._result = provenance, header, provenance.result
        self._patient = provenance.patient_and_study
        if not str(self._patient.get("PatientID") or "").strip():
            raise EncodingError("an HL7 message needs a patient ID")
        self._order = (provenance.earlier_jobs or (provenance.job or provenance.uid("oru"),))[-1]
        self._moment = moment(provenance.created)
        self._status = _status(provenance)  # of each observation
        self._rows = 0

    def segments(self) -> list[str]:
        """The segments, MSH first."""
        rest = [self._pid(), *self._order_segments(), *self._observations()]
        # known by all that it says: a message with other content is another message
        control_id = hashlib.sha256("\r".join(rest).encode("utf-8", "replace")).hexdigest()[:CONTROL_ID_CHARACTERS]
        return [self._msh(control_id), *rest]

    def _msh(self, control_id: str) -> str:
        header = self._header
        told = numbered(
            "",
            {
                1: hierarchic(header.sending_application),
                2: hierarchic(header.sending_facility),
                3: hierarchic(header.receiving_application),
                4: hierarchic(header.receiving_facility),
                5: self._moment,
                7: KIND,
                8: control_id,
                9: "P",
                10: VERSION,
            },
        )
        return f"MSH|{SEPARATORS}{told}"  # whose first two fields are the separators themselves

    # ---- whose, and of which order
    def _pid(self) -> str:
        patient = self._patient
        issuer = self._header.assigning_authority or str(patient.get("IssuerOfPatientID") or "")
        identifier = (str(patient.PatientID).strip(), "", "", authority(issuer), "PI")
        if self._header.patient == "identifier":  # PID-5 is required: a name that is none (HL7 table 0200)
            return segment("PID", "1", "", identifier, "", ("", "", "", "", "", "", "S"))
        sex = str(patient.get("PatientSex") or "")
        born = str(patient.get("PatientBirthDate") or "")
        return segment("PID", "1", "", identifier, "", self._name(), "", born, sex if sex in ("F", "M", "O") else "U")

    def _name(self) -> Field:
        """PN as XPN: the alphabetic group, else the first that there is."""
        groups = str(self._patient.get("PatientName") or "").split("=")
        family, given, middle, prefix, suffix = [*next(filter(None, groups), "").split("^"), "", "", "", "", ""][:5]
        return (family, given, middle, suffix, prefix, "", "L" if family or given else "U")

    def _order_segments(self) -> Iterator[str]:
        filler = (self._order, MANUFACTURER.upper())
        placer = self._of_order("PlacerOrderNumberImagingServiceRequest")
        accession = str(self._patient.get("AccessionNumber") or "").strip()
        yield segment("ORC", "RE", placer, filler)
        # the pipeline beside the document's code, as several of them may report on one study
        service = (*coded(statements.title(self._provenance)), self._provenance.model.name, self._result.title, "L")
        yield numbered(
            "OBR",
            {
                1: "1",
                2: placer,
                3: filler,
                4: service,
                7: self._moment,
                18: accession,
                22: self._moment,
                24: RADIOLOGY,
                25: "X" if isinstance(self._result, NotRun) else self._status,  # HL7 table 0123
            },
        )

    def _of_order(self, keyword: str) -> str:
        requests = referenced_requests(self._provenance)
        return str((requests[0] if requests else self._provenance.header).get(keyword) or "").strip()

    # ---- what it says
    def _obx(self, kind: str, name: Code, sub_id: str, value: Field, unit: Code | None = None, status: str = "") -> str:
        self._rows += 1
        algorithm = algorithms(self._provenance)[0]
        named = f"{algorithm.name} {algorithm.version}"
        return numbered(
            "OBX",
            {
                1: str(self._rows),
                2: kind,
                3: coded(name),
                4: sub_id,
                5: value,
                6: "" if unit is None else coded(unit),
                11: status or self._status,
                14: self._moment,
                18: (named, manufacturer(algorithm), algorithm_uid(self._provenance, algorithm), "ISO"),
            },
        )

    def _observations(self) -> Iterator[str]:
        if self._provenance.headers:
            yield self._obx("ST", statements.STUDY_INSTANCE_UID, "", self._provenance.study_instance_uid)
        model = self._provenance.model
        yield self._obx("ST", standard.DCM.AlgorithmName, "", model.name)
        yield self._obx(
            "ST", standard.DCM.AlgorithmVersion, "", f"{model.version}, weights {model.weights_digest[:12]}"
        )
        for number, (name, text) in enumerate(statements.sentences(self._provenance), 1):
            yield self._obx("TX", name, str(number), text)
        for number, found in enumerate(statements.findings(self._provenance), 1):
            yield from self._group(str(number), found)

    def _group(self, sub_id: str, found: Finding | NotEvaluable) -> Iterator[str]:
        reported = self._provenance.reported
        yield self._obx("ST", statements.TRACKING_IDENTIFIER, sub_id, found.tracking_id)
        finding = codes.NOT_EVALUABLE if isinstance(found, NotEvaluable) else found.finding
        yield self._obx("CWE", statements.FINDING, sub_id, coded(reported(finding)))
        if found.site is not None:
            yield from self._site(sub_id, found.site)
        if isinstance(found, NotEvaluable):
            yield self._obx("", reported(found.what), sub_id, "", status="X")
            yield segment("NTE", "1", "L", found.sentence)
            yield self._obx("CWE", codes.WHY, sub_id, coded(reported(found.reason)))
            return
        members: tuple[Measurement | Evaluation, ...] = (*found.measurements, *found.evaluations)
        for number, one in enumerate(members, 1):
            yield from self._member(f"{sub_id}.{number}", one)

    def _site(self, sub_id: str, site: Site) -> Iterator[str]:
        yield self._obx("CWE", statements.FINDING_SITE, sub_id, coded(site.region))
        if site.laterality is not None:
            yield self._obx("CWE", statements.LATERALITY, sub_id, coded(codes.LATERALITY[site.laterality]))
        if site.modifier is not None:
            yield self._obx("CWE", statements.TOPOGRAPHICAL_MODIFIER, sub_id, coded(site.modifier))

    def _member(self, sub_id: str, one: Measurement | Evaluation) -> Iterator[str]:
        name = self._provenance.reported(one.name)
        if isinstance(one, Evaluation):
            yield self._obx("CWE", name, sub_id, coded(self._provenance.reported(one.value)))
            return
        yield self._obx("NM", name, sub_id, _number(one.value), one.unit)
        words = [] if one.derivation is None else [one.derivation.meaning]
        if text := ", ".join([*words, *filter(None, [statements.uncertainty_in_words(one)])]):
            yield segment("NTE", "1", "L", text)
        for number, uncertain in enumerate(statements.uncertainties(one, self._provenance), 1):
            # its own name, so that nobody takes it for a second value
            yield self._obx("NM", uncertain.name, f"{sub_id}.{number}", _number(uncertain.value), one.unit)


def hierarchic(name: str) -> Field:
    """An application or facility as a field (HD)."""
    part = authority(name)
    return part if isinstance(part, str) else tuple(part)


def _number(value: float) -> str:
    """Six significant digits, never with an exponent, which NM has not (HL7 2.5.1, 2.A.46)."""
    text = f"{rounded(value):.12f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def _status(provenance: Provenance) -> str:
    """Of the observations (HL7 table 0085)."""
    if provenance.profile.report_status == "preliminary":
        return "P"
    return "C" if provenance.earlier_jobs else "F"
