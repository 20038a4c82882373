"""The patients' records that an operator names in a file, for pipelines that read them."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path

from dicom_sr.errors import UnsuitableInput
from dicom_sr.series import Study
from node.config import RecordSettings
from node.local.scratch import Scratch
from node.patient_records.intake import Intake
from node.patient_records.store import PatientRecords
from node.reading import HERE
from node.study.headers import study_header
from pipelines.context import ClinicalContext
from pipelines.records.record import IdentityMismatch

NOT_IN_FILE = "the record that was given is not of this patient: it has nothing under the patient ID of the images"


class GivenRecords:
    """The records in a file: a FHIR R4 bundle, HL7 v2 messages, or OMOP CDM tables (a zip or a folder).

    While they are in use they lie in a temporary folder that nobody else can read.

    Parameters
    ----------
    path
        The file, or the folder.

    Raises
    ------
    UnsuitableInput
        If it holds no record that can be used; the message says why.
    """

    def __init__(self, path: Path) -> None:
        self._folder = Scratch()
        self._records = PatientRecords(self._folder.path / "records")
        logging.getLogger("node.patient_records.intake").addHandler(logging.NullHandler())
        try:
            Intake(self._records, RecordSettings(), HERE).file(path)
        except IdentityMismatch as error:
            self.close()
            raise UnsuitableInput(f"{path.name}: {error}") from error
        except OSError as error:
            self.close()
            raise UnsuitableInput(f"{path.name}: cannot be read: {error.strerror}") from error
        except UnsuitableInput as error:
            self.close()
            raise UnsuitableInput(f"{path.name}: {str(error).removeprefix(f'{path.name}: ')}") from error

    def context(self, study: Study) -> ClinicalContext:
        """The record of the patient whose study it is, up to the day of the study.

        An issuer of the images' patient ID is not compared: a file that was named for them states none that counts.

        Raises
        ------
        UnsuitableInput
            If there is none, or it is of somebody else; the reason names the field, never its value.
        """
        header = study_header(study.instances[0].path, "")
        record = self._records.get(header.who.patient_id, "") if header.who.patient_id else None
        if record is None:
            raise UnsuitableInput(NOT_IN_FILE)
        if what := record.identity.mismatch(header.who):
            raise UnsuitableInput(f"the record and the images are not of one person, or that cannot be decided: {what}")
        return record.context(header.day or date.today())

    def close(self) -> None:
        """Delete them."""
        self._folder.close()
