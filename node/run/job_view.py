"""What a worker in a box sees of the data folder: the files of the job that it is at, and of no other.

A box is made once and its worker stays warm, so the files come to it: for each request the images are there by further
names (hard links), read only, and the job's own files as copies. Of what the worker leaves, the node takes the files
that the step makes and nothing else: a note that says where the images lie, for one, is never the worker's to change.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from node import box
from node.data_folder import own_key
from node.errors import JobFailed, NoRoom, StorageAway, WorkerDied
from node.files import FULL, NO_LINKS, PRIVATE_FILE, file_name, is_full, make_folder, opened_folder, remove_folder
from node.models.store import ROOM
from node.run.job_folder import KEY_FILE, RESULT, SUMMARY, JobFolder
from node.run.messages import Check, Encode, Infer, JobRequest
from node.run.notes import CheckNote, ObjectsNote, ResultNote, SeriesNote, StudyNote
from node.study.images import away

LARGEST_NOTE = 2**20  # bytes; the node reads it whole
LARGEST_LIST = 8 * 2**20  # bytes of the list of objects, some 600 for each
BOXES = ".boxes"  # beside the files that are shown, so that they are on the same file system
# By what was asked: the files, that which makes the rest count last, with their largest sizes; None: as a job may write
_MADE: dict[type[JobRequest], Mapping[str, int | None]] = {
    Check: {CheckNote.FILE: LARGEST_NOTE},
    Infer: {SUMMARY: LARGEST_NOTE, RESULT: None, ResultNote.FILE: LARGEST_NOTE},
    Encode: {ObjectsNote.FILE: LARGEST_LIST},
}


class JobView:
    """What one worker sees.

    Parameters
    ----------
    data
        The node's data folder.
    node
        Its name among those that share the folder.
    limit
        Bytes that a job may write.
    """

    def __init__(self, data: Path, node: str, limit: int) -> None:
        self._limit = limit
        self._data, name = data.absolute(), f"{_owner(node)}{secrets.token_hex(8)}"
        self._instances, self._jobs = (self._data / room / BOXES / name for room in ("instances", "jobs"))
        self._shown, self._written, self._scratch = self._instances, self._jobs / "jobs", self._jobs / "scratch"
        for folder in (self._shown, self._written, self._scratch):
            make_folder(folder)
        self._made = self._identities()

    def _identities(self) -> list[tuple[int, int]]:
        found = [folder.stat() for folder in (self._shown, self._written)]
        return [(one.st_dev, one.st_ino) for one in found]

    @property
    def is_seen(self) -> bool:
        """Whether the worker sees it still: not where a storage went away and came back since the box was made."""
        try:
            return self._identities() == self._made
        except OSError:
            return False

    def of_box(self, reads: Sequence[Path]) -> box.View:
        """The view as a box is made with it; `reads` is to be seen beside the job."""
        make_folder(self._data / ROOM)  # a bundle that comes later is seen as well
        own_key(self._data / KEY_FILE)  # what it writes carries a digest with this key
        return box.View(
            scratch=self._scratch,
            covers=self._data,
            reads=(self._data / KEY_FILE, self._data / ROOM, *reads),
            shows={self._data / "instances": self._shown},
            writes={self._data / "jobs": self._written},
        )

    def show(self, asked: JobRequest) -> None:
        """Show the files of the job that something is asked about.

        Raises
        ------
        MustWait
            If there is no room, or the images cannot be read now.
        JobFailed
            If anything else keeps the files from being shown.
        """
        home = JobFolder(asked.folder)
        note = home.read_note(StudyNote)
        images = note.paths if note else ()
        try:
            self.clear()
            place = self._written / asked.folder.name
            make_folder(place)
            for file in asked.folder.iterdir():
                if file.is_file() and not file.is_symlink():
                    shutil.copyfile(file, place / file.name)
            for image in images:
                self._show_image(image)
        except OSError as error:
            if is_full(error):
                raise NoRoom(FULL) from error
            if reason := away(error, images):
                raise StorageAway(reason) from error
            raise JobFailed(
                f"its files cannot be shown to the process that runs pipelines: {error.strerror}"
            ) from error

    def _show_image(self, image: Path) -> None:
        """Give an image a further name; one that is not there is the worker's to notice."""
        instances = self._data / "instances"
        if ".." in image.parts or not image.is_relative_to(instances):
            return
        place = self._shown / image.relative_to(instances)
        make_folder(place.parent)
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            try:
                os.link(image, place, follow_symlinks=False)
            except OSError as error:
                if error.errno not in (*NO_LINKS, errno.EXDEV, errno.EMLINK):
                    raise
                shutil.copyfile(image, place)

    def take(self, asked: JobRequest, *, series_only: bool = False) -> None:
        """Put what the worker made into the job's folder.

        Parameters
        ----------
        asked
            What it was asked.
        series_only
            It is still at it, and only the derived series are finished.

        Raises
        ------
        WorkerDied
            If it is not what a step makes.
        """
        try:
            with opened_folder(self._written) as jobs, opened_folder(asked.folder.name, jobs) as job:
                if isinstance(asked, Encode):
                    self._take_objects(asked, job)
                made = {SeriesNote.FILE: LARGEST_LIST} if series_only else _MADE[type(asked)]
                for name, largest in made.items():
                    _take(name, job, asked.folder / name, self._limit if largest is None else largest)
        except OSError as error:
            if is_full(error):
                raise NoRoom(FULL) from error
            raise WorkerDied(f"what the process left is not what was asked of it: {error.strerror}") from error

    def _take_objects(self, asked: Encode, job: int) -> None:
        with opened_folder("objects", job) as objects:
            for profile in asked.profiles:
                with contextlib.suppress(FileNotFoundError), opened_folder(profile, objects) as made:
                    make_folder(asked.folder / "objects" / profile)
                    for name in os.listdir(made):
                        _take(name, made, asked.folder / "objects" / profile / name, self._limit)

    def clear(self) -> None:
        """Show nothing: what was shown is the node's to keep and to delete.

        Raises
        ------
        OSError
            If what the worker left cannot be removed.
        """
        for folder in (self._shown, self._written):
            for entry in os.scandir(folder):
                if entry.is_dir(follow_symlinks=False):
                    remove_folder(Path(entry.path))
                else:
                    os.unlink(entry.path)

    def left_in_scratch(self) -> int:
        """Bytes that the worker left in ``/tmp``, as far as can be seen."""
        return _bytes_in(self._scratch)

    @property
    def is_full(self) -> bool:
        """Whether the worker wrote more than a job may, and did not remove it, as far as can be seen."""
        return _bytes_in(self._scratch) + _bytes_in(self._written) > self._limit

    def remove(self) -> None:
        """Remove it; the worker has ended."""
        _remove(self._instances)
        _remove(self._jobs)


