"""A study from an archive by DICOMweb: QIDO-RS, then WADO-RS, instance by instance (PS3.18 10.6 and 10.4)."""

from __future__ import annotations

from node.config import DicomWebDestination
from node.errors import PeerUnavailable
from node.network.deadline import Deadline
from node.network.dicomweb_client import DicomWebClient, first_value, uid_segment
from node.on_demand.archives import IMAGES, LARGEST, Image, Landing, require_all

STUDY_UID, SERIES_UID, INSTANCE_UID, CLASS_UID = "0020000D", "0020000E", "00080018", "00080016"
ACCESSION_NUMBER = "00080050"


class DicomWebStudies:
    """An archive that is asked for one study; the parameters are those of `dimse_studies.DimseStudies`."""

    def __init__(self, name: str, destination: DicomWebDestination, deadline: Deadline, landing: Landing) -> None:
        self._name, self._landing = name, landing
        self._client = DicomWebClient(name, destination, deadline)

    def studies(self, accession_number: str) -> set[str]:
        """Study Instance UIDs of the studies with this accession number."""
        answers = self._client.ask("studies", AccessionNumber=accession_number, includefield=[ACCESSION_NUMBER])
        return {
            first_value(one, STUDY_UID)
            for one in answers
            if first_value(one, STUDY_UID) and first_value(one, ACCESSION_NUMBER) in ("", accession_number)
        }

    def images(self, study_instance_uid: str) -> list[Image]:
        """What the archive has of a study, series by series."""
        study = f"studies/{uid_segment(study_instance_uid)}"
        series = (first_value(one, SERIES_UID) for one in self._client.ask(f"{study}/series"))
        found: dict[str, Image] = {}
        for uid in dict.fromkeys(filter(None, series)):
            for answer in self._client.ask(f"{study}/series/{uid_segment(uid)}/instances", IMAGES):
                if instance := first_value(answer, INSTANCE_UID):
                    found[instance] = Image(uid, instance, first_value(answer, CLASS_UID))
            if len(found) > IMAGES:
                raise PeerUnavailable(f"{self._name}: the study has more than {IMAGES} images")
        return list(found.values())

    def fetch(self, study_instance_uid: str, images: list[Image]) -> None:
        """Have all of them stored here, by WADO-RS."""
        for image in images:
            content = self._client.instance(
                study_instance_uid, image.series_instance_uid, image.sop_instance_uid, LARGEST
            )
            self._landing.take_file(content, study_instance_uid)
        said = "the archive sent other instances than it named"
        require_all(self._name, images, self._landing.stored, self._landing.problem, said)

    def close(self) -> None:
        """Leave the archive in peace."""
        self._client.close()
