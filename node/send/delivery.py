"""What is sent and what a peer may answer: common to all kinds of destination."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeVar

from dicom_sr.profile import ObjectFile

F = TypeVar("F", bound=ObjectFile)

MANDATORY = ("secondary_capture", "derived_series")  # without them the destination has no result

# what an archive is asked of a study, where nothing of it is stored here any more
ASKED_OF_A_STUDY = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription"),
)


class Outcome(Enum):
    """What a peer's answer means for the object."""

    DELIVERED = auto()
    LATER = auto()  # the peer cannot take it at the moment
    REFUSED = auto()  # asking again will not help
    CLASS_REFUSED = auto()  # the peer does not take this class, or not in this syntax; it may take the twin's
    UNCLEAR = auto()  # the peer took it in and did not say what became of it: a few times more, and no more


@dataclass(frozen=True)
class Answer:
    """What the peer answered, and in which words."""

    outcome: Outcome
    text: str = ""


class Delivery(Protocol):
    """A connection to a destination, opened when needed. For one thread at a time."""

    def announce(self, items: Sequence[ObjectFile]) -> None:
        """Announce what is going to be sent, so that one connection is enough for all of it."""

    def send(self, items: Sequence[F]) -> Iterator[tuple[F, Answer]]:
        """Send each object and yield the answer to it, in order.

        Raises
        ------
        PeerUnavailable
            If the peer cannot be reached or goes away; what has not been answered by then is to be sent again.
        """

    def find(self, items: Sequence[ObjectFile]) -> set[str] | None:
        """SOP Instance UIDs of those that the destination says it has; None where it cannot be asked.

        Raises
        ------
        PeerUnavailable
            If the peer cannot be reached, or goes away before it has answered.
        """

    def close(self) -> None:
        """End the connection, if there is one."""


def by_status(status: int, comment: str = "") -> Answer:
    """What a C-STORE status says about the object (PS3.4 B.2.3, PS3.7 annex C); STOW-RS has the same numbers.

    A `comment` of the peer is one that is fit to be kept.
    """
    text = f"0x{status:04X}" + (f" {comment}" if comment else "")
    if status == 0x0000:
        return Answer(Outcome.DELIVERED, text)
    if status >> 12 == 0xB:  # coerced, elements discarded, not matching its class: stored all the same
        return Answer(Outcome.DELIVERED, f"{text} stored with a warning")
    if status == 0x0111:
        return Answer(Outcome.DELIVERED, f"{text} there already")
    if status == 0x0122:
        return Answer(Outcome.CLASS_REFUSED, f"{text} SOP class not supported")
    if status >> 8 == 0xA7 or status in (0x0110, 0x0213):  # out of resources, processing failure, resource limitation
        return Answer(Outcome.LATER, f"{text} refused for now")
    return Answer(Outcome.REFUSED, f"{text} refused")
