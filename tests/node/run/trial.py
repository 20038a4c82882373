"""What the engine's tests share: a node with the trial pipeline and stored series, and how to wait."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from sqlalchemy import Engine as Database
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.jobs import Job, job_id
from node.database.tables import AssociationRow, EventRow, InstanceRow, JobRow, OutboxRow

ROOT = Path(__file__).resolve().parents[3]
PIPELINES = {"trial": "Trial", "trial_risk": "TrialRisk", "trial_bundle": "TrialBundle"}
T = TypeVar("T")
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def install_trial(folder: Path) -> str:
    """Declare the trial pipeline as an installed package would; returns the PYTHONPATH that shows it to a process."""
    info = folder / "trial-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trial\nVersion: 1.0\n")
    declared = [f"{name} = tests.node.run.trial_pipelines:{kind}" for name, kind in PIPELINES.items()]
    (info / "entry_points.txt").write_text("\n".join(["[condyle.pipelines]", *declared, ""]))
    return os.pathsep.join([str(folder), str(ROOT)])


def mr_instances(number: int = 2, uid: Callable[[], str] = generate_uid) -> list[Dataset]:
    """A small MR series of a made-up patient."""
    study, series, frame = uid(), uid(), uid()
    made = []
    for index in range(number):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, uid()
        ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = (
            MRImageStorage,
            ds.SOPInstanceUID,
        )
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Muster^Erika", "K4711", "19600229", "F"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260102", "030405", "1", "A77"
        ds.ReferringPhysicianName, ds.PositionReferenceIndicator, ds.Laterality = "", "", "R"
        ds.Modality, ds.Manufacturer, ds.SeriesNumber, ds.InstanceNumber = "MR", "ACME", 2, index + 1
        ds.ImageType, ds.ScanningSequence, ds.SequenceVariant = ["ORIGINAL", "PRIMARY", "OTHER"], "SE", "NONE"
        ds.ScanOptions, ds.MRAcquisitionType, ds.EchoTime, ds.EchoTrainLength = "", "2D", 10.0, 1
        ds.RepetitionTime, ds.SliceThickness, ds.PixelSpacing = 500.0, 3.0, [0.5, 0.5]
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 3.0 * index]
        ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 32, 48, 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = (np.arange(32 * 48, dtype=np.uint16) + index).tobytes()
        made.append(ds)
    return made


@dataclass
class Bench:
    """A node's folder, database and configuration, without the node: the engine and the sender are put to it."""

    folder: Path
    configuration: Configuration
    database: Database

    @property
    def data(self) -> Path:
        return self.configuration.node.data

    @property
    def journal(self) -> Path:
        return self.folder / "journal.txt"

    def said(self, what: str) -> list[str]:
        """The series that the trial pipeline noted `what` of, in order."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [line.split()[1] for line in lines if line.split()[0] == what]

    def store(self, instances: list[Dataset]) -> None:
        """Put instances into the store as the receiver would."""
        (self.data / "instances").mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        with Session(self.database) as session, session.begin():
            if session.get(AssociationRow, "a1") is None:
                session.add(AssociationRow(id="a1", way="dimse", calling_ae_title="SCANNER", started=now))
            for ds in instances:
                name = f"{ds.SOPInstanceUID}.dcm"
                pydicom.dcmwrite(self.data / "instances" / name, ds, enforce_file_format=True)
                session.add(
                    InstanceRow(
                        sop_instance_uid=ds.SOPInstanceUID,
                        sop_class_uid=ds.SOPClassUID,
                        series_instance_uid=ds.SeriesInstanceUID,
                        study_instance_uid=ds.StudyInstanceUID,
                        transfer_syntax_uid=ds.file_meta.TransferSyntaxUID,
                        path=name,
                        size=(self.data / "instances" / name).stat().st_size,
                        association_id="a1",
                        received=now,
                    )
                )

    def job(self, instances: list[Dataset] | None = None, route: str = "trial", **settings: Any) -> Job:
        """A job of the trial pipeline on a stored series; made where none is given."""
        if instances is None:
            instances = mr_instances()
            self.store(instances)
        uids = tuple(str(ds.SOPInstanceUID) for ds in instances)
        settings = {"journal": str(self.journal), **settings}
        return Job(
            id=job_id(route, "trial", "1.0", repr(settings), uids),
            route=route,
            pipeline="trial",
            study_instance_uid=instances[0].StudyInstanceUID,
            series_instance_uids=(str(instances[0].SeriesInstanceUID),),
            sop_instance_uids=uids,
            settings=settings,
            destinations=self.configuration.routes[route].destination_names,
            created=CREATED,
        )

    def state(self, job: Job) -> str:
        with Session(self.database) as session:
            return session.get_one(JobRow, job.id).state

    def record(self, job: Job) -> JobRow:
        with Session(self.database) as session:
            return session.get_one(JobRow, job.id)

    def events(self, job: Job) -> list[str]:
        """What happened to the job, in order; `begun` with the step."""
        return self.events_of(job.id)

    def events_of(self, job_id: str) -> list[str]:
        with Session(self.database) as session:
            rows = session.scalars(select(EventRow).where(EventRow.job_id == job_id).order_by(EventRow.id)).all()
        return [f"begun {row.detail}" if row.what == "begun" else row.what for row in rows]

    def lines(self, job: Job) -> list[OutboxRow]:
        with Session(self.database) as session:
            return list(
                session.scalars(
                    select(OutboxRow).where(OutboxRow.job_id == job.id).order_by(OutboxRow.order, OutboxRow.id)
                )
            )


def configuration(folder: Path, database: str | None = None, **more: Any) -> Configuration:
    """A node with the trial pipeline that sends to a folder."""
    return Configuration.model_validate(
        {
            "node": {"data": folder / "data", "database": database},
            "destinations": {"archive": {"kind": "folder", "path": folder / "archive"}},
            "routes": {
                "trial": {
                    "when": {"Modality": "MR"},
                    "pipeline": "trial",
                    "settings": {"journal": str(folder / "journal.txt")},
                    "destinations": ["archive"],
                }
            },
            "run": {"memory_limit_mb": 2048, "box": "off"},  # its journal lies beside the data folder
            **more,
        }
    )


@contextmanager
def bench(folder: Path, database: str | None = None, **more: Any) -> Iterator[Bench]:
    """A `Bench` with its database set up."""
    from node.run.job_engine import set_up

    chosen = configuration(folder, database, **more)
    opened = set_up(chosen)
    try:
        yield Bench(folder, chosen, opened)
    finally:
        opened.dispose()
