"""A node's records of a morning: done, running, failed, unsuitable and unmatched studies, one destination down."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database, open_database
from node.database.tables import (
    AssociationRow,
    Base,
    DecisionRow,
    EventRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    OutboxRow,
    SeriesRow,
    StudyRow,
)

CAPTURE_RGB = (200, 90, 30)


def configuration_in(data: Path) -> Configuration:
    return Configuration.model_validate(
        {
            "node": {"ae_title": "CONDYLE", "data": str(data), "institution": "Test hospital"},
            "receive": {"disk_floor_mb": 0},
            "destinations": {
                "pacs": {"kind": "dimse", "ae_title": "ARCHIVE", "host": "10.1.2.3", "port": 104},
                "web": {"kind": "dicomweb", "url": "https://user:hunter2@pacs.example/dicom-web"},
                "drop": {"kind": "folder", "path": str(data / "out")},
            },
        }
    )


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return configuration_in(tmp_path)


@pytest.fixture(scope="session")
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folders ``empty`` and ``morning``, to be copied: making the tables takes half a second."""
    folder = tmp_path_factory.mktemp("records")
    for name in ("empty", "morning"):
        (folder / name).mkdir()
        database = open_database(configuration_in(folder / name).node.database_url)
        Base.metadata.create_all(database)
        if name == "morning":
            Morning(database, folder / name).fill()
        database.dispose()
    return folder


@pytest.fixture
def database(configuration: Configuration, _made_once: Path) -> Iterator[Database]:
    """The records of a node that has not received anything."""
    shutil.copytree(_made_once / "empty", configuration.node.data, dirs_exist_ok=True)
    database = open_database(configuration.node.database_url)
    yield database
    database.dispose()


def write_capture(path: Path) -> None:
    """A 300 x 600 RGB capture of one colour with a darker left half."""
    array = np.zeros((300, 600, 3), dtype=np.uint8)
    array[:] = CAPTURE_RGB
    array[:, :300] //= 2
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.9.1"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PlanarConfiguration = 300, 600, 3, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PhotometricInterpretation = "RGB"
    ds.PixelData = array.tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, ds, enforce_file_format=True)


def clause(key: str, expected: str, found: str, holds: bool) -> dict[str, object]:
    return {"key": key, "expected": expected, "found": found, "holds": holds}


