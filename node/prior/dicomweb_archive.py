"""An archive by DICOMweb: QIDO-RS, then WADO-RS (PS3.18 10.6 and 10.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from dicom_sr.provenance import SERIES_MARK
from node.config import DicomWebDestination
from node.config.secret_files import bearer
from node.errors import ConfigurationError, PeerUnavailable
from node.network.content_type import media_and_parameters
from node.network.http_answer import FEW_VALUES, SMALL, HttpAsker, UnsuitableAnswer, read_json, url_segment
from node.network.tls import destination_context
from node.prior.archive import ANSWERS, REPORTS_A_STUDY, WILD, Deadline, EarlierStudy, ReportReference, earlier
from node.prior.report import LARGEST, REPORT_CLASSES, Moment, Wanted

JSON = "application/dicom+json"
OBJECT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PATIENT_ID, BIRTH_DATE, STUDY_DATE, STUDY_TIME = "00100020", "00100030", "00080020", "00080030"
STUDY_UID, SERIES_UID, INSTANCE_UID, CLASS_UID = "0020000D", "0020000E", "00080018", "00080016"
SILENCE_S = 60.0  # the search's deadline is shorter
MODALITY, SERIES_DESCRIPTION = "00080060", "0008103E"


class DicomWebArchive:
    """A client for one search. Its errors name the archive, never the address with its query.

    Parameters
    ----------
    name
        The destination's, for messages.
    destination
        Where it is, and how it is asked.
    deadline
        When the search is over.
    mismatches
        Takes down why a study of the same patient ID was left out.
    """

    def __init__(self, name: str, destination: DicomWebDestination, deadline: Deadline, mismatches: list[str]) -> None:
        self._name, self._destination, self._deadline = name, destination, deadline
        self._strangers = mismatches
        try:
            context = destination_context(destination.tls) if destination.tls else True
        except OSError as error:
            raise PeerUnavailable(f"{name}: its certificates cannot be used: {error.strerror}") from error
        self._http = HttpAsker(SILENCE_S, verify=context)

    def studies(self, wanted: Wanted) -> list[EarlierStudy]:
        """The patient's studies that may hold a report, by QIDO-RS."""
        if any(character in wanted.who.patient_id for character in WILD):
            raise PeerUnavailable(f"{self._name}: cannot be asked for a patient ID with wildcard characters")
        answers = self._ask(
            "studies",
            PatientID=wanted.who.patient_id,
            ModalitiesInStudy="SR",
            StudyDate=f"-{wanted.made.day}",
            includefield=[BIRTH_DATE, STUDY_DATE, STUDY_TIME],
            limit=str(ANSWERS),
        )
        found, mismatches = earlier([_study(answer) for answer in answers], wanted)
        self._strangers += mismatches
        return found

    def reports(self, study_instance_uid: str) -> Iterator[ReportReference]:
        """The structured reports in a study that may be ours, by QIDO-RS."""
        series = self._ask(
            f"studies/{_segment(study_instance_uid)}/series", Modality="SR", includefield=[SERIES_DESCRIPTION]
        )
        given = 0
        for answer in sorted(series, key=lambda one: _first(one, SERIES_UID)):
            uid = _first(answer, SERIES_UID)
            ours = (_first(answer, SERIES_DESCRIPTION) or SERIES_MARK).startswith(SERIES_MARK)
            if not uid or not ours or _first(answer, MODALITY) not in ("", "SR"):
                continue
            for instance in self._ask(f"studies/{_segment(study_instance_uid)}/series/{_segment(uid)}/instances"):
                if _first(instance, CLASS_UID) in ("", *REPORT_CLASSES) and _first(instance, INSTANCE_UID):
                    given += 1
                    if given > REPORTS_A_STUDY:
                        return
                    yield ReportReference(study_instance_uid, uid, _first(instance, INSTANCE_UID))

    def fetch(self, reference: ReportReference) -> bytes:
        """A whole object as a Part 10 file, by WADO-RS."""
        study, series = _segment(reference.study_instance_uid), _segment(reference.series_instance_uid)
        path = f"studies/{study}/series/{series}/instances/{_segment(reference.sop_instance_uid)}"
        status, content_type, body = self._request(path, {}, OBJECT, LARGEST)
        if status != 200:
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

    def _ask(self, path: str, **query: str | list[str]) -> list[dict[str, Any]]:
        status, _, body = self._request(path, query, JSON, SMALL)
        if status in (204, 404):
            return []
        if status != 200:
            raise PeerUnavailable(f"{self._name}: HTTP {status} to QIDO-RS")
        try:
            answers = read_json(body, FEW_VALUES)
        except UnsuitableAnswer as error:
            raise PeerUnavailable(f"{self._name}: the answer to QIDO-RS cannot be read") from error
        if not isinstance(answers, list) or len(answers) > ANSWERS:
            raise PeerUnavailable(f"{self._name}: gives more than {ANSWERS} answers to one question, or none")
        return [answer for answer in answers if isinstance(answer, dict)]

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


def _study(answer: dict[str, Any]) -> tuple[str, str, str, Moment]:
    made = Moment.at(_first(answer, STUDY_DATE), _first(answer, STUDY_TIME))
    return _first(answer, PATIENT_ID), _first(answer, BIRTH_DATE), _first(answer, STUDY_UID), made


def _segment(uid: str) -> str:
    try:
        return url_segment(uid)
    except UnsuitableAnswer as error:
        raise PeerUnavailable(f"an answer {error}") from error


def _first(answer: dict[str, Any], tag: str) -> str:
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
