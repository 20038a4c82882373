"""`condyle import`: import DICOM files into the node's store."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from dicom_sr.words import shown
from node.actions.importing import import_paths
from node.commands.exit_codes import NOT_RIGHT, OK
from node.commands.operator import operator
from node.commands.terminal import console
from node.config import read
from node.receive.importer import NOT_DICOM
from node.run.job_engine import set_up

NAMED = 20  # files that are not DICOM; a medium with its viewer has thousands


def import_(path: Path, config: Path) -> int:
    """Import the DICOM files in `path`; print each file that was not taken, with the reason."""
    configuration = read(config)
    database = set_up(configuration)  # the first import may come before the node's first start
    out, complaints = console(), console(error=True)
    with complaints.status("Reading") as status:
        report = import_paths(
            configuration, database, [path], operator(), lambda file: status.update(Text(f"Reading {shown(file.name)}"))
        )
    database.dispose()
    for name, remark in report.remarks:
        complaints.print(f"{name}: {remark}", markup=False)
    for name, reason in report.refused:
        complaints.print(f"{name}: {reason}", style="red", markup=False)
    for name, reason in report.not_read:
        complaints.print(f"{name}: {reason}", style="yellow", markup=False)
    for name in report.not_dicom[:NAMED]:
        complaints.print(f"{name}: {NOT_DICOM}", markup=False)
    if (more := len(report.not_dicom) - NAMED) > 0:
        complaints.print(f"... and {more:,} more that are not DICOM")
    if report.metas_replaced:
        out.print(
            f"{report.metas_replaced} with a file meta that named another instance or class: the data set's holds"
        )
    numbers = {
        "stored": report.stored,
        "refused": len(report.refused),
        "not DICOM": len(report.not_dicom),
        "not read": len(report.not_read),
    }
    out.print(", ".join(f"{number} {what}" for what, number in numbers.items()))
    return OK if report.stored and not report.not_taken else NOT_RIGHT
