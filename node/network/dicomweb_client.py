"""Asking a DICOMweb server: QIDO-RS and WADO-RS (PS3.18 10.6 and 10.4), within limits of time and size."""

from __future__ import annotations

from typing import Any

import httpx

from node.config import DicomWebDestination
from node.config.secret_files import bearer
from node.errors import ConfigurationError, PeerUnavailable
from node.network.content_type import media_and_parameters
from node.network.deadline import Deadline
from node.network.http_answer import FEW_VALUES, SMALL, HttpAsker, UnsuitableAnswer, read_json, url_segment
from node.network.tls import destination_context

ANSWERS = 500  # to one question; an archive that gives more does not look at what was asked
JSON = "application/dicom+json"
OBJECT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
SILENCE_S = 60.0  # the deadline may be shorter


class DicomWebClient:
    """Asks one server. Its errors name the destination, never the address with its query.

    Parameters
    ----------
    name
        The destination's, for messages.
    destination
        Where it is, and how it is asked.
    deadline
        When asking it is over.

    Raises
    ------
    PeerUnavailable
        If its certificates cannot be used.
    """

    def __init__(self, name: str, destination: DicomWebDestination, deadline: Deadline) -> None:
        self._name, self._destination, self._deadline = name, destination, deadline
        try:
            context = destination_context(destination.tls) if destination.tls else True
        except OSError as error:
            raise PeerUnavailable(f"{name}: its certificates cannot be used: {error.strerror}") from error
        self._http = HttpAsker(SILENCE_S, verify=context)

    def ask(self, path: str, answers: int = ANSWERS, /, **query: str | list[str]) -> list[dict[str, Any]]:
        """The matches of a QIDO-RS query, as the DICOM JSON model has them.

        Parameters
        ----------
        path
            Below the base URL; `uid_segment` makes a UID fit for it.
        answers
            How many there may be.
        query
            Keys of the query.

        Raises
        ------
        PeerUnavailable
            If it cannot be asked, or does not answer as such a server does.
        """
        status, _, body = self._request(path, query, JSON, SMALL)
        if status in (204, 404):
            return []
        if status != 200:
            raise PeerUnavailable(f"{self._name}: HTTP {status} to QIDO-RS")
        try:
            found = read_json(body, FEW_VALUES)
        except UnsuitableAnswer as error:
            raise PeerUnavailable(f"{self._name}: the answer to QIDO-RS cannot be read") from error
        if not isinstance(found, list) or len(found) > answers:
            raise PeerUnavailable(f"{self._name}: gives more than {answers} answers to one question, or none")
        return [answer for answer in found if isinstance(answer, dict)]

    def instance(self, study: str, series: str, instance: str, largest: int) -> bytes:
        """A whole object as a Part 10 file of at most `largest` bytes, by WADO-RS; raises `PeerUnavailable`."""
        path = "/".join(
            f"{level}/{uid_segment(uid)}"
            for level, uid in (("studies", study), ("series", series), ("instances", instance))
        )
        status, content_type, body = self._request(path, {}, OBJECT, largest)
        if status != httpx.codes.OK:
            raise PeerUnavailable(f"{self._name}: HTTP {status} to WADO-RS")
        if media_and_parameters(content_type)[0] == "application/dicom":
            return body
        part = _first_part(body, content_type)
        if part is None:
            raise PeerUnavailable(f"{self._name}: the answer to WADO-RS cannot be read")
        return part

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _request(self, path: str, query: dict[str, Any], accept: str, largest: int) -> tuple[int, str, bytes]:
        """Status, content type and body of a GET, of so many bytes at most and no later than the deadline."""
        headers = {"Accept": accept}
        url = f"{self._destination.url.rstrip('/')}/{path}"
        try:
            if self._destination.token_file is not None:  # read each time: tokens are renewed behind our back
                key = f"destinations.{self._name}.token_file"
                headers["Authorization"] = bearer(key, self._destination.token_file)
            answer = self._http.ask(
                "GET", url, params=query, headers=headers, largest=largest, within_s=self._deadline.left()
            )
            return answer.status, answer.headers.get("Content-Type", ""), answer.body
        except ConfigurationError as error:  # a token that is not there yet
            raise PeerUnavailable(str(error)) from error
        except UnsuitableAnswer as error:
            raise PeerUnavailable(f"{self._name}: the answer {error}") from error
        except httpx.TimeoutException as error:
            self._deadline.left()
            raise PeerUnavailable(f"{self._name}: {type(error).__name__}") from error
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise PeerUnavailable(f"{self._name}: {type(error).__name__}") from error


def uid_segment(uid: str) -> str:
    """A UID of an answer as a part of a path; raises `PeerUnavailable` where it is none."""
    try:
        return url_segment(uid)
    except UnsuitableAnswer as error:
        raise PeerUnavailable(f"an answer {error}") from error


def first_value(answer: dict[str, Any], tag: str) -> str:
    """The first value of an element in the DICOM JSON model (PS3.18 F.2); empty where there is none."""
    element = answer.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values and values[0] is not None else ""


def _first_part(body: bytes, content_type: str) -> bytes | None:
    """The content of the first part of a multipart/related body (RFC 2046 5.1)."""
    boundary = media_and_parameters(content_type)[1].get("boundary", "").encode(errors="replace")
    if not boundary:
        return None
    start = body.find(b"--" + boundary)
    head = body.find(b"\r\n\r\n", start) if start >= 0 else -1
    end = body.find(b"\r\n--" + boundary, head) if head >= 0 else -1
    return body[head + 4 : end] if end >= 0 else None
