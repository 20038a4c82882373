"""Files that appear under their name whole or not at all.

How much must survive a power cut costs time (one flush takes 2 to 5 ms on a server's disk), so each caller chooses:

======== ============================================ ========================================================
`sync`   after a power cut there is                    used for
======== ============================================ ========================================================
never    the old file, the new one, or an empty one    what is made again without harm: how far something was read
content  the old file or the new one, each whole       a job's files: a missing one is noticed, and its step repeated
name     the new file, once the call has returned      what was reported to others as safe: records, deliveries
======== ============================================ ========================================================

A kill of the process, without a power cut, leaves the old file or the new one in all three.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from node.progress import goes_on

Sync = Literal["never", "content", "name"]

COPY_BYTES = 2**20  # at a time
MOST_FOLDERS = 1_000_000  # that are removed in one go: of something that goes on making them there is no end
FLUSHES_AT_ONCE = 8  # a file system's journal takes in one go what waits at the same moment
# Packed bytes may unpack to this much and so many times their number; blank images compress some 100 times, bombs
# 1,000 and more
UNPACKED_ALLOWANCE = 64 * 2**20
UNPACKED_RATIO = 200


def unpacked_limit(packed: int) -> int:
    """How many bytes a number of packed ones may unpack to: what is more is taken for an attack."""
    return UNPACKED_ALLOWANCE + UNPACKED_RATIO * packed


PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600  # modes: for the node's own account alone
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS})  # of file systems that give a file one name only
# A name that every file system takes as it stands: not hidden, no way up or down, none that Windows keeps for a device
_LAWFUL = re.compile(
    r"(?!(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$))[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?", re.I | re.A
)
FULL = "no room is left on the disk"
_libc = ctypes.CDLL(None)
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE, linux/falloc.h
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SQLITE_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
_POSTGRESQL_FULL = "53100"  # disk_full


def file_name(identifier: str) -> str:
    """The name of a file or folder for an identifier, whoever made it up: the one way in which one becomes a path.

    A UID or an id of the usual kind is its own name. Any other, such as ``..``, an empty one or one with a slash, gets
    a digest behind an underscore, with which no usual one begins: two identifiers never share a name. Where a file
    system does not tell ``a`` from ``A``, two that differ in that alone do, which UIDs and digests never do.
    """
    if _LAWFUL.fullmatch(identifier):
        return identifier
    return f"_{hashlib.sha256(identifier.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def free_bytes(folder: Path) -> int:
    """Room for a process without privileges on the file system of a folder, which need not exist yet.

    Raises
    ------
    OSError
        If the file system cannot be asked.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    space = os.statvfs(there)
    return space.f_bavail * space.f_frsize


