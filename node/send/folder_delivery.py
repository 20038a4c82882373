"""A folder as destination: ``<path>/<study>/<series>/<instance>.dcm``, each file whole or not there.

A UID that cannot be a name stands as a digest; see `node.files.file_name`.
"""

from __future__ import annotations

import filecmp
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dicom_sr.profile import ObjectFile
from node.config import FolderDestination
from node.errors import PeerUnavailable
from node.files import copy_whole, file_name, make_folder
from node.send.delivery import Answer, F, Outcome

WRITERS = 8  # at a time
MODES = {"owner": (0o700, 0o600), "group": (0o750, 0o640), "everyone": (0o755, 0o644)}  # of folders and files


class FolderDelivery:
    """Copies; a file that is there with the same bytes is left, one with other bytes is never replaced."""

    def __init__(self, name: str, destination: FolderDestination) -> None:
        self._name, self._path = name, destination.path
        self._folder_mode, self._file_mode = MODES[destination.readable_by]

    def announce(self, items: Sequence[ObjectFile]) -> None:
        """Nothing is negotiated beforehand."""

    def send(self, items: Sequence[F]) -> Iterator[tuple[F, Answer]]:
        """Write each object's file and yield how that went.

        Raises
        ------
        PeerUnavailable
            If the folder cannot be written.
        """
        threads = ThreadPoolExecutor(WRITERS)  # flushes that wait at the same moment cost the disk one
        try:
            yield from zip(items, threads.map(self._copy, items), strict=True)
        except OSError as error:
            raise PeerUnavailable(f"{self._name}: {error.strerror}") from error
        finally:
            threads.shutdown(cancel_futures=True)

    def _copy(self, item: ObjectFile) -> Answer:
        target = self._target(item)
        if target.exists():
            if filecmp.cmp(target, item.path, shallow=False):
                return Answer(Outcome.DELIVERED, "there already")
            return Answer(Outcome.REFUSED, "another file of that name is there")
        make_folder(target.parent, self._folder_mode)
        copy_whole(item.path, target, sync="name", mode=self._file_mode)  # "delivered" holds over a power cut
        return Answer(Outcome.DELIVERED, "written")

    def _target(self, item: ObjectFile) -> Path:
        # where a study or series has none, its folder is left out: an instance's UID is its own wherever it lies
        above = [file_name(uid) for uid in (item.study_instance_uid, item.series_instance_uid) if uid]
        return self._path.joinpath(*above, f"{file_name(item.sop_instance_uid)}.dcm")

    def find(self, items: Sequence[ObjectFile]) -> set[str] | None:
        """SOP Instance UIDs of those that are there."""
        return {item.sop_instance_uid for item in items if self._target(item).exists()}

    def close(self) -> None:
        """Nothing is held open."""
