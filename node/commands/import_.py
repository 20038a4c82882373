"""`condyle import`: import DICOM files into the node's store."""

from __future__ import annotations

from pathlib import Path

from node.commands.exit_codes import NOT_RIGHT, OK
from node.commands.terminal import console
from node.config import read
from node.receive.importer import run
from node.run.job_engine import set_up


def import_(path: Path, config: Path) -> int:
    """Import the DICOM files in `path`; print each refused file with the reason."""
    configuration = read(config)
    set_up(configuration).dispose()  # the first import may come before the node's first start
    out, complaints = console(), console(error=True)
    with complaints.status("Reading") as status:
        report = run(configuration, [path], lambda file: status.update(f"Reading {file.name}"))
    for name, reason in report.refused:
        complaints.print(f"{name}: {reason}", style="red", markup=False)
    out.print(f"{report.stored} stored, {len(report.refused)} refused, {report.skipped} not DICOM")
    return NOT_RIGHT if report.refused else OK
