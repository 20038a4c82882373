"""Archives that whole studies are fetched from, for a request: by C-GET, C-MOVE or WADO-RS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from dicom_sr.lawful import is_uid
from dicom_sr.words import counted
from node.database.states import AssociationOutcome
from node.errors import PeerUnavailable, StudyNotFound
from node.receive.status import NotStored
from node.receive.store.incoming import Arrival
from node.receive.store.store import Store
from node.route.completion import FETCH

IMAGES = 20_000  # of one study, at most
LARGEST = 2**30  # bytes of one instance, which is held in memory while it comes


@dataclass(frozen=True)
class Image:
    """An instance of a study, as the archive names it."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str  # empty where the archive does not say


class StudyArchive(Protocol):
    """A connection to one archive, for one study. Everything raises `PeerUnavailable` where it cannot answer."""

    def studies(self, accession_number: str) -> set[str]:
        """Study Instance UIDs of the studies with this accession number."""

    def images(self, study_instance_uid: str) -> list[Image]:
        """What the archive has of a study; nothing where it has none of it."""

    def fetch(self, study_instance_uid: str, images: list[Image]) -> None:
        """Have all of them stored here."""

    def close(self) -> None:
        """Leave the archive in peace."""


class Landing:
    """Where what an archive sends is stored; counts it, and says when something has come.

    Parameters
    ----------
    store
        The node's.
    name
        Of the archive.
    goes_on
        Called after each instance.
    """

    def __init__(self, store: Store, name: str, goes_on: Callable[[], None] = lambda: None) -> None:
        self._store, self._name, self._goes_on = store, name, goes_on
        self.stored: set[str] = set()  # SOP Instance UIDs
        self.problem: NotStored | None = None  # why the first one that was refused was not stored

    @cached_property
    def _arrival(self) -> Arrival:
        return self._store.open(FETCH, peer_address=self._name)

    def close(self, outcome: AssociationOutcome, reason: str) -> None:
        """Record that nothing more comes, and why."""
        self._arrival.close(outcome, reason)

    def take(
        self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, data_set: bytes | memoryview
    ) -> int:
        """Store a data set; the status for its sender."""
        incoming = self._store.begin(self._arrival, sop_class_uid, sop_instance_uid, transfer_syntax_uid)
        try:
            incoming.write(data_set)
            incoming.commit()
        except NotStored as error:
            self.problem = self.problem or error
            return int(error.status)
        self._note(sop_instance_uid)
        return 0

    def take_file(self, content: bytes, study_instance_uid: str) -> None:
        """Store a Part 10 file that must be of that study."""
        try:
            name, fd = self._store.partial()
            with open(fd, "wb") as file:
                self._store.write(file.fileno(), self._arrival, content)
            receipt = self._store.adopt(self._arrival, name, study_instance_uid)
        except NotStored as error:
            self.problem = self.problem or error
        else:
            self._note(receipt.sop_instance_uid)

    def _note(self, sop_instance_uid: str) -> None:
        self.stored.add(sop_instance_uid)
        self._goes_on()


def the_study(name: str, found: Iterable[str]) -> str:
    """The one study of an accession number.

    Raises
    ------
    StudyNotFound
        If there is none, or there are several.
    """
    uids = sorted({uid for uid in found if is_uid(uid)})
    if not uids:
        raise StudyNotFound(f"{name}: has no study with this accession number")
    if len(uids) > 1:
        raise StudyNotFound(f"{name}: has {len(uids)} studies with this accession number; name one by its UID")
    return uids[0]


def require_all(name: str, images: Iterable[Image], stored: set[str], problem: NotStored | None, answer: str) -> None:
    """Raise `PeerUnavailable` where an image that the archive has did not come, or was not stored.

    Parameters
    ----------
    name
        Of the archive.
    images, stored
        What was to come, and the SOP Instance UIDs of what is here.
    problem
        Why one was not stored.
    answer
        What the archive said.
    """
    wanted = {image.sop_instance_uid for image in images}
    missing = len(wanted - stored)
    if missing:
        why = f"not stored, {problem.reason}" if problem is not None else answer
        raise PeerUnavailable(f"{name}: {missing} of {counted(len(wanted), 'image')} did not come: {why}")
