"""Where a destination is can be told without its secrets."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from node.config import Destination
from node.status.places import where


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"kind": "dimse", "ae_title": "PACS", "host": "10.1.2.3"}, "PACS at 10.1.2.3:104"),
        ({"kind": "dicomweb", "url": "https://u:secret@p.example/web"}, "DICOMweb at p.example/web"),
        ({"kind": "hl7", "host": "ris"}, "HL7 receiver at ris:2575"),
        ({"kind": "hl7", "path": "/out"}, "HL7 messages in folder /out"),
        ({"kind": "folder", "path": "/out"}, "folder /out"),
        ({"kind": "webhook", "url": "https://w.example/secret/path"}, "webhook at https://w.example"),
    ],
)
def test_a_destination_has_a_place(section: dict[str, object], place: str) -> None:
    destination: Destination = TypeAdapter(Destination).validate_python(section)
    assert where(destination) == place