class Morning:
    """Fills the records; times count in seconds from `zero`."""

    def __init__(self, database: Database, data: Path) -> None:
        self.database = database
        self.data = data
        self.zero = datetime.now(UTC) - timedelta(minutes=30)

    def at(self, seconds: float) -> datetime:
        return self.zero + timedelta(seconds=seconds)

    def received(self, session: Session, study: str, modality: str, instances: int, start: float) -> str:
        """A study of one series, received one instance a tenth of a second; returns the series' UID."""
        series = f"{study}.1"
        last = start + instances / 10
        session.add(StudyRow(study_instance_uid=study, first_received=self.at(start), last_received=self.at(last)))
        session.add(
            SeriesRow(
                series_instance_uid=series,
                study_instance_uid=study,
                modality=modality,
                instances=instances,
                expected=instances,
                first_received=self.at(start),
                last_received=self.at(last),
                completed=self.at(last + 2),
            )
        )
        session.add_all(
            InstanceRow(
                sop_instance_uid=f"{series}.{index}",
                sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
                series_instance_uid=series,
                study_instance_uid=study,
                transfer_syntax_uid="1.2.840.10008.1.2.1",
                path=f"{index}.dcm",
                size=1000,
                association_id="a",
                received=self.at(start + index / 10),
            )
            for index in range(instances)
        )
        return series

    def job(self, session: Session, number: int, study: str, state: str, created: float, **more: object) -> str:
        identifier = f"{number:032x}"
        session.add(
            JobRow(
                id=identifier,
                route="knee",
                pipeline="knee_super_resolution",
                pipeline_version="1.0",
                study_instance_uid=study,
                series_instance_uids=[f"{study}.1"],
                sop_instance_uids=["1", "2"],
                settings={},
                destinations=["pacs", "drop"],
                state=state,
                created=self.at(created),
                **{"updated": self.at(created + 20), **more},
            )
        )
        session.flush()
        return identifier

    def events(self, session: Session, job: str, *events: tuple[float, str, float | None]) -> None:
        session.add_all(
            EventRow(job_id=job, what=what, detail="", at=self.at(at), seconds=seconds) for at, what, seconds in events
        )

    def decision(self, session: Session, study: str, job: str | None, *clauses: dict[str, object]) -> None:
        matched = all(bool(one["holds"]) for one in clauses)
        why = "every clause holds" if matched else "BodyPartExamined: HEAD instead of KNEE"
        session.add(
            DecisionRow(
                route="knee",
                level="series",
                study_instance_uid=study,
                series_instance_uid=f"{study}.1",
                matched=matched,
                trace={
                    "matched": matched,
                    "why": why,
                    "series": [
                        {
                            "series_instance_uid": f"{study}.1",
                            "modality": "MR",
                            "matched": matched,
                            "clauses": list(clauses),
                        }
                    ],
                },
                job_id=job,
                decided=self.at(20),
            )
        )

    def made(
        self,
        session: Session,
        job: str,
        study: str,
        uid: str,
        kind: str,
        lines: dict[str, dict[str, object]],
        twin_of: str | None = None,
    ) -> None:
        path = f"jobs/{job}/objects/{uid}.dcm"
        if kind == "secondary_capture":
            write_capture(self.data / path)
        session.add(
            ObjectRow(
                sop_instance_uid=uid,
                sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
                series_instance_uid=f"{uid}.0",
                study_instance_uid=study,
                job_id=job,
                kind=kind,
                path=path,
                sha256="0" * 64,
                size=540_000,
                twin_of=twin_of,
            )
        )
        session.flush()
        session.add_all(
            OutboxRow(
                sop_instance_uid=uid,
                job_id=job,
                destination=destination,
                **{"state": "waiting", "not_before": self.at(60), **values},
            )
            for destination, values in lines.items()
        )

    def fill(self) -> None:
        matching = (
            clause("Modality", "MR", "MR", True),
            {
                "key": "any_of",
                "expected": "any of these",
                "found": "1 of 2 hold",
                "holds": True,
                "clauses": [
                    clause("BodyPartExamined", "KNEE", "absent", False),
                    clause("ReceiveCoilName", "*knee*", "HD TR Knee PA", True),
                ],
            },
        )
        with Session(self.database) as session, session.begin():
            delivered = {"state": "delivered", "attempts": 1, "delivered": self.at(42), "answer": "0x0000"}
            down = {"attempts": 3, "answer": "PACS-B at 10.1.2.3:104: connection refused"}
            session.add_all(
                AssociationRow(id=identifier, way="dimse", started=self.at(at), ended=self.at(at + 1), **values)
                for identifier, at, values in (
                    ("a", 0, {"calling_ae_title": "MR1", "outcome": "released", "stored": 60}),
                    (
                        "b",
                        5,
                        {
                            "calling_ae_title": "STRANGER",
                            "called_ae_title": "CONDYLE",
                            "peer_address": "10.9.9.9",
                            "outcome": "refused",
                            "reason": "calling AE title is not in peers",
                        },
                    ),
                )
            )
            self.received(session, "1.2.1", "MR", 48, 0)
            done = self.job(session, 1, "1.2.1", "done", 10, updated=self.at(43))
            self.decision(session, "1.2.1", done, *matching)
            self.events(
                session,
                done,
                (10, "queued", None),
                (10.3, "running", None),
                (10.5, "prepare", 0.21),
                (30.5, "infer", 20.0),
                (31.7, "encode", 1.2),
                (31.8, "sending", None),
                (43, "done", None),
            )
            self.made(session, done, "1.2.1", "1.2.9.1", "secondary_capture", {"pacs": delivered, "drop": delivered})
            self.made(session, done, "1.2.1", "1.2.9.2", "report", {"pacs": delivered, "drop": delivered})
            self.made(session, done, "1.2.1", "1.2.9.3", "report", {}, twin_of="1.2.9.2")  # nobody needed it

            self.received(session, "1.2.2", "MR", 12, 200)
            self.decision(session, "1.2.2", None, clause("BodyPartExamined", "KNEE", "HEAD", False))

            self.received(session, "1.2.3", "MR", 3, 300)
            reason = "needs at least 4 slices to interpolate between, found 3"
            unsuitable = self.job(session, 3, "1.2.3", "unsuitable", 303, reason=reason, updated=self.at(304))
            self.decision(session, "1.2.3", unsuitable, *matching)
            self.events(session, unsuitable, (303, "queued", None), (303.5, "running", None), (304, "unsuitable", None))

            self.received(session, "1.2.4", "MR", 30, 400)
            sending = self.job(session, 4, "1.2.4", "sending", 406)
            self.decision(session, "1.2.4", sending, *matching)
            self.events(session, sending, (406, "queued", None), (407, "running", None), (420, "sending", None))
            self.made(session, sending, "1.2.4", "1.2.9.4", "report", {"pacs": down, "drop": delivered})


@pytest.fixture
def morning(database: Database, configuration: Configuration, _made_once: Path) -> Morning:
    """Fills the records of `database`."""
    shutil.copytree(_made_once / "morning", configuration.node.data, dirs_exist_ok=True)
    return Morning(database, configuration.node.data)
