"""Which files an operator names, and the studies that they make up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from dicom_sr.errors import UnsuitableInput
from dicom_sr.series import Study, read_studies
from node.folders import Leave, files_below, no_file, unreadable

CANNOT_BE_READ = "cannot be read"


def files_in(paths: Iterable[Path], leave: Leave, own: Path | None = None) -> Iterator[Path]:
    """The files, and the files in the folders; what is not a file, such as a link in a folder, is left out.

    Parameters
    ----------
    paths
        That are there.
    leave
        Called with the path and the reason of what is left out.
    own
        A folder that is not looked into.
    """
    for path in paths:
        if path.is_dir():
            yield from files_below(path, leave, own)
        elif reason := _no_file(path):
            leave(path, reason)
        else:
            yield path


def _no_file(path: Path) -> str:
    try:
        return no_file(path.stat().st_mode)
    except OSError as error:  # gone just now
        return unreadable(error)


def readable_studies(paths: Iterable[Path], leave: Leave) -> tuple[Study, ...]:
    """The studies in these files; files that are not DICOM are left out."""
    readable = []
    for path in paths:
        try:
            read_studies([path])
        except UnsuitableInput as error:
            leave(path, str(error).removeprefix(f"{path.name} "))
        else:
            readable.append(path)
    return read_studies(readable)


def is_problem(path: Path, reason: str, named: Iterable[Path]) -> bool:
    """Whether it is a problem that a file is left out.

    What is no image is one where it is named itself; in a folder it may lie beside images. What cannot be read always
    is.
    """
    return path in named or CANNOT_BE_READ in reason
