"""Who the patient is now, where a hospital has merged or corrected a patient since the images were made."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

_OF_THE_ID = ("IssuerOfPatientID", "TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence")


@dataclass(frozen=True)
class CurrentPatient:
    """A patient as DICOM writes one; what is empty stays as the images have it. Nothing of it shows in a repr."""

    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(default="", repr=False)
    patient_name: str = field(default="", repr=False)
    patient_birth_date: str = field(default="", repr=False)  # YYYYMMDD
    patient_sex: str = field(default="", repr=False)

    def put_on(self, header: Dataset) -> bool:
        """Have `header` name this patient, and the patient ID that it had under Other Patient IDs (PS3.3 C.7.1.1).

        A name that differs only in more names than the first, or in its script, is left as it is.

        Returns
        -------
        bool
            Whether anything was changed.
        """
        changed = self._put_id(header)
        if self.patient_name and _compared(header.get("PatientName")) != _compared(self.patient_name):
            header.PatientName, changed = self.patient_name, True
        if self.patient_birth_date and str(header.get("PatientBirthDate") or "") != self.patient_birth_date:
            header.PatientBirthDate, changed = self.patient_birth_date, True
            for keyword in ("PatientBirthTime", "PatientBirthDateInAlternativeCalendar", "PatientAlternativeCalendar"):
                header.pop(keyword, None)
        if self.patient_sex and str(header.get("PatientSex") or "") != self.patient_sex:
            header.PatientSex, changed = self.patient_sex, True
        return changed

    def _put_id(self, header: Dataset) -> bool:
        before = str(header.get("PatientID") or "").strip()
        if before == self.patient_id:  # an issuer that the images leave out is not added: archives may compare it
            return False
        others = list(header.get("OtherPatientIDsSequence") or ())
        if before:
            other = Dataset()
            other.PatientID = before
            for keyword in _OF_THE_ID:
                if header.get(keyword):
                    other[keyword] = header[keyword]
            other.TypeOfPatientID = other.get("TypeOfPatientID") or "TEXT"
            others.append(other)
        for keyword in (*_OF_THE_ID, "OtherPatientIDs"):
            header.pop(keyword, None)
        header.PatientID = self.patient_id
        if self.issuer_of_patient_id:
            header.IssuerOfPatientID = self.issuer_of_patient_id
        if others := [one for one in others if str(one.get("PatientID") or "").strip() != self.patient_id]:
            header.OtherPatientIDsSequence = others
        else:
            header.pop("OtherPatientIDsSequence", None)
        return True


def _compared(name: object) -> tuple[str, str]:
    """Family name and first given name, by which a name is told from another."""
    who = PersonName(str(name or ""))
    return str(who.family_name).casefold().strip(), " ".join(str(who.given_name).casefold().split()[:1])
