"""What a header says of its instance, and copying from one header to another: what may travel, nothing private."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta, timezone

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code
from pydicom.uid import UID
from pydicom.valuerep import PersonName

from dicom_sr.lawful import is_whole_code, lawful

MANUFACTURER = "Condyle"

PATIENT = (  # PS3.3 C.7.1.1 and C.7.1.3
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientBirthDateInAlternativeCalendar",
    "PatientAlternativeCalendar",
    "PatientSex",
    "EthnicGroup",
    "PatientComments",
    "QualityControlSubject",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)
STUDY = (  # PS3.3 C.7.2.1, C.7.2.2 and C.7.2.3
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianName",
    "ConsultingPhysicianIdentificationSequence",
    "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence",
    "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence",
    "RequestingService",
    "RequestingServiceCodeSequence",
    "StudyDescription",
    "ProcedureCodeSequence",
    "ReasonForPerformedProcedureCodeSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "PatientAge",
    "PatientSize",
    "PatientSizeCodeSequence",
    "PatientWeight",
    "PatientBodyMassIndex",
    "MedicalAlerts",
    "Allergies",
    "SmokingStatus",
    "PregnancyStatus",
    "LastMenstrualDate",
    "PatientState",
    "Occupation",
    "AdditionalPatientHistory",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "IssuerOfServiceEpisodeIDSequence",
    "ServiceEpisodeDescription",
    "PatientSexNeutered",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "LongitudinalTemporalInformationModified",
)


def coded(code: Code) -> Dataset:
    """`code` as an item of a code sequence (PS3.3 8.8)."""
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return ds


def plain(source: Dataset) -> Dataset:
    """A deep copy of `source` in Unicode, without private elements and group lengths, of lawful values only.

    Names keep their bytes and their set in pydicom until they are read: copied raw into a data set with another
    character set they are corrupted, so here they are read.
    """
    ds = Dataset()
    for element in source:
        if element.tag.is_private or element.tag.element == 0 or element.keyword in ("", "SpecificCharacterSet"):
            continue
        if element.VR == "SQ":
            items = [item for item in map(plain, element.value) if is_whole_code(item)]
            if items or not element.value:
                setattr(ds, element.keyword, Sequence(items))
        elif (found := lawful(_in_unicode(element))) is not None:
            ds.add_new(found.tag, found.VR, found.value)
    return ds


def _in_unicode(element: DataElement) -> DataElement:
    """A name as text; any other element as it is."""
    value = element.value
    if element.VR != "PN" or not value:
        return element
    several = isinstance(value, MultiValue)
    return DataElement(element.tag, "PN", [name(v) for v in value] if several else name(value))


def name(value: PersonName) -> str:
    """A person's name in Unicode, whatever set it came in."""
    return str(value.decode()).rstrip("=") if isinstance(value, PersonName) else str(value)


def chosen(source: Dataset, keywords: Iterable[str]) -> Dataset:
    """The elements of `source` that `keywords` name, in Unicode."""
    ds = Dataset()
    for keyword in keywords:
        if keyword in source:
            part = Dataset()
            part[keyword] = source[keyword]
            for element in plain(part):
                ds[element.tag] = element
    return ds


def offset_from_utc(header: Dataset) -> timezone | None:
    """TimezoneOffsetFromUTC, +hhmm or -hhmm (PS3.3 C.12.1.1.8); None where it is anything else, or no zone's."""
    return zone_in(str(header.get("TimezoneOffsetFromUTC") or "").strip())


def zone_in(text: str) -> timezone | None:
    """The zone that +hhmm or -hhmm names, as TimezoneOffsetFromUTC and the end of a DT do; None for all else."""
    match = re.fullmatch(r"([+-])(\d\d)([0-5]\d)", text, re.ASCII)
    if match is None:
        return None
    minutes = int(match[1] + "1") * (60 * int(match[2]) + int(match[3]))
    return timezone(timedelta(minutes=minutes)) if -12 * 60 <= minutes <= 14 * 60 else None


def made_by_us(header: Dataset) -> bool:
    """Whether the instance is a result of this software: such a thing is never processed again."""
    equipment = [header, *header.get("ContributingEquipmentSequence", [])]
    return any(str(item.get("Manufacturer") or "") == MANUFACTURER for item in equipment)


def is_image(header: Dataset) -> bool:
    """Whether the instance shows something: a presentation state does not; an image that lacks Rows should."""
    return bool(header.get("Rows")) or "Image Storage" in UID(str(header.get("SOPClassUID") or ""), IGNORE).name
