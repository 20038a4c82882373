"""Files on disk -> stored instances: Part 10 with and without preamble, a DICOMDIR's, a folder's, packed ones.

`run` is what `condyle import PATH` calls. A file that says itself that it is DICOM is taken as that, whatever else it
holds. Links in a folder are not followed, nothing that a file says becomes a path outside the folder that was named,
and nothing is taken from the node's own data folder. Every file that is not stored is named with the reason.
"""

from __future__ import annotations

import logging
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR
from typing import IO

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage
from sqlalchemy.exc import SQLAlchemyError

from dicom_sr.errors import of_the_machine
from dicom_sr.words import shown
from node.config import Configuration
from node.database.connection import open_database
from node.database.states import AssociationOutcome
from node.folders import LINK, OWN_FOLDER, files_below, lies_in, no_file, unreadable
from node.progress import goes_on
from node.receive.packed_files import (
    HEAD,
    MAXIMUM_DEPTH,
    MAXIMUM_FILES,
    Allowance,
    Member,
    TooMuch,
    Unreadable,
    members,
    packing_of,
    pieces,
    reading,
)
from node.receive.status import NotStored, Status
from node.receive.store.incoming import Arrival, TooLarge
from node.receive.store.instance_files import Receipt
from node.receive.store.part10 import has_mark, read_meta
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.store import Store

log = logging.getLogger(__name__)

MAXIMUM_DICOMDIR = 64 * 2**20
NOT_DICOM = "is not DICOM"
WAY = "import"  # by which the instances come in, and what they come from
ALL_TAKEN = "all files beside it are taken"


@dataclass
class ImportReport:
    """What became of the files; those in a packed file are named behind it."""

    stored: int = 0
    directories: int = 0  # of media: not stored, and no loss
    refused: list[tuple[str, str]] = field(default_factory=list)  # instances that the store does not take: name and why
    not_dicom: list[str] = field(default_factory=list)  # names of files that were read and are something else
    not_read: list[tuple[str, str]] = field(default_factory=list)  # what may hold instances, or not: name and why
    remarks: list[tuple[str, str]] = field(default_factory=list)  # name, and what is odd with it and costs nothing
    studies: Counter[str] = field(default_factory=Counter)  # of those stored, by Study Instance UID
    metas_replaced: int = 0  # of those stored: the file meta named another instance than the data set
    unreadable: bool = False  # the system did not let a file be read: it may do so later
    no_room: bool = False  # the node could not write to its disk: later it may

    @property
    def not_taken(self) -> list[tuple[str, str]]:
        """All that was not stored, with the reason."""
        return [*self.refused, *self.not_read, *((name, NOT_DICOM) for name in self.not_dicom)]

    def add(self, other: ImportReport) -> None:
        """Add what became of other files."""
        self.stored += other.stored
        self.studies += other.studies
        self.directories += other.directories
        self.not_dicom += other.not_dicom
        self.refused += other.refused
        self.not_read += other.not_read
        self.remarks += other.remarks
        self.unreadable = self.unreadable or other.unreadable
        self.no_room = self.no_room or other.no_room

    def refuse(self, name: str, reason: str) -> None:
        """Note an instance that is not stored."""
        self.refused.append((shown(name), reason))

    def leave(self, name: str, reason: str) -> None:
        """Note something that is not read, or not to its end."""
        self.not_read.append((shown(name), reason))


def run(
    configuration: Configuration, paths: Iterable[Path], progress: Callable[[Path], None] | None = None
) -> ImportReport:
    """Import `paths` into the node's store, whether the node runs or not.

    Parameters
    ----------
    paths
        Files, folders, DICOMDIRs or packed files.
    progress
        Called with each file before it is read.

    Returns
    -------
    ImportReport
        When everything stored is recorded too (by the running node, or here).
    """
    database = open_database(configuration.node.database_url)
    store = Store.of(configuration, database)
    try:
        arrival = store.open(WAY, peer_address=WAY)
        report = ImportReport()
        for path in paths:
            import_path(path, store, arrival, report, progress)
        report.metas_replaced = arrival.metas_replaced
        arrival.close(AssociationOutcome.RELEASED)
        store.close()
        ReceiptImport(configuration.node.data, database).import_now()
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
    """Import one file, folder, DICOMDIR or packed file; what is wrong with one file costs no other anything.

    The report names files relative to the folder, or to that of the DICOMDIR.
    """
    for file in _files(path, report, store.data):
        if progress is not None:
            progress(file)
        import_file(file, store, lambda: arrival, report, _called(file, path))


