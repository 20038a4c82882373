"""What a reader says about a result: accepted, modified or rejected, finding by finding."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydicom.sr.coding import Code


class Answer(StrEnum):
    """What the reader did with a finding."""

    ACCEPT = "accept"
    MODIFY = "modify"
    REJECT = "reject"


@dataclass(frozen=True)
class Change:
    """One value of a finding, before and after the reader."""

    name: Code
    before: float | Code | None  # None: the result has no such value
    after: float | Code | None  # None: the reader took it out
    unit: Code | None = None  # of numbers


@dataclass(frozen=True)
class Assessment:
    """What a reader says about one finding, or about a whole object of a result."""

    answer: Answer
    tracking_uid: str = ""  # of the finding; empty: the whole object is meant
    object_uids: tuple[str, ...] = ()  # SOP Instance UIDs of the objects that it is about, where it names any
    tracking_id: str = ""  # as the document writes it
    finding: Code | None = None
    site: Code | None = None
    reason: Code | None = None
    comment: str = field(default="", repr=False)  # as the reader wrote it: may name the patient
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class AssessmentDocument:
    """One object that holds what a reader says."""

    sop_instance_uid: str
    study_instance_uid: str
    assessments: tuple[Assessment, ...]
    person: str = field(default="", repr=False)  # the reader's name
    device: str = ""  # what it was written with: manufacturer and model
    observed: datetime | None = None  # None: it does not say
    not_understood: tuple[str, ...] = ()  # what of it was left alone, in sentences that name nobody
