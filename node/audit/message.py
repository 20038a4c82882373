"""A line of the audit trail as a DICOM audit message: XML, PS3.15 A.5.1."""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import dataclass
from datetime import UTC
from functools import cache
from typing import Any
from xml.etree import ElementTree as Xml

from node.audit.events import Code, event_of
from node.audit.line import Line
from node.config import Configuration

STUDY_INSTANCE_UID = Code("110180", "Study Instance UID")
JOB, LINE = Code("job", "Job", "99CONDYLE"), Code("line", "Line", "99CONDYLE")
APPLICATION = Code("110150", "Application")
SYSTEM_OBJECT = "2"
REPORT, JOB_ROLE, TABLE = "3", "20", "22"  # the part of an object in the event
MACHINE_NAME = "1"
APPLICATION_SERVER = "4"


@dataclass(frozen=True)
class Source:
    """Who reports."""

    ae_title: str
    institution: str
    host: str

    @classmethod
    def of(cls, configuration: Configuration) -> Source:
        """The node of a configuration, on this machine."""
        return cls(configuration.node.ae_title, configuration.node.institution, _host())


@cache
def _host() -> str:
    """The machine's name; may ask a name server, once."""
    return socket.getfqdn()


def audit_message(line: Line, source: Source) -> str:
    """The message in one line, without an XML declaration.

    Parameters
    ----------
    line
        What happened; nothing of it names a patient.
    source
        Who reports it.
    """
    root = Xml.Element("AuditMessage")
    _identify_event(root, line)
    _name_participants(root, line, source)
    reporter = {"AuditSourceID": source.ae_title}
    if source.institution:
        reporter["AuditEnterpriseSiteID"] = _printable(source.institution)
    Xml.SubElement(
        Xml.SubElement(root, "AuditSourceIdentification", reporter),
        "AuditSourceTypeCode",
        {"csd-code": APPLICATION_SERVER},
    )
    _name_objects(root, line)
    return Xml.tostring(root, encoding="unicode")


def _identify_event(root: Xml.Element, line: Line) -> None:
    event = event_of(line.what)
    identification = Xml.SubElement(
        root,
        "EventIdentification",
        {
            "EventActionCode": event.action,
            "EventDateTime": line.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "EventOutcomeIndicator": event.outcome,
        },
    )
    _add_code(identification, "EventID", event.id)
    if event.type is not None:
        _add_code(identification, "EventTypeCode", event.type)
    # the standard has few types: this one says what it was in the node's own words
    _add_code(identification, "EventTypeCode", Code(line.what.replace(" ", "-"), line.what, "99CONDYLE"))
    times = f", {line.times} times" if line.times > 1 else ""
    Xml.SubElement(identification, "EventOutcomeDescription").text = f"{line.what}{times}"


def _name_participants(root: Xml.Element, line: Line, source: Source) -> None:
    if line.who:
        requestor = {"UserID": _printable(line.who), "UserIsRequestor": "true"}
        if address := line.detail.get("address"):
            requestor |= {"NetworkAccessPointID": _printable(str(address)), "NetworkAccessPointTypeCode": "2"}
        Xml.SubElement(root, "ActiveParticipant", requestor)
    node = Xml.SubElement(
        root,
        "ActiveParticipant",
        {
            "UserID": source.ae_title,
            "AlternativeUserID": f"AETITLES={source.ae_title}",
            "UserIsRequestor": "false" if line.who else "true",
            "NetworkAccessPointID": _printable(source.host),
            "NetworkAccessPointTypeCode": MACHINE_NAME,
        },
    )
    _add_code(node, "RoleIDCode", APPLICATION)


def _name_objects(root: Xml.Element, line: Line) -> None:
    if line.study_instance_uid:
        _add_object(root, line.study_instance_uid, STUDY_INSTANCE_UID, REPORT, "study")
    if "job" in line.detail:
        told = _add_object(root, str(line.detail["job"]), JOB, JOB_ROLE, "job")
    else:
        told = _add_object(root, str(line.row), LINE, TABLE, "line of the audit trail")
    for name, value in line.detail.items():
        Xml.SubElement(told, "ParticipantObjectDetail", {"type": name, "value": _base64(value)})


def _add_object(root: Xml.Element, identifier: str, kind: Code, role: str, name: str) -> Xml.Element:
    found = Xml.SubElement(
        root,
        "ParticipantObjectIdentification",
        {
            "ParticipantObjectID": _printable(identifier),
            "ParticipantObjectTypeCode": SYSTEM_OBJECT,
            "ParticipantObjectTypeCodeRole": role,
        },
    )
    _add_code(found, "ParticipantObjectIDTypeCode", kind)
    Xml.SubElement(found, "ParticipantObjectName").text = name
    return found


def _add_code(parent: Xml.Element, name: str, code: Code) -> None:
    Xml.SubElement(parent, name, {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning})


def _base64(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return base64.b64encode(text.encode(errors="replace")).decode("ascii")


def _printable(text: str) -> str:
    """A text that XML can hold, whoever wrote it."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
