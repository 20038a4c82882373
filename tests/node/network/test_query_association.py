"""Of what an archive answers by DIMSE only what was asked for is kept; the users of this ask real archives."""

from __future__ import annotations

from io import BytesIO

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode

from node.network.query_association import _asked_for


def test_of_an_answer_only_what_was_asked_for_is_kept() -> None:
    query, match = Dataset(), Dataset()
    query.PatientID, query.StudyInstanceUID = "1", ""
    match.SpecificCharacterSet = "ISO_IR 100"
    match.StudyInstanceUID = "1.2.3"
    match.add(DataElement("PatientID", "LO", "x" * 60_000, validation_mode=IGNORE))
    match.PatientName, match.ReferencedSOPSequence = "Muster", [Dataset()]
    sent = decode(BytesIO(encode(match, True, True) or b""), True, True)
    kept = _asked_for(query, sent)
    assert [element.keyword for element in kept] == ["SpecificCharacterSet", "StudyInstanceUID"]
