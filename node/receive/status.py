"""Statuses of a C-STORE response (PS3.4 B.2.3, PS3.7 C) and the error that carries one to the sender."""

from __future__ import annotations

from enum import IntEnum

from node.errors import NodeError


class Status(IntEnum):
    """What the node answers to a C-STORE; STOW-RS gives the same code as FailureReason (PS3.18 10.5.3)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_INVOCATION = 0x0210
    CLASS_NOT_SUPPORTED = 0x0122  # the command names another class than its presentation context
    INVALID_INSTANCE = 0x0117  # the SOP Instance UID is not a UID
    OUT_OF_RESOURCES = 0xA700
    DOES_NOT_MATCH = 0xA900  # the data set is not what the command says
    CANNOT_UNDERSTAND = 0xC000  # the data set cannot be read, or was cut off where a whole one is stored
    NO_SERIES = 0xC001  # Study or Series Instance UID is missing or not a UID: it belongs nowhere
    UID_TAKEN = 0xC002  # another patient's, study's or series' instance is stored under its SOP Instance UID


class NotStored(NodeError):
    """An instance was not stored: `status` and the reason go to its sender, who still has it."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.sop_class_uid = ""  # of the instance, where that much could be read
        self.sop_instance_uid = ""
        self.study_instance_uid = ""
        self.series_instance_uid = ""
        self.reason = reason[:64]  # ErrorComment (0000,0902) is LO
