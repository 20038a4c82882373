"""Files on disk -> stored instances: Part 10 with and without preamble, a DICOMDIR's, a folder's, a zip's.

`run` is what `condyle import PATH` calls. Links are not followed, and nothing that a file says becomes a path outside
the folder that was named. What a zip unpacks to is counted as it comes, not believed from its directory.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from node.config import Configuration
from node.database.connection import open_database
from node.database.states import AssociationOutcome
from node.receive.status import NotStored, Status
from node.receive.store.incoming import Arrival, TooLarge
from node.receive.store.instance_files import COPY_BYTES
from node.receive.store.part10 import read_meta
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.store import Store

MAXIMUM_DICOMDIR = 64 * 2**20
# A zip may unpack to this much and so many times its size; blank images compress some 100 times, bombs 1,000 and more
ZIP_ALLOWANCE = 64 * 2**20
ZIP_RATIO = 200
ZIP_MEMBERS = 200_000


@dataclass
class ImportReport:
    """What became of the files."""

    stored: int = 0
    skipped: int = 0  # not DICOM, or the directory of a medium
    refused: list[tuple[str, str]] = field(default_factory=list)  # file name and why

    def refuse(self, name: str, reason: str) -> None:
        """Note one that should have gone in."""
        self.refused.append((name, reason))


def run(
    configuration: Configuration, paths: Iterable[Path], progress: Callable[[Path], None] | None = None
) -> ImportReport:
    """Import `paths` into the node's store, whether the node runs or not.

    Parameters
    ----------
    paths
        Files, folders, DICOMDIRs or zip files.
    progress
        Called with each file before it is read.

    Returns
    -------
    ImportReport
        When everything stored is recorded too (by the running node, or here).
    """
    receive, data = configuration.receive, configuration.node.data
    store = Store(data, receive.durability, receive.disk_floor_mb * 2**20, receive.dimse.maximum_instance_bytes)
    database = open_database(configuration.node.database_url)
    try:
        arrival = store.open("folder", peer_address="import")
        report = ImportReport()
        for path in paths:
            import_path(path, store, arrival, report, progress)
        arrival.close(AssociationOutcome.RELEASED)
        store.close()
        ReceiptImport(data, database).import_now()
    finally:
        store.close()
        database.dispose()
    return report


def import_path(
    path: Path,
    store: Store,
    arrival: Arrival,
    report: ImportReport,
    progress: Callable[[Path], None] | None = None,
) -> None:
    """Import one file, folder, DICOMDIR or zip; what is wrong with one file costs no other anything."""
    for file in _files(path, report):
        if progress is not None:
            progress(file)
        if zipfile.is_zipfile(file):
            _import_zip(file, store, arrival, report)
            continue
        try:
            with file.open("rb") as source:
                import_stream(source, file.name, store, arrival, report)
        except OSError as error:
            report.refuse(file.name, f"cannot be read: {error.strerror}")


def import_stream(source: IO[bytes], name: str, store: Store, arrival: Arrival, report: ImportReport) -> bool:
    """Import one seekable DICOM file; whether it was stored."""
    try:
        meta = read_meta(source)  # type: ignore[arg-type]  # IO[bytes] is a BinaryIO in all but name
    except NotStored:
        report.skipped += 1
        return False
    if meta.sop_class_uid == MediaStorageDirectoryStorage:
        report.skipped += 1
        return False
    source.seek(0)
    try:
        store.adopt(arrival, spool(iter(lambda: source.read(COPY_BYTES), b""), store, arrival))
    except NotStored as error:
        report.refuse(name, error.reason)
        return False
    report.stored += 1
    return True


def spool(parts: Iterable[bytes], store: Store, arrival: Arrival) -> str:
    """Write `parts` to a new partial and return its name.

    Raises
    ------
    NotStored
        If they are more than an instance may have, or the disk is full; recorded with `arrival`.
    """
    try:
        store.require_room(arrival)
        name, fd = store.partial()
    except NotStored as error:
        arrival.failure("", error)
        raise
    size = 0
    try:
        for part in parts:
            size += len(part)
            if size > store.maximum_bytes:
                raise TooLarge(Status.OUT_OF_RESOURCES, "The instance is larger than the node accepts")
            view = memoryview(part)
            while view:
                view = view[os.write(fd, view) :]
    except OSError as error:
        store.drop(name)
        problem = store.trouble(error, arrival)
        arrival.failure("", problem)
        raise problem from error
    except NotStored as error:
        store.drop(name)
        arrival.failure("", error)
        raise
    except BaseException:
        store.drop(name)
        raise
    finally:
        os.close(fd)
    return name


def _files(path: Path, report: ImportReport) -> Iterator[Path]:
    """The files that `path` stands for, in a stable order."""
    if path.is_dir():
        for folder, subfolders, names in os.walk(path):
            subfolders.sort()
            yield from (
                file for name in sorted(names) if not (file := Path(folder) / name).is_symlink() and file.is_file()
            )
    elif path.name.upper() == "DICOMDIR":
        yield from _listed(path, report)
    else:
        yield path


def _listed(path: Path, report: ImportReport) -> Iterator[Path]:
    """The files that a DICOMDIR lists (PS3.3 F); where it cannot be read, all beside it."""
    try:
        if path.stat().st_size > MAXIMUM_DICOMDIR:
            raise InvalidDicomError("too large")
        records = pydicom.dcmread(path).get("DirectoryRecordSequence", None) or ()
        names = [record.get("ReferencedFileID", None) for record in records]
    except (InvalidDicomError, AttributeError, KeyError, TypeError, ValueError, OSError, RecursionError) as error:
        report.refuse(
            path.name, f"cannot be read as a DICOMDIR ({type(error).__name__}): all files beside it are taken"
        )
        yield from _files(path.parent, report)
        return
    root = path.parent.resolve()
    for name in names:
        if not name:
            continue
        parts = [str(part) for part in ([name] if isinstance(name, str) else name)]
        # ISO 9660 knows capitals only; mounted media and copies often have small letters
        for candidate in (root.joinpath(*parts), root.joinpath(*(part.lower() for part in parts))):
            if candidate.resolve().is_relative_to(root) and candidate.is_file():
                yield candidate
                break
        else:
            report.refuse("/".join(parts), "the DICOMDIR lists it, and it is not there")


def _import_zip(path: Path, store: Store, arrival: Arrival, report: ImportReport) -> None:
    allowed = ZIP_ALLOWANCE + ZIP_RATIO * path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > ZIP_MEMBERS:
                report.refuse(path.name, f"holds more than {ZIP_MEMBERS} files")
                return
            for member in members:
                allowed -= _import_member(archive, member, allowed, store, arrival, report)
                if allowed <= 0:
                    report.refuse(path.name, f"unpacks to more than {ZIP_RATIO} times its size: not read on")
                    return
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        report.refuse(path.name, f"cannot be read as a zip: {type(error).__name__}")


def _import_member(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    allowed: int,
    store: Store,
    arrival: Arrival,
    report: ImportReport,
) -> int:
    """Import one file of a zip; how many bytes it unpacked to."""
    name = Path(member.filename).name
    count = 0

    def parts(source: IO[bytes]) -> Iterator[bytes]:
        nonlocal count
        while (part := source.read(COPY_BYTES)) and count <= allowed:
            count += len(part)
            yield part

    try:
        with archive.open(member) as source:
            partial = spool(parts(source), store, arrival)
    except NotStored as error:
        report.refuse(name, error.reason)
        return count
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:  # RuntimeError: it is encrypted
        report.refuse(name, f"cannot be unpacked: {type(error).__name__}")
        return count
    try:
        if count <= allowed:
            with (store.spool / partial).open("rb") as unpacked:
                import_stream(unpacked, name, store, arrival, report)
    finally:
        store.drop(partial)
    return count