def is_full(error: BaseException) -> bool:
    """Whether an error comes from a disk, a quota or a database's disk that is full."""
    return any(
        getattr(cause, "errno", None) in _FULL
        or getattr(cause, "sqlite_errorcode", None) in _SQLITE_FULL
        or getattr(cause, "sqlstate", None) == _POSTGRESQL_FULL
        for cause in causes(error)
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it comes from."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        cause = left.pop(0)
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            left += [cause.__cause__, cause.__context__, getattr(cause, "orig", None)]


def write_all(descriptor: int, *parts: bytes | memoryview) -> None:
    """Write `parts`; a short write, as on a disk that is nearly full, is taken up where it stopped.

    Raises
    ------
    OSError
        If not all of it could be written.
    """
    wanted = sum(len(part) for part in parts)
    written = os.writev(descriptor, parts)
    if written < wanted:
        rest = memoryview(b"".join(parts))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def reserve(descriptor: int, size: int) -> None:
    """Have the file system keep room for `size` bytes of a file, where it can and has it; its length stays."""
    _libc.fallocate(descriptor, _KEEP_SIZE, ctypes.c_longlong(0), ctypes.c_longlong(size))


def write_whole(path: Path, content: bytes, *, sync: Sync, mode: int = PRIVATE_FILE) -> None:
    """Put `content` into the file at `path`, replacing what is there in one step.

    Parameters
    ----------
    path
        In a folder that exists.
    content
        All of the new file.
    sync
        What has to survive a power cut; see the module's table.
    mode
        Permissions of the file.

    Raises
    ------
    OSError
        If it cannot be written; `path` is then what it was.
    """
    _write_whole(path, [content], sync=sync, mode=mode)


def copy_whole(source: Path, path: Path, *, sync: Sync, mode: int = PRIVATE_FILE) -> None:
    """Put the content of file `source` into the file at `path`, as `write_whole` does, in parts.

    Raises
    ------
    OSError
        If `source` cannot be read or `path` not be written; `path` is then what it was.
    """
    _write_whole(path, parts_of(source), sync=sync, mode=mode)


def _write_whole(path: Path, content: Iterable[bytes], *, sync: Sync, mode: int) -> None:
    with _partial(path) as partial:
        _write(partial, content, mode, flushed=sync != "never")
        os.replace(partial, path)
    if sync == "name":
        flush(path.parent)


@contextmanager
def one_at_a_time(folder: Path, lock: threading.Lock) -> Iterator[None]:
    """Work on the files of a folder, made where it is absent, without another thread or process in between.

    Parameters
    ----------
    folder
        Its file "lock" is what processes wait for.
    lock
        What the threads of this one wait for.
    """
    make_folder(folder)
    with lock:
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Put contents into files of one folder, each as `write_whole` does with sync "name", in less time.

    Raises
    ------
    OSError
        If one cannot be written; some of the files may be the new ones then.
    """
    if len(files) == 1:
        for path, content in files.items():
            write_whole(path, content, sync="name")
        return
    with ExitStack() as stack:
        partials = {path: stack.enter_context(_partial(path)) for path in files}
        for path, content in files.items():
            _write(partials[path], [content], PRIVATE_FILE, flushed=False)
        with ThreadPoolExecutor(FLUSHES_AT_ONCE) as pool:
            list(pool.map(flush, partials.values()))
        for path, partial in partials.items():
            os.replace(partial, path)
    for folder in {path.parent for path in files}:
        flush(folder)


def write_new(path: Path, content: bytes) -> None:
    """Put `content` into a new file at `path`, whole and flushed; of several that do so at once, one does.

    Raises
    ------
    FileExistsError
        If there is one already; it stays as it is.
    OSError
        If it cannot be written.
    """
    with _partial(path) as partial:
        _write(partial, [content], PRIVATE_FILE, flushed=True)
        rename_new(partial, path)
    flush(path.parent)


def _write(path: Path, content: Iterable[bytes], mode: int, *, flushed: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        _widen(descriptor, mode)
        stream.writelines(content)
        if flushed:
            stream.flush()
            os.fsync(descriptor)


def rename_new(source: Path | str, path: Path | str) -> None:
    """Rename a file to a name in an existing folder that nothing has: of several at once, one does.

    Raises
    ------
    FileExistsError
        If something has the name already; both stay as they are.
    OSError
        If it cannot be renamed.
    """
    try:
        os.link(source, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    else:
        os.unlink(source)
        return
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # among the processes of the node
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.rename(source, path)
    finally:
        os.close(folder)


def link_whole(source: Path, path: Path) -> None:
    """Give the content of file `source` a second name, `path`, that outlives the first; a copy where links cannot be.

    Nothing is flushed: `source` is as safe as it was.

    Raises
    ------
    OSError
        If `source` cannot be read or `path` not be written.
    """
    with _partial(path) as partial:
        try:
            os.link(source, partial)
        except OSError:
            partial.touch(PRIVATE_FILE)
            shutil.copyfile(source, partial)
        os.replace(partial, path)  # of two names of one file it leaves both; `_partial` deletes the other


def make_folder(path: Path, mode: int = PRIVATE_FOLDER) -> None:
    """Make a folder, and those above it that are missing, with these permissions; one that is there stays as it is.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    if path.is_dir():
        return
    make_folder(path.parent, mode)
    try:
        path.mkdir(mode)
    except FileExistsError as error:
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    else:
        _widen(path, mode)


@contextmanager
def opened_folder(name: Path | str, above: int | None = None) -> Iterator[int]:
    """A descriptor of a folder, opened so that no link leads elsewhere, whoever changes names meanwhile.

    Parameters
    ----------
    name
        Of the folder; only its last part is held to be no link.
    above
        Descriptor of the folder that `name` is relative to.

    Raises
    ------
    OSError
        If it is no folder, or a link to one.
    """
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it, whoever made it: of any depth, closed to its owner, or still changed.

    `shutil.rmtree` calls itself for each level, and ends with a RecursionError at some 1,000.

    Raises
    ------
    OSError
        If something in it cannot be removed, after all the rest, or somebody goes on writing to it.
    """
    failed: OSError | None = None
    _make_accessible(path)
    with opened_folder(path) as root:
        left = os.listdir(root)
        for name in left:  # grows meanwhile
            goes_on()
            try:
                _remove(name, root, left)
            except OSError as error:
                failed = failed or error
            if len(left) > MOST_FOLDERS:
                break
    if failed is not None:
        raise failed
    path.rmdir()


def _remove(name: str, root: int, left: list[str]) -> None:
    """Remove a file or a folder in the folder `root`; folders below it are moved there, and are `left` to be removed.

    What lies deep cannot be reached from above, as a path has a longest length.
    """
    if not _is_folder(name, root):
        os.unlink(name, dir_fd=root)
        return
    _make_accessible(name, root)
    with opened_folder(name, root) as folder:
        for below in os.listdir(folder):
            if _is_folder(below, folder):
                _make_accessible(below, folder)  # what cannot be written to cannot be moved
                moved = secrets.token_hex(16)
                os.rename(below, moved, src_dir_fd=folder, dst_dir_fd=root)
                left.append(moved)
            else:
                os.unlink(below, dir_fd=folder)
    os.rmdir(name, dir_fd=root)


def _is_folder(name: str, above: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)


def _make_accessible(name: Path | str, above: int | None = None) -> None:
    """Let the owner of a folder list and change it; no link is followed."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & PRIVATE_FOLDER != PRIVATE_FOLDER:
            os.chmod(f"/proc/self/fd/{handle}", mode | PRIVATE_FOLDER)  # the handle itself is not enough for it
    finally:
        os.close(handle)


def _widen(file: Path | int, mode: int) -> None:
    """Give others what the umask of the node keeps from them; a file system without permissions is left alone."""
    if mode & 0o077:
        with contextlib.suppress(PermissionError):
            os.chmod(file, mode)


def flush(path: Path | str) -> None:
    """Have the system write a file, or the names in a folder, out to the disk.

    Raises
    ------
    OSError
        If it cannot.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parts_of(path: Path) -> Iterator[bytes]:
    """The content of a file, however large, in parts.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as stream:
        while part := stream.read(COPY_BYTES):
            goes_on()
            yield part


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file, hex; None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        for part in parts_of(path):
            digest.update(part)
    except OSError:
        return None
    return digest.hexdigest()


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """A name beside `path` that no other thread uses and no watcher of the folder takes up; nothing is left of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.partial")
    partial.unlink(missing_ok=True)  # of a process of the same number that was killed
    try:
        yield partial
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
