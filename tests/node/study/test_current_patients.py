"""Who the person of a header is now: what messages say counts, and the header where they say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from dicom_sr.current_patient import CurrentPatient
from node.study.current_patients import as_current
from pipelines.records.record import Identity

UNKNOWN = Identity("OLD", "H", "Unknown", "Trauma", date(1900, 1, 1), "M")
ERIKA = CurrentPatient("NEW", "H", "Muster^Erika^Anna", "19600229", "F")


class Told:
    """What messages say of everybody."""

    def __init__(self, now: CurrentPatient | None) -> None:
        self._now = now

    def current(self, who: Identity) -> CurrentPatient | None:
        return self._now

    def earlier(self, who: Identity) -> Sequence[Identity]:
        return ()


def test_a_person_is_described_as_messages_do_and_as_the_header_does_where_they_are_silent() -> None:
    assert as_current(UNKNOWN, Told(ERIKA)) == Identity("NEW", "H", "Muster", "Erika", date(1960, 2, 29), "F")
    silent = as_current(UNKNOWN, Told(CurrentPatient("NEW", "H")))
    assert silent == Identity("NEW", "H", "Unknown", "Trauma", date(1900, 1, 1), "M")


def test_nobody_is_somebody_else_where_no_message_says_so() -> None:
    assert as_current(UNKNOWN, None) is UNKNOWN
    assert as_current(UNKNOWN, Told(None)) is UNKNOWN
    nobody = Identity("")
    assert as_current(nobody, Told(ERIKA)) is nobody