def _called(file: Path, root: Path) -> str:
    """What the report calls a file that `root` stands for."""
    return str(file.relative_to(root if root in file.parents else root.parent))


def import_file(
    path: Path, store: Store, arrival: Callable[[], Arrival], report: ImportReport, name: str = ""
) -> list[Receipt]:
    """Import one file, with all that is packed in it; the receipts of what was stored.

    Parameters
    ----------
    path
        The file.
    store
        Takes the instances.
    arrival
        What they come by: asked for when there is something to store. It may raise `NotStored`.
    report
        What becomes of the file is added to it.
    name
        As the report has it; without one, the file's own.
    """
    name = name or path.name
    if lies_in(path, store.data):
        report.leave(name, OWN_FOLDER)
        return []
    return import_content(path, store, arrival, report, name)


def import_content(
    path: Path, store: Store, arrival: Callable[[], Arrival], report: ImportReport, name: str
) -> list[Receipt]:
    """As `import_file`, of a file that may lie in the data folder, such as one that was just uploaded."""
    one = _OneFile(store, arrival, report)
    try:
        with path.open("rb") as source:
            one.take(source, shown(name))
    except TooMuch as error:
        report.leave(name, str(error))
    except _NoRoom as error:
        report.refuse(name, str(error))
        report.no_room = True
    except OSError as error:
        report.leave(name, unreadable(error))
        report.unreadable = True
    except Unreadable as error:
        report.leave(name, str(error))
        report.unreadable = True
    except Exception as error:  # whatever a file holds, the next one is taken
        if isinstance(error, SQLAlchemyError):
            raise
        log.exception("file not taken", extra={"reason": type(error).__name__})  # no name: it may be a patient's
        report.leave(name, f"cannot be taken ({type(error).__name__})")
        report.unreadable = of_the_machine(error)
    return one.receipts


class _NoRoom(Exception):
    """The node cannot write to its disk: there is no use in reading on."""


