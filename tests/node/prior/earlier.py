"""What the tests of the search share: a patient's reports and images, and a node's records without the node."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, Comprehensive3DSRStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pydicom.uid import generate_uid as new_uid
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database, open_database
from node.database.job_states import record
from node.database.jobs import Job, JobState
from node.database.migrations import migrate
from node.database.tables import JobRow, ObjectRow
from node.patient_records.store import PatientRecords
from node.prior.search import PriorReports
from node.reading import HERE, Reader

PIPELINE = "hand_foot_scoring"


def instance(sop_class: str, modality: str, **elements: Any) -> Dataset:
    """A header of Erika Muster's study of 5 May 2026, changed as told."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, new_uid()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = UID(sop_class), ds.SOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = new_uid(), new_uid(), modality
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Muster^Erika", "K4711", "19600229", "F"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260505", "080000", "1", ""
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def radiograph(**elements: str) -> Dataset:
    return instance(DigitalXRayImageStorageForPresentation, "DX", **elements)


def report(**elements: Any) -> Dataset:
    """An earlier report of hers, of 4 April 2025, by the scoring pipeline."""
    said = {
        "StudyDate": "20250404",
        "ContentDate": "20250404",
        "ContentTime": "090000",
        "Manufacturer": "Condyle",
        "ManufacturerModelName": PIPELINE,
        "SeriesDescription": "AI Sharp/van der Heijde scoring 1.0",
        "SeriesNumber": "3000001",
        "InstanceNumber": "1",
    }
    return instance(Comprehensive3DSRStorage, "SR", **{**said, **elements})


def part10(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


@dataclass
class Site:
    """A node's configuration, records and the search on them."""

    folder: Path
    configuration: Configuration
    database: Database
    made: int = 0
    reader: Reader = HERE

    @property
    def priors(self) -> PriorReports:
        return PriorReports(
            self.configuration, self.database, PatientRecords(self.configuration.node.data / "records"), self.reader
        )

    def images(self, **elements: str) -> list[Path]:
        """A file of the study that is to be read now."""
        path = self.folder / f"{new_uid()}.dcm"
        path.write_bytes(part10(radiograph(**elements)))
        return [path]

    def job(self, pipeline: str = PIPELINE, prior: dict[str, Any] | None = None) -> JobRow:
        """A job's record, which no database need hold."""
        return JobRow(id="0" * 32, pipeline=pipeline, prior=prior, shadow=False)

    def reported(self, ds: Dataset, state: JobState = JobState.DONE) -> None:
        """A job of this node that reported `ds` to its destination."""
        path = self.folder / f"{ds.SOPInstanceUID}.dcm"
        path.write_bytes(part10(ds))
        self.made += 1
        pipeline = str(ds.ManufacturerModelName)
        now = datetime.now(UTC)
        job = Job(f"{self.made:032x}", "route", pipeline, str(ds.StudyInstanceUID), (), (), {}, (), now)
        with Session(self.database, expire_on_commit=False) as session, session.begin():
            record(session, job)
            kept = session.get_one(JobRow, job.id)
            kept.state = state
            session.flush()
            session.add(
                ObjectRow(
                    sop_instance_uid=str(ds.SOPInstanceUID),
                    sop_class_uid=str(ds.SOPClassUID),
                    series_instance_uid=str(ds.SeriesInstanceUID),
                    study_instance_uid=str(ds.StudyInstanceUID),
                    job_id=job.id,
                    kind="report",
                    path=str(path),
                    sha256="",
                    size=path.stat().st_size,
                )
            )
        self.priors.keep(kept, [(str(ds.SOPInstanceUID), path)])


@contextmanager
def site(folder: Path, **settings: Any) -> Iterator[Site]:
    configuration = Configuration.model_validate({"node": {"data": folder / "data"}, **settings})
    configuration.node.data.mkdir(parents=True, exist_ok=True)
    database = open_database(configuration.node.database_url)
    migrate(database)
    try:
        yield Site(folder, configuration, database)
    finally:
        database.dispose()
