"""`condyle send`: send DICOM files to a destination of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydicom.uid import Comprehensive3DSRStorage
from rich.progress import track

from dicom_sr.errors import UnsuitableInput
from dicom_sr.profile import LATER_KINDS, SENDING_ORDER, UNSHOWN, Kind, ObjectFile, kind_of
from dicom_sr.series import read_studies
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.route import LeftOut
from node.commands.terminal import console
from node.config import Profile, read
from node.send.delivery import Outcome
from node.send.lane import open_delivery
from node.study.files import files_in


def send(folder: Path, to: str, config: Path) -> int:
    """Send the DICOM files in `folder`; print each object that is refused or left out, with the reason.

    Results of kinds that the destination does not get from the node are left out; acquired images are of no kind.

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
    destination = configuration.destinations[to]
    items, left_out, not_read = [], 0, LeftOut([folder], complaints)
    for kind, item in sorted(_items(files_in([folder], not_read), not_read), key=_order):
        if why := _not_taken(kind, item, destination.profile):
            left_out += 1
            complaints.print(f"left out: {item.path}: {why}: destinations.{to}.profile", style="yellow", markup=False)
        else:
            items.append(item)
    if not items:
        what = "nothing that the destination takes" if left_out else "no DICOM files found"
        complaints.print(f"{folder}: {what}", markup=False)
        return NOT_RIGHT
    delivery = open_delivery(to, destination, configuration.node.ae_title)
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
    others = {"left out": left_out, "not read": not_read.problems}
    more = "".join(f", {count} {what}" for what, count in others.items() if count)
    out.print(f"{len(items) - refused} of {len(items)} delivered to {to}{more}")
    return NOT_RIGHT if refused or not_read.problems else OK


def _order(of: tuple[Kind | None, ObjectFile]) -> int:
    """Images first, then what refers to them, as the node sends its results."""
    kind, _ = of
    return 0 if kind is None else SENDING_ORDER[kind]


def _not_taken(kind: Kind | None, item: ObjectFile, profile: Profile) -> str:
    """Why the node would send no such object to a destination with that profile; empty where it would."""
    if kind is not None and kind not in (*profile.kinds, *LATER_KINDS):  # of which no profile speaks
        return f"is of kind {kind}, which is not in kinds"
    if kind in UNSHOWN[profile.viewer]:
        return f"is of kind {kind}, which is not shown by viewer: {profile.viewer}"
    if item.sop_class_uid == Comprehensive3DSRStorage and profile.measurement_report == "comprehensive":
        return "is a Comprehensive 3D SR, and measurement_report is comprehensive"
    return ""


def _items(paths: Iterable[Path], left_out: LeftOut) -> Iterator[tuple[Kind | None, ObjectFile]]:
    for path in paths:
        try:
            (study,) = read_studies([path])
            (series,) = study.series
            (instance,) = series.instances
            kind = kind_of(instance.header())
        except UnsuitableInput as error:
            left_out(path, str(error).removeprefix(f"{path.name} "))
            continue
        yield (
            kind,
            ObjectFile(
                sop_class_uid=instance.sop_class_uid,
                sop_instance_uid=instance.sop_instance_uid,
                series_instance_uid=series.series_instance_uid,
                study_instance_uid=study.study_instance_uid,
                path=path,
            ),
        )
