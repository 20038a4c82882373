"""A node in this process that has made a result of three joints, and takes what readers send about it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.write.encode import encode
from node.config import VerdictSettings
from node.data_folder import to_store
from node.database.tables import VERDICT_NOT_READ, AuditRow, JobRow, ObjectRow, VerdictRow
from node.reading import HERE
from node.verdicts.intake import Intake
from pipelines.example import CREATED
from pipelines.hand_foot_scoring.codes import SVH_ERO
from tests.factories import joint_result, radiograph_study
from tests.in_process import InProcessNode
from tests.node.backlog import add, job_row
from tests.workstation import add_comment, content_of, groups, named, set_number

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
SITES = ("MCP2", "MCP3", "MCP4")


def made_result(folder: Path) -> tuple[Path, tuple[EncodedObject, ...]]:
    """A radiograph, and the report on three joints of it."""
    made = joint_result(radiograph_study(folder / "in"))
    made = replace(made, findings=tuple(replace(made.findings[0], tracking_id=f"SvH L {site}") for site in SITES))
    image = made.evidence[0].instances[0].path
    return image, encode(made, EncodingProfile(kinds=("report",)), CREATED, folder / "out")


class AssessedNode:
    """A node that has made the result, and takes what a reader sends."""

    def __init__(self, folder: Path, image: Path, objects: tuple[EncodedObject, ...]) -> None:
        self.here = InProcessNode(folder)
        self.folder, self.objects = folder, objects
        self.here.take([image])
        self.report = pydicom.dcmread(objects[0].path)
        study, source = str(self.report.StudyInstanceUID), str(pydicom.dcmread(image).SOPInstanceUID)
        job = job_row("1", study_instance_uid=study, sop_instance_uids=[source])
        add(self.here.database, JobRow, [job])
        out = self.here.data / "jobs" / "1"
        out.mkdir(parents=True)
        for one in objects:
            shutil.copy(one.path, out / one.path.name)
        rows = [
            {
                "sop_instance_uid": one.sop_instance_uid,
                "sop_class_uid": one.sop_class_uid,
                "series_instance_uid": one.series_instance_uid,
                "study_instance_uid": study,
                "job_id": "1",
                "kind": one.kind,
                "path": to_store(out / one.path.name, self.here.data),
                "sha256": "",
                "size": 1,
                "twin_of": one.twin_of,
            }
            for one in objects
        ]
        add(self.here.database, ObjectRow, rows)
        self.intake = self.intake_with()

    def intake_with(self, **settings: object) -> Intake:
        verdicts = VerdictSettings.model_validate(settings)
        configuration = self.here.configuration.model_copy(update={"verdicts": verdicts})
        return Intake(configuration, self.here.database, HERE, lambda: NOW)

    def take(self, *sent: Dataset | bytes) -> None:
        """Receive, and look into it."""
        for number, one in enumerate(sent):
            file = self.folder / f"sent-{number}.dcm"
            file.write_bytes(one if isinstance(one, bytes) else content_of(one))
            self.here.take([file])
        self.look()

    def look(self) -> None:
        while self.intake.look_into_next():
            pass

    def verdicts(self) -> list[VerdictRow]:
        with Session(self.here.database, expire_on_commit=False) as session:
            return list(session.scalars(select(VerdictRow).order_by(VerdictRow.tracking_id, VerdictRow.received)))

    def reasons(self) -> list[str]:
        """Why something was left alone."""
        with Session(self.here.database) as session:
            rows = session.scalars(select(AuditRow).where(AuditRow.what == VERDICT_NOT_READ).order_by(AuditRow.id))
            return [reason for row in rows for reason in row.detail["reasons"]]


def one_worse_one_gone(copy: Dataset) -> None:
    first, _, last = groups(copy)
    set_number(first, SVH_ERO.value, "4")
    add_comment(first, f"{copy.PatientName.family_name} has a new erosion")
    named(copy, "126010")[0].ContentSequence.remove(last)
