"""ADT messages as a hospital's patient administration sends them: built and validated by hl7apy."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from itertools import count

from hl7apy.core import Message

from node.patient_records import mllp
from pipelines.records.hl7 import Incoming, read_message

STRUCTURES = {"A08": "ADT_A01", "A31": "ADT_A05", "A40": "ADT_A39", "A47": "ADT_A30", "A35": "ADT_A30"}
_numbers = count(1)


def adt(
    trigger: str,
    patient_id: str,
    *prior: str,
    name: str = "Muster^Erika",
    born: str = "19600229",
    sex: str = "F",
    at: str = "20260102030405",
    authority: str = "HOSP",
    prior_authority: str | None = None,
) -> str:
    """One message about a patient; `prior` are the patient IDs of MRG-1."""
    message = Message(STRUCTURES[trigger], version="2.5")
    message.msh.msh_3, message.msh.msh_4, message.msh.msh_5, message.msh.msh_6 = "ADT", "HOSP", "CONDYLE", "HOSP"
    message.msh.msh_7, message.msh.msh_10, message.msh.msh_11 = at, str(next(_numbers)), "P"
    message.msh.msh_9 = f"ADT^{trigger}^{STRUCTURES[trigger]}"
    message.evn.evn_2 = at
    part = message.add_group("ADT_A39_PATIENT") if trigger == "A40" else message
    part.pid.pid_3, part.pid.pid_5, part.pid.pid_7, part.pid.pid_8 = (_cx(patient_id, authority), name, born, sex)
    if prior:
        named = (_cx(one, authority if prior_authority is None else prior_authority) for one in prior)
        part.mrg = f"MRG|{'~'.join(named)}"
    if trigger == "A08":
        part.pv1.pv1_2 = "O"
    if trigger == "A31":
        part.pv1.pv1_2 = "N"
    message.validate()
    return str(message.to_er7())


def _cx(patient_id: str, authority: str) -> str:
    return f"{patient_id}^^^{authority}^MR"


def incoming(trigger: str, patient_id: str, *prior: str, **more: str) -> Incoming:
    """The same, read; the hospital's patient IDs have no issuer in DICOM."""
    return read_message(adt(trigger, patient_id, *prior, **more), {"HOSP": ""})


def told(port: int, messages: Sequence[str]) -> list[str]:
    """What the node says to each, in MSA: its code and its words."""
    answers = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for message in messages:
            connection.sendall(mllp.START + message.encode() + mllp.END)
            received = b""
            while not received.endswith(mllp.END):
                part = connection.recv(65536)
                assert part, "the node closed the connection"
                received += part
            fields = received.decode().split("\r")[1].split("|")
            answers.append(" ".join([fields[1], *fields[3:4]]))
    return answers
