"""A node with the result of three joints, whose page takes verdicts, and two destinations that have the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.profile import EncodedObject
from node.config import Configuration
from node.database.tables import JobRow, OutboxRow, VerdictRow
from node.run.job_folder import SUMMARY, JobFolder
from node.run.result_summary import summary
from tests.factories import joint_result, radiograph_study
from tests.node.verdicts.assessed_node import SITES, AssessedNode

TAKES, TAKES_NOT = "archive", "other"


class JudgedNode(AssessedNode):
    """The node, with the summary of its result."""

    def __init__(self, folder: Path, image: Path, objects: tuple[EncodedObject, ...], **verdicts: Any) -> None:
        super().__init__(folder, image, objects)
        self.database = self.here.database
        folders = {name: {"kind": "folder", "path": str(folder / name)} for name in (TAKES, TAKES_NOT)}
        folders[TAKES]["profile"] = {"kinds": ["report", "assessment"]}  # type: ignore[assignment]
        self.configuration = Configuration.model_validate(
            {
                "node": {"data": str(self.here.data), "institution": "Test hospital"},
                "receive": {"disk_floor_mb": 0},
                "destinations": folders,
                "verdicts": {"form": True, **verdicts},
            }
        )
        (finding,) = joint_result(radiograph_study(folder / "in")).findings
        stated = summary(joint_result(radiograph_study(folder / "in")))
        one = stated["findings"][finding.tracking_id]  # type: ignore[index]
        JobFolder(self.here.data / "jobs" / "1").write_json(
            SUMMARY, {**stated, "findings": {f"SvH L {site}": one for site in SITES}}
        )
        self.change(state="done", destinations=[TAKES, TAKES_NOT])

    def change(self, **columns: Any) -> None:
        """Change the job."""
        with Session(self.database) as session, session.begin():
            for name, value in columns.items():
                setattr(session.get_one(JobRow, "1"), name, value)

    def lines(self) -> list[OutboxRow]:
        with Session(self.database, expire_on_commit=False) as session:
            return list(session.scalars(select(OutboxRow).order_by(OutboxRow.id)))

    def standing(self) -> dict[str, VerdictRow]:
        """The verdicts that stand, by what they are about."""
        return {row.tracking_id: row for row in self.verdicts() if not row.superseded}