def remove_all(data: Path, node: str) -> None:
    """Remove what the node of that name left when it was killed; others that share the folder may be at work."""
    for room in ("instances", "jobs"):
        for left in (data / room / BOXES).glob(f"{_owner(node)}*"):
            _remove(left)


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):  # the next start tries again
        remove_folder(folder)


def _bytes_in(folder: Path) -> int:
    """Bytes of the files in a folder, holes too; what the worker hides in it, by depth or permissions, is none."""
    found, folders = 0, [str(folder)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    found += entry.stat(follow_symlinks=False).st_size
    return found


def _owner(node: str) -> str:
    """How the names of a node's folders begin; no name of a node holds the mark at the end."""
    return f"{file_name(node)}~"


def _take(name: str, folder: int, place: Path, largest: int) -> None:
    """Move a file to its place; looked at where the worker cannot change its name any more."""
    aside = place.with_name(f".{secrets.token_hex(8)}")
    os.rename(name, aside, src_dir_fd=folder)
    state = aside.lstat()
    is_file = stat.S_ISREG(state.st_mode)
    if not is_file or state.st_size > largest:  # which holes count for as well: who reads it gets them as zeros
        remove_folder(aside) if stat.S_ISDIR(state.st_mode) else aside.unlink()
        raise OSError(errno.EFBIG, f"a file of {state.st_size} bytes") if is_file else OSError(errno.EINVAL, "no file")
    aside.chmod(PRIVATE_FILE)
    aside.replace(place)
