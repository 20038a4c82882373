from __future__ import annotations

from dicom_sr.read.rejection_note import RejectionNote, read_rejection_note
from dicom_sr.rejection_reasons import RejectionReason
from tests.rejection_notes import image, rejection_note

QUALITY = RejectionReason.QUALITY
OF_INTEREST = "113000"


def test_a_note_rejects_what_its_content_refers_to() -> None:
    note = rejection_note([image(1), image(2)], QUALITY)
    assert read_rejection_note(note) == RejectionNote(QUALITY, "1.2.3", ("1.2.3.4.1", "1.2.3.4.2"), 0)


def test_a_selection_of_another_title_rejects_nothing() -> None:
    assert read_rejection_note(rejection_note([image(1)], OF_INTEREST)) is None
    note = rejection_note([image(1)], QUALITY)
    note.ConceptNameCodeSequence[0].CodingSchemeDesignator = "99ELSE"
    assert read_rejection_note(note) is None


def test_images_of_other_studies_are_left_to_the_documents_there() -> None:
    found = read_rejection_note(rejection_note([image(1), image(1, "9.9", "9.9.1")], QUALITY))
    assert found is not None
    assert (found.objects, found.elsewhere) == (("1.2.3.4.1",), 1)


def test_what_the_evidence_does_not_place_in_the_study_is_not_rejected() -> None:
    note = rejection_note([image(1)], QUALITY)
    del note.CurrentRequestedProcedureEvidenceSequence
    found = read_rejection_note(note)
    assert found is not None
    assert (found.objects, found.elsewhere) == ((), 1)
