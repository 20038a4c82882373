"""What a route in the shadow of another made, as DICOM files in a local folder: to be looked at, and sent nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from node.config import Configuration, FolderDestination
from node.files import copy_whole, file_name, make_folder, remove_folder
from node.run.notes import ObjectsNote

ROOM = "shadow"  # in the data folder


def folder_of(configuration: Configuration, route: str) -> Path | None:
    """Where the objects of a route go, a folder for each job; None for a route that shadows none."""
    found = configuration.routes.get(route)
    if found is None or found.shadow_of is None:
        return None
    return found.shadow_folder or configuration.node.data.absolute() / ROOM / file_name(route)


def as_destination(folder: Path) -> FolderDestination:
    """The folder as a destination with the usual profile: what the objects are encoded for."""
    return FolderDestination(kind="folder", path=folder.absolute())


def write(folder: Path, job_id: str, note: ObjectsNote) -> None:
    """Put a job's objects into its folder; what was there goes.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    place = folder / file_name(job_id)
    if place.exists():
        remove_folder(place)
    make_folder(place)
    own = [item for item in note.objects if note.is_own(item)]
    for number, item in enumerate(sorted(own, key=lambda one: one.order), start=1):
        copy_whole(item.path, place / f"{number:03d}-{item.kind}.dcm", sync="never")


def remove(configuration: Configuration, job_id: str) -> None:
    """Delete the folders of a job, also those of routes that are no longer configured.

    Raises
    ------
    OSError
        If something stays.
    """
    for folder in _folders(configuration):
        if (place := folder / file_name(job_id)).exists():
            remove_folder(place)


def _folders(configuration: Configuration) -> Iterator[Path]:
    room = configuration.node.data.absolute() / ROOM
    yield from sorted(room.glob("[!.]*"))
    for route in configuration.routes.values():
        if route.shadow_folder is not None:
            yield route.shadow_folder
