"""What each kind of line is in the words of DICOM: event, type, action, outcome (PS3.15 A.5.3; CID 400 and 401)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from node.database import tables


class Code(NamedTuple):
    """A coded value."""

    value: str
    meaning: str
    scheme: str = "DCM"


Action = Literal["C", "R", "U", "D", "E"]  # create, read, update, delete, execute
SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"

APPLICATION_ACTIVITY = Code("110100", "Application Activity")
INSTANCES_ACCESSED = Code("110103", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
STUDY_DELETED = Code("110105", "DICOM Study Deleted")
EXPORT = Code("110106", "Export")
IMPORT = Code("110107", "Import")
PATIENT_RECORD = Code("110110", "Patient Record")
PROCEDURE_RECORD = Code("110111", "Procedure Record")
SECURITY_ALERT = Code("110113", "Security Alert")
USER_AUTHENTICATION = Code("110114", "User Authentication")

APPLICATION_START, APPLICATION_STOP = Code("110120", "Application Start"), Code("110121", "Application Stop")
LOGIN, LOGOUT = Code("110122", "Login"), Code("110123", "Logout")
SOFTWARE_CONFIGURATION = Code("110131", "Software Configuration")
RECORDING_STOPPED = Code("110133", "Audit Recording Stopped")
USER_ATTRIBUTES_CHANGED = Code("110137", "User Security Attributes Changed")


@dataclass(frozen=True)
class Event:
    """What a kind of line is."""

    id: Code
    action: Action
    type: Code | None = None
    outcome: str = SUCCESS


OTHER = Event(PROCEDURE_RECORD, "E")
"""What an operator did that has no event of its own in the standard, such as to restart a job."""

EVENTS: dict[str, Event] = {
    tables.NODE_STARTED: Event(APPLICATION_ACTIVITY, "E", APPLICATION_START),
    tables.NODE_STOPPED: Event(APPLICATION_ACTIVITY, "E", APPLICATION_STOP),
    tables.NOT_STORED: Event(INSTANCES_TRANSFERRED, "C", outcome=MINOR_FAILURE),
    tables.NOT_DECIDED: Event(INSTANCES_ACCESSED, "R", outcome=MINOR_FAILURE),
    tables.IMAGE_GIVEN_UP: Event(INSTANCES_ACCESSED, "R", outcome=MINOR_FAILURE),
    tables.SERIES_GIVEN_UP: Event(INSTANCES_ACCESSED, "R", outcome=MINOR_FAILURE),
    tables.ERASED: Event(STUDY_DELETED, "D"),
    tables.WITHDRAWN: Event(INSTANCES_ACCESSED, "D"),
    tables.REJECTION_NOTE: Event(INSTANCES_ACCESSED, "D"),
    tables.MODEL_CHANGED: Event(SECURITY_ALERT, "U", SOFTWARE_CONFIGURATION),
    tables.FILE_NOT_TAKEN: Event(IMPORT, "C", outcome=MINOR_FAILURE),
    tables.VERDICT_NOT_READ: Event(IMPORT, "R", outcome=MINOR_FAILURE),
    tables.PATIENT_CHANGED: Event(PATIENT_RECORD, "U"),
    tables.PATIENT_CHANGE_REFUSED: Event(PATIENT_RECORD, "U", outcome=MINOR_FAILURE),
    tables.RECORD_NOT_READ: Event(PATIENT_RECORD, "C", outcome=MINOR_FAILURE),
    tables.SIGN_IN_REFUSED: Event(USER_AUTHENTICATION, "E", LOGIN, MINOR_FAILURE),
    tables.SIGNED_IN: Event(USER_AUTHENTICATION, "E", LOGIN),
    tables.SIGNED_OUT: Event(USER_AUTHENTICATION, "E", LOGOUT),
    tables.USER_CHANGED: Event(SECURITY_ALERT, "U", USER_ATTRIBUTES_CHANGED),
    tables.API_TOKEN_CHANGED: Event(SECURITY_ALERT, "U", USER_ATTRIBUTES_CHANGED),
    tables.PATIENT_VIEWED: Event(INSTANCES_ACCESSED, "R"),
    tables.ALERT_SILENCED: Event(SECURITY_ALERT, "U", SOFTWARE_CONFIGURATION),
    tables.ALERT_CHANNEL_TESTED: Event(APPLICATION_ACTIVITY, "E"),
    tables.JOB_RESTARTED: OTHER,
    tables.JOB_CANCELLED: OTHER,
    tables.JOB_SENT: Event(EXPORT, "R"),
    tables.SENT_AGAIN: Event(EXPORT, "R"),
    tables.PIPELINE_RUN: OTHER,
    tables.DECIDED_ANEW: OTHER,
    tables.PAUSED: Event(SECURITY_ALERT, "U", SOFTWARE_CONFIGURATION),
    tables.RESUMED: Event(SECURITY_ALERT, "U", SOFTWARE_CONFIGURATION),
    tables.IMPORTED: Event(IMPORT, "C"),
    tables.ROUTES_CHANGED: Event(SECURITY_ALERT, "U", SOFTWARE_CONFIGURATION),
    tables.CONFIGURATION_IN_FORCE: Event(SECURITY_ALERT, "U", SOFTWARE_CONFIGURATION),
    tables.CONFIGURATION_REFUSED: Event(SECURITY_ALERT, "U", SOFTWARE_CONFIGURATION, MINOR_FAILURE),
    tables.AUDIT_CHANGED: Event(SECURITY_ALERT, "E", RECORDING_STOPPED, SERIOUS_FAILURE),
    tables.AUDIT_LOST: Event(SECURITY_ALERT, "E", RECORDING_STOPPED, SERIOUS_FAILURE),
}


def event_of(what: str) -> Event:
    """What a line of that kind is."""
    return EVENTS.get(what, OTHER)
