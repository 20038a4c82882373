"""Why objects are rejected or taken back: document titles of rejection notes (PS3.16 CID 7011, IHE RAD TF-2 4.66)."""

from __future__ import annotations

from enum import StrEnum


class RejectionReason(StrEnum):
    """A document title of a rejection note, by its DCM code value."""

    QUALITY = "113001"
    PATIENT_SAFETY = "113037"
    WORKLIST_ENTRY = "113038"
    RETENTION = "113039"

    @property
    def meaning(self) -> str:
        """Its code meaning."""
        return _MEANINGS[self]

    @property
    def word(self) -> str:
        """What it is called on a command line."""
        return self.name.lower().replace("_", "-")


_MEANINGS = {
    RejectionReason.QUALITY: "Rejected for Quality Reasons",
    RejectionReason.PATIENT_SAFETY: "Rejected for Patient Safety Reasons",
    RejectionReason.WORKLIST_ENTRY: "Incorrect Modality Worklist Entry",
    RejectionReason.RETENTION: "Data Retention Policy Expired",
}
