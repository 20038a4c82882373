"""A study from an archive by DIMSE: C-FIND, then C-GET, or C-MOVE to the node's own port (PS3.4 annex C)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom import build_context, evt
from pynetdicom.presentation import PresentationContext

from node.config import DimseDestination
from node.errors import PeerUnavailable
from node.network.associations import Associations
from node.network.deadline import Deadline
from node.network.query_association import GET, MOVE, QueryAssociation, answered
from node.on_demand.archives import IMAGES, LARGEST, Image, Landing, require_all

PLAIN = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)
PACKED = (
    uid.JPEG2000Lossless,
    uid.JPEGLSLossless,
    uid.JPEGLosslessSV1,
    uid.RLELossless,
    uid.JPEG2000,
    uid.JPEGLSNearLossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
)
CONTEXTS = 124  # an association has 128, and others are asked for beside these
# where an archive does not say what classes the images are of
USUAL = (
    uid.MRImageStorage,
    uid.EnhancedMRImageStorage,
    uid.CTImageStorage,
    uid.EnhancedCTImageStorage,
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.UltrasoundImageStorage,
    uid.UltrasoundMultiFrameImageStorage,
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    uid.GrayscaleSoftcopyPresentationStateStorage,
    uid.KeyObjectSelectionDocumentStorage,
    uid.BasicTextSRStorage,
    uid.EnhancedSRStorage,
    uid.ComprehensiveSRStorage,
    uid.Comprehensive3DSRStorage,
)

Arrived = Callable[[set[str], Deadline], set[str]]


class DimseStudies:
    """An archive that is asked for one study.

    Parameters
    ----------
    name
        The destination's, for messages.
    ae_title
        The node's.
    move_to
        AE title that C-MOVE names: the archive knows where it is.
    retrieve
        ``auto``: by C-GET where the archive offers it, else by C-MOVE.
    landing
        Takes what C-GET brings.
    arrived
        Waits for what C-MOVE sends to the node's port; which of the SOP Instance UIDs are stored.
    """

    def __init__(
        self,
        name: str,
        destination: DimseDestination,
        ae_title: str,
        move_to: str,
        retrieve: Literal["auto", "get", "move"],
        deadline: Deadline,
        associations: Associations,
        landing: Landing,
        arrived: Arrived,
    ) -> None:
        self._name, self._destination, self._ae_title, self._move_to = name, destination, ae_title, move_to
        self._retrieve, self._deadline, self._associations = retrieve, deadline, associations
        self._landing, self._arrived = landing, arrived
        self._query = QueryAssociation(name, destination, ae_title, deadline, associations)

    def studies(self, accession_number: str) -> set[str]:
        """Study Instance UIDs of the studies with this accession number."""
        query = _query("STUDY", AccessionNumber=accession_number, StudyInstanceUID="")
        matches = self._query.find(query)
        return {
            str(match.StudyInstanceUID)
            for match in matches
            if match.get("StudyInstanceUID") and match.get("AccessionNumber") in (None, "", accession_number)
        }

    def images(self, study_instance_uid: str) -> list[Image]:
        """What the archive has of a study, series by series."""
        query = _query("SERIES", StudyInstanceUID=study_instance_uid, SeriesInstanceUID="")
        series = [str(match.SeriesInstanceUID) for match in self._query.find(query) if match.get("SeriesInstanceUID")]
        found: dict[str, Image] = {}
        for one in dict.fromkeys(series):
            for image in self._of_series(study_instance_uid, one):
                found[image.sop_instance_uid] = image
                if len(found) > IMAGES:
                    raise PeerUnavailable(f"{self._name}: the study has more than {IMAGES} images")
        return list(found.values())

    def _of_series(self, study: str, series: str) -> Iterator[Image]:
        query = _query("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID="", SOPClassUID="")
        for match in self._query.find(query, IMAGES):
            if match.get("SOPInstanceUID"):
                yield Image(series, str(match.SOPInstanceUID), str(match.get("SOPClassUID") or ""))

    def fetch(self, study_instance_uid: str, images: list[Image]) -> None:
        """Have all of them stored here, by C-GET or C-MOVE."""
        self._query.close()
        classes = {image.sop_class_uid for image in images}
        query = QueryAssociation(
            self._name,
            self._destination,
            self._ae_title,
            self._deadline,
            self._associations,
            move=self._retrieve != "get",
            storage=[] if self._retrieve == "move" else _contexts(classes),
            take=self._take,
            largest=LARGEST,
        )
        try:
            wanted = _query("STUDY", StudyInstanceUID=study_instance_uid)
            if self._retrieve != "move" and query.offers(GET):
                answer = query.get(wanted)
                stored = self._landing.stored
            elif self._retrieve != "get" and query.offers(MOVE):
                answer = query.move(wanted, self._move_to)
                stored = self._arrived({image.sop_instance_uid for image in images}, self._deadline)
            else:
                offer = {"auto": "neither C-GET nor C-MOVE", "get": "no C-GET", "move": "no C-MOVE"}[self._retrieve]
                raise PeerUnavailable(f"{self._name}: offers {offer}")
        finally:
            query.close()
        self._associations.require_going_on()
        require_all(self._name, images, stored, self._landing.problem, answered(answer.get("Status")))

    def _take(self, event: evt.Event) -> int:
        """An object that the archive sends on our association, as C-GET asked for."""
        request: Any = event.request
        syntax = str(event.context.transfer_syntax)
        with request.DataSet.getbuffer() as data_set:
            return self._landing.take(
                str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), syntax, data_set
            )

    def close(self) -> None:
        """Leave the archive in peace."""
        self._query.close()


def _contexts(classes: set[str]) -> list[PresentationContext]:
    """Two for each class, so that compressed images come as they are; the classes of the study where it says them."""
    known = sorted(classes) if "" not in classes else sorted({*USUAL, *classes} - {""})
    made = [build_context(one, list(syntaxes)) for syntaxes in (PLAIN, PACKED) for one in known]
    return made[:CONTEXTS]


def _query(level: str, **keys: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query