class _OneFile:
    """A file on its way into the store, and the files that are packed in it."""

    def __init__(self, store: Store, arrival: Callable[[], Arrival], report: ImportReport) -> None:
        self._store, self._arrival, self._report = store, arrival, report
        self.receipts: list[Receipt] = []

    def take(
        self, source: IO[bytes], name: str, partial: str = "", allowance: Allowance | None = None, depth: int = 1
    ) -> None:
        """Store it, or what is packed in it, or note why not.

        Parameters
        ----------
        source
            Open on the file, seekable.
        name
            As the report has it.
        partial
            Its name in the spool, where it was unpacked into that.
        allowance
            What it may unpack to; None: what its own size allows.
        depth
            How deep it is packed; 1: not at all.

        Raises
        ------
        TooMuch, Unreadable, _NoRoom
        """
        marked, packing = _told(source)
        if packing is not None:
            self._unpack(source, name, packing, allowance or Allowance(os.fstat(source.fileno()).st_size), depth)
            return
        try:
            meta = read_meta(source)
        except NotStored as error:
            if marked:
                self._turn_down(name, error)
            else:
                self._report.not_dicom.append(name)
            return
        if meta.sop_class_uid == MediaStorageDirectoryStorage:
            self._report.directories += 1
            return
        try:
            if not partial:
                source.seek(0)
                partial = spool(pieces(source), self._store, self._arrival())
            receipt = self._store.adopt(self._arrival(), partial)
            self.receipts.append(receipt)
            self._report.stored += 1
            self._report.studies[receipt.study_instance_uid] += 1
        except NotStored as error:
            self._refuse(name, error)
        except BaseException:
            self._store.drop(partial)
            raise

    def _turn_down(self, name: str, error: NotStored) -> None:
        """Refuse what says that it is an instance and cannot be given to the store as one."""
        try:
            self._arrival().failure("", error)
        except NotStored as no_room:
            error = no_room
        self._refuse(name, error)

    def _unpack(self, source: IO[bytes], name: str, packing: str, allowance: Allowance, depth: int) -> None:
        if depth == MAXIMUM_DEPTH:
            self._report.leave(name, f"is packed more than {MAXIMUM_DEPTH - 1} times over")
            return
        empty = True
        try:
            for member in members(source, packing, name, allowance):
                empty = False
                self._take_member(member, f"{name}/{shown(member.name)}", allowance, depth)
        except Unreadable as error:
            self._leave(name, error)
        else:
            if empty:
                self._report.leave(name, "is packed, and holds no file")

    def _take_member(self, member: Member, name: str, allowance: Allowance, depth: int) -> None:
        try:
            with reading():
                source = member.open()
            with source:
                partial = spool(allowance.counted(source), self._store, self._arrival())
        except Unreadable as error:
            self._leave(name, error)
            return
        except NotStored as error:
            self._refuse(name, error)
            return
        try:
            with (self._store.spool / partial).open("rb") as unpacked:
                self.take(unpacked, name, partial, allowance, depth + 1)
        finally:
            self._store.drop(partial)

    def _leave(self, name: str, error: Unreadable) -> None:
        self._report.leave(name, str(error))
        self._report.unreadable |= of_the_machine(error)  # where the storage fails, and not what is packed

    def _refuse(self, name: str, error: NotStored) -> None:
        if error.status == Status.OUT_OF_RESOURCES and not isinstance(error, TooLarge):
            raise _NoRoom(error.reason) from error
        self._report.refuse(name, error.reason)


def _told(source: IO[bytes]) -> tuple[bool, str | None]:
    """Whether the file says itself that it is DICOM, and how it is packed, where it is and does not."""
    with reading():
        head = source.read(HEAD)
        if has_mark(head):
            return True, None
        packing = packing_of(head)
        if packing is None:
            try:
                read_meta(source)  # a bare data set may hold anything too
            except NotStored:
                if zipfile.is_zipfile(source):  # behind something else, such as a program that unpacks it
                    packing = "zip"
        return False, packing


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
        try:
            for part in parts:
                goes_on()
                size += len(part)
                if size > store.maximum_bytes:
                    raise TooLarge(Status.OUT_OF_RESOURCES, "The instance is larger than the node accepts")
                store.write(fd, arrival, part)
        finally:
            os.close(fd)
    except OSError as error:  # a share says only at the end that it is full
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
    return name


def _files(path: Path, report: ImportReport, own: Path) -> Iterator[Path]:
    """The files that `path` stands for, in a stable order; none of the node's own data folder."""
    name = path.name or str(path)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        report.leave(name, unreadable(error))
        return
    if reason := no_file(mode):
        report.leave(name, reason)
    elif not S_ISDIR(mode):
        yield from _listed(path, report, own) if _is_dicomdir(path) else (path,)
    elif lies_in(path, own):
        report.leave(name, OWN_FOLDER)
    else:
        yield from files_below(path, lambda file, reason: report.leave(_called(file, path), reason), own)


def _is_dicomdir(path: Path) -> bool:
    """Whether it is the directory of a medium, by its name (which media spell in many ways) or by what it says."""
    if _plain(path.name).split(".")[0] == "dicomdir":
        return True
    try:
        with path.open("rb") as file:
            return read_meta(file).sop_class_uid == MediaStorageDirectoryStorage
    except (OSError, NotStored):
        return False


