"""Who the patient of an image is now, as messages about merges and corrections say: what jobs ask about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from pydicom.valuerep import PersonName

from dicom_sr.current_patient import CurrentPatient
from node.study.headers import StudyHeader, identity
from pipelines.records.record import Identity


class CurrentPatients(Protocol):
    """What `node.patient_records.patient_changes` knows."""

    def current(self, who: Identity) -> CurrentPatient | None:
        """Who it is now; None where no message changed that, or where it is not certain that it is the same person."""

    def earlier(self, who: Identity) -> Sequence[Identity]:
        """All that the person of a current identity was known as before."""


def identity_of(patient: CurrentPatient) -> Identity:
    """The patient as records and headers are compared with."""
    return identity(
        patient.patient_id,
        patient.issuer_of_patient_id,
        PersonName(patient.patient_name),
        patient.patient_birth_date,
        patient.patient_sex,
    )


def as_current(who: Identity, patients: CurrentPatients | None) -> Identity:
    """Who the person of a header is now; what no message says stays as it is in the header."""
    now = None if patients is None or not who.patient_id else patients.current(who)
    if now is None:
        return who
    known = identity_of(now)
    born = known if known.birth_date else who
    named = known if known.family_name else who
    return replace(
        known,
        family_name=named.family_name,
        given_name=named.given_name,
        birth_date=born.birth_date,
        birth_precision=born.birth_precision,
        sex=who.sex if known.sex == "U" else known.sex,
    )


def current_header(header: StudyHeader, patients: CurrentPatients | None) -> StudyHeader:
    """The header, of the patient as it is now."""
    return replace(header, who=as_current(header.who, patients))
