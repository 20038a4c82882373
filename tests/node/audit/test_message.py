"""Messages keep to the schema of DICOM and say what the line says, whatever others wrote into it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from node.audit.events import EVENTS
from node.audit.line import Line
from node.audit.message import Source, audit_message
from node.database.tables import ERASED, NODE_STARTED, NOT_STORED
from tests.node.audit.conftest import NOW, SOURCE, line

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit_message.rng")))


def read(message: str) -> Any:
    root = etree.fromstring(message)
    SCHEMA.assertValid(root)
    return root


@pytest.mark.parametrize("what", [*EVENTS, "something else done"])
def test_a_message_of_every_kind_keeps_to_the_schema(what: str) -> None:
    read(audit_message(line(what, study="1.2.3", job="ab12", why="a reason", count=3, places=["a", "b"]), SOURCE))
    read(audit_message(line(what, who=""), Source("CONDYLE", "", "node")))


@given(what=st.text(min_size=1, max_size=20), who=st.text(max_size=30), detail=st.text(max_size=30))
def test_whatever_others_wrote_the_message_is_one_line_that_keeps_to_the_schema(
    what: str, who: str, detail: str
) -> None:
    message = audit_message(Line(1, NOW, "something else done", who, None, {"said": detail, "kind": what}), SOURCE)
    assert "\n" not in message
    read(message)


def test_a_message_says_who_did_what_to_which_study_and_when() -> None:
    root = read(audit_message(line(ERASED, study="1.2.3", instances=24, address="10.1.2.3"), SOURCE))
    event = root.find("EventIdentification")
    assert event.get("EventDateTime") == "2026-03-04T12:30:15.250Z"
    assert [event.get("EventActionCode"), event.get("EventOutcomeIndicator")] == ["D", "0"]
    assert root.xpath("string(//EventID/@csd-code)") == "110105"
    assert root.xpath("string(//ActiveParticipant[@UserIsRequestor='true']/@UserID)") == "anna"
    assert root.xpath("string(//ActiveParticipant[@UserIsRequestor='true']/@NetworkAccessPointID)") == "10.1.2.3"
    assert root.xpath("string(//AuditSourceIdentification/@AuditEnterpriseSiteID)") == "Test hospital"
    study = "//ParticipantObjectIdentification[ParticipantObjectIDTypeCode/@csd-code='110180']/@ParticipantObjectID"
    assert root.xpath(f"string({study})") == "1.2.3"
    value = root.xpath("string(//ParticipantObjectDetail[@type='instances']/@value)")
    assert base64.b64decode(value) == b"24"


def test_what_the_node_does_of_itself_it_asked_for_itself() -> None:
    root = read(audit_message(line(NODE_STARTED, who="", version="0.1.0"), SOURCE))
    assert root.xpath("//ActiveParticipant[@UserIsRequestor='true']/@UserID") == ["CONDYLE"]
    assert "110120" in root.xpath("//EventTypeCode/@csd-code")


def test_a_refusal_is_a_failure_with_its_number() -> None:
    root = read(audit_message(line(NOT_STORED, who="CT1", times=40, status="0xA700"), SOURCE))
    assert root.xpath("string(//EventIdentification/@EventOutcomeIndicator)") == "4"
    assert root.xpath("string(//EventOutcomeDescription)") == "instance not stored, 40 times"