def _listed(path: Path, report: ImportReport, own: Path) -> Iterator[Path]:
    """The files that a DICOMDIR lists (PS3.3 F); where it cannot be read or lists none, all beside it."""
    try:
        listed = _file_ids(path)
    except Unreadable as error:
        report.leave(path.name, f"{error}: {ALL_TAKEN}")
        yield from (file for file in _files(path.parent, report, own) if file != path)
        return
    if not listed:
        report.remarks.append((shown(path.name), f"lists no file: {ALL_TAKEN}"))
        yield from _files(path.parent, report, own)  # with itself: an image may have such a name
        return
    report.directories += 1
    medium = _Medium(path.parent)
    for parts in listed:
        try:
            yield medium.find(parts)
        except Unreadable as error:
            report.leave("/".join(parts), str(error))
        except OSError as error:
            report.leave("/".join(parts), unreadable(error))
        except ValueError:  # a NUL in it
            report.leave("/".join(parts), "the DICOMDIR lists it, and no file can have such a name")


def _file_ids(path: Path) -> list[list[str]]:
    """The names of the files that a DICOMDIR lists, one or more of each; raises `Unreadable`."""
    try:
        if path.stat().st_size > MAXIMUM_DICOMDIR:
            raise Unreadable(f"is too large for a DICOMDIR (over {MAXIMUM_DICOMDIR // 2**20} MB)")
        with path.open("rb") as file:
            if has_mark(file.read(HEAD)):
                file.seek(0)
                if read_meta(file).transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
                    raise Unreadable("is deflated, as no DICOMDIR is (PS3.10 8.6)")  # it could unpack to anything
        records = pydicom.dcmread(path).get("DirectoryRecordSequence", None) or ()
        listed = [_parts(record.get("ReferencedFileID", None) or ()) for record in records]
    except Unreadable:
        raise
    except OSError as error:
        raise Unreadable(f"cannot be read as a DICOMDIR ({error.strerror or type(error).__name__})") from error
    except Exception as error:  # pydicom raises what it likes on what is damaged
        raise Unreadable(f"cannot be read as a DICOMDIR ({type(error).__name__})") from error
    if len(listed) > MAXIMUM_FILES:
        raise Unreadable(f"lists more than {MAXIMUM_FILES:,} files")
    return list(filter(None, listed))


def _parts(file_id: str | Iterable[object]) -> list[str]:
    """The names in a Referenced File ID; some writers put slashes in, as in a path."""
    components = [file_id] if isinstance(file_id, str) else file_id
    return [part for component in components for part in str(component).split("/") if part.strip()]


class _Medium:
    """Finds the files of a DICOMDIR.

    ISO 9660 knows capitals, short names and versions (``IM1.;1``) only; mounted media and copies have small letters,
    and other endings or none. Names are looked for in the listing of each folder, so none leads out of it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listings: dict[Path, list[str]] = {}

    def find(self, parts: list[str]) -> Path:
        """The file of that name, of one part or more.

        Raises
        ------
        Unreadable
            If there is none, or more than one that it may be.
        OSError
            If a folder on the way cannot be read.
        """
        here = self._root
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            there = [name for name in self._listing(here) if (here / name).is_file() == last]
            links = [name for name in there if (here / name).is_symlink()]
            found = _fitting(part, [name for name in there if name not in links], any_ending=last)
            if len(found) != 1:
                link = f"it {LINK}" if _fitting(part, links, any_ending=last) else "it is not there"
                raise Unreadable(f"the DICOMDIR lists it, and {'several files fit' if found else link}")
            here /= found[0]
        return here

    def _listing(self, folder: Path) -> list[str]:
        if folder not in self._listings:
            with os.scandir(folder) as entries:
                self._listings[folder] = sorted(entry.name for entry in entries)
        return self._listings[folder]


def _plain(name: str) -> str:
    """A name without what file systems differ in: case, version, and the dot before an empty ending."""
    return name.strip().casefold().partition(";")[0].rstrip(".")


def _fitting(wanted: str, names: list[str], any_ending: bool) -> list[str]:
    """Which of `names` may be meant by `wanted`: the same, those that are but for case, or those but for the ending."""
    if wanted in names:
        return [wanted]
    plain = _plain(wanted)
    ways: list[Callable[[str], bool]] = [lambda name: name == plain]
    if any_ending:
        stem = Path(plain).stem
        ways += [lambda name: name.startswith(f"{plain}."), lambda name: Path(name).stem == stem or name == stem]
    return next(filter(None, ([name for name in names if fits(_plain(name))] for fits in ways)), [])
