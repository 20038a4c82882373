"""A result as a folder: DICOM objects, captures as PNG, volumes as NIfTI, and `summary.json`."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_sr.profile import EncodedObject
from dicom_sr.words import shown
from node.local.volumes import LocalVolume

SUMMARY = "summary.json"
OBJECTS, CAPTURES, VOLUMES, TRACEBACK = "objects", "captures", "nifti", "traceback.txt"


def is_result(folder: Path) -> bool:
    """Whether a folder is one that `save` wrote."""
    return read_summary(folder) is not None


def read_summary(folder: Path) -> dict[str, object] | None:
    """What `summary.json` in a folder says; None where it is not there, or not ours."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and {"state", "pipeline", "folder"} <= summary.keys() else None


def require_free(folder: Path, names: Sequence[str], *, overwrite: bool = False) -> None:
    """Make sure that results can be written into a folder, before time is spent on them.

    Parameters
    ----------
    folder
        Made if it is not there.
    names
        Of the folders that the results will have in it.
    overwrite
        Earlier results of those names may be there.

    Raises
    ------
    FileExistsError
        If one is there already, or something that is no result and is never replaced.
    OSError
        If nothing can be written into the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass  # it can be written into
    there = [name for name in names if (folder / name).exists()]
    foreign = [name for name in there if not is_result(folder / name)]
    if foreign:
        why = f"holds {shown(foreign[0])}, which is no result and is not replaced"
        raise FileExistsError(errno.EEXIST, why, str(folder))
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise FileExistsError(errno.EEXIST, f"holds earlier results of these images: {there[0]}{more}", str(folder))


@dataclass(frozen=True)
class Content:
    """What a result's folder holds."""

    name: str  # of the folder
    summary: Mapping[str, object]  # without the names of files
    objects: Sequence[EncodedObject] = ()
    captures: Sequence[bytes] = ()  # PNG files
    volumes: Sequence[LocalVolume] = ()
    traceback: str = ""


def save(content: Content, folder: Path, *, overwrite: bool = False) -> Path:
    """Write a result into a folder of its own, whole or not at all; returns that folder.

    Raises
    ------
    FileExistsError
        If there is one already, and it is not to be replaced.
    OSError
        If it cannot be written.
    """
    require_free(folder, [content.name], overwrite=overwrite)
    made, part = folder / content.name, folder / f".{content.name}.part"
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    part.mkdir()
    try:
        _write(content, part)
        if made.exists():
            shutil.rmtree(made)
        part.rename(made)
    finally:
        shutil.rmtree(part, ignore_errors=True)  # after an error, or Ctrl-C
    return made


def _write(content: Content, folder: Path) -> None:
    objects, captures, volumes = [], [], []
    for item in content.objects:
        path = _inner(folder / OBJECTS) / item.path.name
        shutil.copyfile(item.path, path)
        kind = {"kind": item.kind, "sop_class_uid": item.sop_class_uid, "sop_instance_uid": item.sop_instance_uid}
        objects.append({"file": f"{OBJECTS}/{path.name}", **kind})
    for number, picture in enumerate(content.captures, start=1):
        path = _inner(folder / CAPTURES) / f"capture-{number}.png"
        path.write_bytes(picture)
        captures.append(f"{CAPTURES}/{path.name}")
    for volume in content.volumes:
        path = volume.write_nifti(_inner(folder / VOLUMES) / f"{volume.name}.nii.gz")
        volumes.append(f"{VOLUMES}/{path.name}")
    if content.traceback:
        (folder / TRACEBACK).write_text(content.traceback, encoding="utf-8", errors="replace")
    summary = {**content.summary, "objects": objects, "captures": captures, "nifti": volumes}
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / SUMMARY).write_text(f"{text}\n", encoding="utf-8")


def _inner(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
