"""Fetches a study from an archive into the store, whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.words import did_you_mean
from node.config import Configuration, DicomWebDestination, DimseDestination
from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.states import AssociationOutcome
from node.database.tables import InstanceRow, ObjectRow
from node.errors import PeerUnavailable, StudyNotFound
from node.network.associations import Associations
from node.network.deadline import Deadline
from node.on_demand.archives import Landing, StudyArchive, the_study
from node.on_demand.dicomweb_studies import DicomWebStudies
from node.on_demand.dimse_studies import DimseStudies
from node.receive.store.store import Store
from node.route.by_hand import UnknownName
from node.route.completion import settle_fetched

ASK_S = 20.0  # for the study of an accession number
RECEIPTS_S = 60.0  # after the last image, for the records to have it
LOOK_S = 0.1


class Fetching:
    """Fetches from the archives that the configuration lets requests use.

    Parameters
    ----------
    configuration
        Which archives those are, and how they are asked.
    database
        The node's.
    store
        Takes what comes.
    import_receipts
        Has the receipts recorded, where no node runs that does it.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        store: Store,
        import_receipts: Callable[[], object] = lambda: None,
    ) -> None:
        self._configuration, self._settings = configuration, configuration.run_requests
        self._database, self._store, self._import_receipts = database, store, import_receipts
        self._associations = Associations()

    def reconfigure(self, configuration: Configuration) -> None:
        """Fetch from its archives from now on."""
        self._configuration, self._settings = configuration, configuration.run_requests

    def stop(self) -> None:
        """End what is under way; it raises `BeingStopped`."""
        self._associations.stop()

    @property
    def archives(self) -> Sequence[str]:
        """Names of those that requests may fetch from."""
        return self._settings.archives

    def require_archive(self, name: str) -> None:
        """Raise `UnknownName` where requests may not fetch from there."""
        known = self._settings.archives
        if name not in known:
            there = ", ".join(known) or "none"
            raise UnknownName(
                f"from: is no archive of run_requests.archives; there are: {there}{did_you_mean(name, known)}"
            )

    def study_of(self, name: str, accession_number: str) -> str:
        """The Study Instance UID of an accession number.

        Raises
        ------
        PeerUnavailable
            If the archive does not say.
        StudyNotFound
            If it has no study of that number, or several.
        """
        with self._archive(name, ASK_S, Landing(self._store, name)) as archive:
            return the_study(name, archive.studies(accession_number))

    def fetch(self, name: str, study_instance_uid: str, goes_on: Callable[[], None] = lambda: None) -> int:
        """Fetch a study; how many images it has. They are recorded then, and no route is asked about them.

        What is stored already comes once more, and changes nothing.

        Parameters
        ----------
        name
            Of the archive.
        study_instance_uid
            Of the study.
        goes_on
            Called after each image.

        Raises
        ------
        PeerUnavailable
            If not all of it came.
        StudyNotFound
            If the archive has nothing of it.
        UnknownName
            If requests may not fetch from there any more.
        BeingStopped
            If the node ends.
        """
        self.require_archive(name)
        landing, outcome, reason = Landing(self._store, name, goes_on), AssociationOutcome.LOST, ""
        try:
            with self._archive(name, self._settings.timeout_s, landing) as archive:
                images = archive.images(study_instance_uid)
                if not images:
                    raise StudyNotFound(f"{name}: has no image of this study")
                archive.fetch(study_instance_uid, images)
            outcome = AssociationOutcome.RELEASED
        except PeerUnavailable as error:
            self._associations.require_going_on()
            reason = str(error)
            raise
        finally:
            landing.close(outcome, reason)
        self._wait_for({image.sop_instance_uid for image in images}, Deadline(name, RECEIPTS_S))
        with Session(self._database) as session, session.begin():
            settle_fetched(session, study_instance_uid, self._settings.move_ae_title, datetime.now(UTC))
        return len(images)

    @contextmanager
    def _archive(self, name: str, seconds: float, landing: Landing) -> Iterator[StudyArchive]:
        destination, deadline = self._configuration.destinations[name], Deadline(name, seconds)
        archive: StudyArchive
        if isinstance(destination, DicomWebDestination):
            archive = DicomWebStudies(name, destination, deadline, landing)
        else:
            assert isinstance(destination, DimseDestination)  # the configuration allows no other
            ours = self._configuration.node.ae_title
            archive = DimseStudies(
                name,
                destination,
                ours,
                self._settings.move_ae_title or ours,
                self._settings.retrieve,
                deadline,
                self._associations,
                landing,
                self._wait_for,
            )
        try:
            yield archive
        finally:
            archive.close()

    def _wait_for(self, uids: set[str], deadline: Deadline) -> set[str]:
        """Those of the SOP Instance UIDs that are recorded: all, or those that are there after a while."""
        end, found = time.monotonic() + min(deadline.left(), RECEIPTS_S), set[str]()
        while True:
            self._import_receipts()
            self._associations.require_going_on()
            found |= self._recorded(uids - found)
            if found == uids or time.monotonic() > end:
                return found
            time.sleep(LOOK_S)

    def _recorded(self, uids: set[str]) -> set[str]:
        """What is stored, or was made here and so is not stored once more."""
        found: set[str] = set()
        with Session(self._database) as session:
            for chunk in in_chunks(sorted(uids)):
                for table in (InstanceRow, ObjectRow):
                    found |= set(
                        session.scalars(select(table.sop_instance_uid).where(table.sop_instance_uid.in_(chunk)))
                    )
        return found
