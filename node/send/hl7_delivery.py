"""HL7 v2 messages to a listener, which acknowledges each, or to a folder, as one file a message."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from dicom_sr.profile import ObjectFile
from dicom_sr.words import escaped
from dicom_sr.write.hl7 import control_id
from dicom_sr.write.oru_withdrawal import withdrawal
from node.config import Hl7Destination
from node.errors import PeerUnavailable
from node.files import make_folder, write_whole
from node.network.mllp_client import Acknowledgement, MllpClient
from node.send.delivery import Answer, Outcome
from node.send.folder_delivery import MODES
from node.send.one_by_one import OneByOne
from pipelines.records.hl7_text import decoded

TAKEN = {"AA", "CA"}  # accepted by the application, or kept safely (HL7 table 0008)
REFUSED = {"AE", "AR", "CE", "CR"}
LONGEST = 64  # characters of what a receiver says that are kept
NO_MESSAGE = "not an HL7 message"
NOT_KEPT = "(what it says may name the patient, and is not kept)"
IDENTIFYING = {"PID": (3, 5, 7), "OBR": (2, 18)}  # fields of which no part may stand in an answer that is kept
ENOUGH = 3  # characters by which a value is found within a word too


class Hl7Delivery(OneByOne):
    """Sends messages as they lie in the job's folder; `key_file` opens those that are sealed.

    A message that was sent and not acknowledged is sent again with the same control ID, by which a receiver knows it.
    """

    def __init__(self, name: str, destination: Hl7Destination, key_file: Path | None = None) -> None:
        super().__init__(name, key_file)
        self._destination = destination
        self._client = (
            None
            if destination.host is None
            else MllpClient(destination.host, destination.port, destination.timeout_s, destination.tls, name)
        )
        self._folder_mode, self._file_mode = MODES[destination.readable_by]

    def ping(self) -> str:
        """Open a connection, and send nothing.

        Raises
        ------
        PeerUnavailable
            If nobody listens there.
        """
        if self._client is None:
            return "is a folder"
        self._client.connect()
        return "takes connections (no message was sent)"

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()

    def withdraw(self, item: ObjectFile, when: datetime, why: str) -> Answer:
        """Send a further message that takes back the one that was sent; the receiver's answer.

        The message says of the whole order that there are no results, so none should be sent for a job that a later one
        has revised. To do it again with the same time and reason sends the same message.

        Raises
        ------
        PeerUnavailable
        """
        if item.sop_class_uid:
            return Answer(Outcome.REFUSED, NO_MESSAGE)
        return self._give(withdrawal(self._content(item), when, why))

    def _send(self, item: ObjectFile) -> Answer:
        if item.sop_class_uid:  # a DICOM object, by `condyle send`
            return Answer(Outcome.REFUSED, NO_MESSAGE)
        return self._give(self._content(item))

    def _give(self, message: bytes) -> Answer:
        return self._write(message) if self._client is None else by_code(self._client.ask(message), message)

    def _write(self, message: bytes) -> Answer:
        """A file that is there with the same bytes is left, one with other bytes is never replaced."""
        folder = self._destination.path
        assert folder is not None
        target = folder / f"{control_id(message)}.hl7"
        try:
            if target.exists():
                if target.read_bytes() == message:
                    return Answer(Outcome.DELIVERED, "there already")
                return Answer(Outcome.REFUSED, "another file of that name is there")
            make_folder(folder, self._folder_mode)
            write_whole(target, message, sync="name", mode=self._file_mode)  # "delivered" holds over a power cut
        except OSError as error:
            raise PeerUnavailable(f"{self._name}: {error.strerror}") from error
        return Answer(Outcome.DELIVERED, f"written as {target.name}")


def by_code(said: Acknowledgement, message: bytes) -> Answer:
    """What an acknowledgement says about the message."""
    if said.control_id and said.control_id != control_id(message):
        return Answer(Outcome.UNCLEAR, "the acknowledgement is of another message")
    text = " ".join(filter(None, [escaped(said.code)[:LONGEST], fit_to_keep(said.text, message)]))
    if said.code in TAKEN:
        return Answer(Outcome.DELIVERED, text)
    if said.code in REFUSED:
        return Answer(Outcome.REFUSED, text)
    return Answer(Outcome.UNCLEAR, f"an acknowledgement that is none: {text}")


def fit_to_keep(said: str, message: bytes) -> str:
    """The beginning of what a receiver says; `NOT_KEPT` where it holds what tells whose the message is."""
    words, told = {_plain(word) for word in re.split(r"[\W_]+", said)}, _plain(said)
    values = set(_identifying(message))
    if values & words or any(value in told for value in values if len(value) >= ENOUGH or not value.isascii()):
        return NOT_KEPT
    return escaped(" ".join(said.split()))[:LONGEST]


def _identifying(message: bytes) -> Iterator[str]:
    for line in decoded(message).split("\r"):
        name, *fields = line.split("|")
        for number in IDENTIFYING.get(name, ()):
            field = fields[number - 1] if number <= len(fields) else ""
            parts = (_plain(part) for part in re.split(r"[\^&~ ]", field))
            yield from (part for part in parts if len(part) > 1 or not part.isascii())


def _plain(text: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKD", text).casefold() if sign.isalnum())
