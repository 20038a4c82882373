"""A reader's verdict on one finding of a result, as the node stores it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydicom.sr.coding import Code

from dicom_sr.assessment import Answer, Change
from node.data_folder import own_key
from node.database.verdicts import OF_SEGMENTS

KEY_FILE = "observers.key"  # in the data folder
OBSERVER_DIGITS = 24  # hexadecimal


class VerdictKind(StrEnum):
    """What the reader said it with."""

    ASSESSMENT = "assessment"  # an Assessment SR
    EDITED_REPORT = "edited report"
    EDITED_SEGMENTATION = OF_SEGMENTS


@dataclass(frozen=True)
class Verdict:
    """What one reader says about one finding of one job's result.

    The same object sent twice makes the same verdicts. A later one by the same reader about the same finding takes the
    place of the earlier one; both are stored.
    """

    kind: VerdictKind
    source_uid: str  # SOP Instance UID of what says it
    job_id: str
    study_instance_uid: str
    object_uid: str  # SOP Instance UID of our object that it is about
    tracking_uid: str  # of the finding; empty: the whole object is meant
    tracking_id: str  # of the finding, such as "SvH R MCP2"
    finding: Code | None
    site: Code | None
    answer: Answer
    reason: Code | None
    comment: str  # without what identifies the patient; empty unless the configuration has comments stored
    changes: tuple[Change, ...]
    observer: str  # keyed digest of the reader's name; empty: the object names none
    device: str  # what it was written with
    sender: str  # calling AE title, or what else tells who sent it
    observed: datetime  # by the object's own word; when it came where it says nothing
    received: datetime

    @property
    def id(self) -> str:
        """The same for the same words about the same finding in the same object."""
        about = "|".join((self.source_uid, self.job_id, self.tracking_uid or self.object_uid))
        return hashlib.sha256(about.encode()).hexdigest()[:32]


def change_in_words(change: Change) -> str:
    """What was changed, such as "Erosion score 2.4 → 4"."""
    return (
        f"{value_in_words(change.name)} {value_in_words(change.before) or '–'} → {value_in_words(change.after) or '–'}"
    )


def value_in_words(value: float | Code | None) -> str:
    """A number, or the meaning of a code; empty for none."""
    if value is None:
        return ""
    return value.meaning or str(value.value) if isinstance(value, Code) else f"{value:g}"


def observer_digest(name: str, key: bytes) -> str:
    """What a reader is known by: one name written in several ways of case and spacing is one reader."""
    plain = " ".join(name.replace("^", " ").replace("=", " ").casefold().split())
    return hmac.digest(key, f"observer|{plain}".encode(), "sha256").hex()[:OBSERVER_DIGITS] if plain else ""


def observer_key(data: Path) -> bytes:
    """The key of the readers' digests of a data folder; made with the first question.

    Raises
    ------
    OSError
        If it can be neither read nor made.
    """
    return own_key(data / KEY_FILE)
