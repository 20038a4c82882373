"""`condyle send`: send DICOM files to a destination of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import track

from dicom_sr.errors import UnsuitableInput
from dicom_sr.profile import ObjectFile
from dicom_sr.series import read_studies
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.route import files_in
from node.commands.terminal import console
from node.config import read
from node.send.delivery import Outcome
from node.send.lane import open_delivery


def send(folder: Path, to: str, config: Path) -> int:
    """Send the DICOM files in `folder`; print each object that is refused, with the answer.

    Parameters
    ----------
    folder
        A DICOM file, or a folder with DICOM files.
    to
        Name of a destination of the configuration.
    config
        The configuration file.
    """
    out, complaints = console(), console(error=True)
    configuration = read(config)
    if to not in configuration.destinations:
        known = ", ".join(configuration.destinations) or "none"
        complaints.print(f"--to: {to!r}: {config} has no such destination; it has: {known}", markup=False)
        return USAGE
    items = list(_items(files_in([folder]), complaints))
    if not items:
        complaints.print(f"{folder}: no DICOM files found", markup=False)
        return NOT_RIGHT
    delivery = open_delivery(to, configuration.destinations[to], configuration.node.ae_title)
    refused = 0
    try:
        answers = track(
            delivery.send(items),
            f"Sending to {to}",
            total=len(items),
            console=complaints,
            transient=True,
            disable=not complaints.is_terminal,
        )
        for item, answer in answers:
            if answer.outcome is not Outcome.DELIVERED:
                refused += 1
                complaints.print(f"{item.path}: {answer.text}", style="red", markup=False)
    finally:
        delivery.close()
    out.print(f"{len(items) - refused} of {len(items)} delivered to {to}")
    return NOT_RIGHT if refused else OK


def _items(paths: Iterable[Path], complaints: Console) -> Iterator[ObjectFile]:
    for path in paths:
        try:
            (study,) = read_studies([path])
        except UnsuitableInput as error:
            complaints.print(f"left out: {error}", style="yellow", markup=False)
            continue
        (series,) = study.series
        (instance,) = series.instances
        yield ObjectFile(
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            series_instance_uid=series.series_instance_uid,
            study_instance_uid=study.study_instance_uid,
            path=path,
        )
