"""STOW-RS to a DICOMweb server (PS3.18 10.5), and QIDO-RS to see whether it has what it was sent."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import Any
from xml.etree import ElementTree

import httpx
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from dicom_sr.profile import ObjectFile
from node.config import DicomWebDestination
from node.config.secret_files import bearer
from node.errors import ConfigurationError, PeerUnavailable
from node.files import parts_of
from node.network.http_answer import SMALL, HttpAnswer, HttpAsker, UnsuitableAnswer, url_segment
from node.network.tls import destination_context
from node.send.delivery import ASKED_OF_A_STUDY, Answer, F, Outcome, by_status

REQUEST_BYTES, REQUEST_OBJECTS = 32 * 2**20, 64  # in one request, unless a single object is larger
# What an answer about one object may have, and about none; 1 kB and 20 elements of XML for each are usual.
ANSWER_BYTES, ANSWER_ELEMENTS = 16 * 2**10, 200
EMPTY_BYTES, EMPTY_ELEMENTS = 256 * 2**10, 1000
MATCHES_ELEMENTS = 20_000  # of an answer to a query that comes in XML
FOR_GOOD = (400, 411, 413, 415)  # what was sent is wrong; every other error may pass, or be put right at the server


class DicomWebDelivery:
    """A client that is kept between requests."""

    def __init__(self, name: str, destination: DicomWebDestination) -> None:
        self._name, self._destination = name, destination
        context = destination_context(destination.tls) if destination.tls else True
        self._http = HttpAsker(destination.timeout_s, verify=context)

    def announce(self, items: Sequence[ObjectFile]) -> None:
        """Nothing is negotiated beforehand."""

    def send(self, items: Sequence[F]) -> Iterator[tuple[F, Answer]]:
        """Store objects by STOW-RS, some in each request, and yield the server's answer to each.

        Raises
        ------
        PeerUnavailable
            If the server cannot be reached, or says nothing about the objects.
        """
        for batch in _batches(items):
            yield from self._store(batch)

    def _store(self, batch: Sequence[F]) -> Iterator[tuple[F, Answer]]:
        boundary = uuid.uuid4().hex
        with SpooledTemporaryFile(max_size=2 * REQUEST_BYTES) as body:  # a single object may be any size
            body.writelines(_parts(batch, boundary))
            response = self._ask(
                "POST",
                "studies",
                content=body,
                largest=EMPTY_BYTES + ANSWER_BYTES * len(batch),
                headers={
                    "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                    "Accept": "application/dicom+json",
                },
            )
        code = response.status
        if code in FOR_GOOD:
            refused = Answer(Outcome.CLASS_REFUSED if code == 415 else Outcome.REFUSED, f"HTTP {code}")
            yield from ((item, refused) for item in batch)
            return
        if not (response.is_success or code == 409):
            raise PeerUnavailable(f"{self._name}: {response.phrase}")
        answers = _answers(response, len(batch))
        if len(batch) == 1 and "" in answers:  # about an object that it does not name
            answers.setdefault(batch[0].sop_instance_uid, answers[""])
        silent = f"HTTP {code}, and nothing about this object"
        there = self._found([item for item in batch if item.sop_instance_uid not in answers])
        for item in batch:
            if item.sop_instance_uid in there:
                yield item, Answer(Outcome.DELIVERED, f"{silent}; found by query")
            else:
                yield item, answers.get(item.sop_instance_uid, Answer(Outcome.UNCLEAR, silent))

    def _found(self, items: Sequence[ObjectFile]) -> set[str]:
        """SOP Instance UIDs of those that the server has, as far as it says."""
        try:
            return (self.find(items) if items else None) or set()
        except PeerUnavailable:
            return set()

    def find(self, items: Sequence[ObjectFile]) -> set[str] | None:
        """SOP Instance UIDs of those that the server has, by QIDO-RS; None where it does not answer the query.

        Raises
        ------
        PeerUnavailable
            If the server cannot be reached.
        """
        found: set[str] = set()
        for study, series in sorted({(item.study_instance_uid, item.series_instance_uid) for item in items}):
            response = self._ask(
                "GET",
                f"studies/{url_segment(study)}/series/{url_segment(series)}/instances",
                headers={"Accept": "application/dicom+json"},
                largest=SMALL,
            )
            if response.status in (204, 404):
                continue
            matches = _data_sets(response, MATCHES_ELEMENTS) if response.status == 200 else None
            if matches is None:
                return None
            found |= {str(uid) for match in matches if (uid := _first(match, "00080018"))}
        return found

    def withdraw(self, item: ObjectFile, when: datetime, why: str) -> Answer:
        """Delete an object there; DICOM has no such request, and many servers do as they do for a study (DELETE).

        Such a request has no room for a time and a reason.

        Raises
        ------
        PeerUnavailable
            If the server cannot be reached.
        """
        levels = ("studies", item.study_instance_uid, "series", item.series_instance_uid)
        path = "/".join(url_segment(part) for part in (*levels, "instances", item.sop_instance_uid))
        response = self._ask("DELETE", path, headers={"Accept": "application/dicom+json"}, largest=SMALL)
        if response.is_success:
            return Answer(Outcome.DELIVERED, f"HTTP {response.status}")
        if response.status in (404, 410):
            return Answer(Outcome.DELIVERED, f"HTTP {response.status} not there")
        if response.status in (400, 403, 405, 409, 501):
            return Answer(Outcome.REFUSED, f"HTTP {response.status} the server does not delete objects by DICOMweb")
        return Answer(Outcome.LATER, response.phrase)

    def study(self, study_instance_uid: str) -> Dataset | None:
        """The patient and the study as the server has them, by QIDO-RS; None where it does not say.

        Raises
        ------
        PeerUnavailable
            If the server cannot be reached.
        """
        response = self._ask(
            "GET",
            "studies",
            params={"StudyInstanceUID": study_instance_uid, "includefield": list(ASKED_OF_A_STUDY)},
            headers={"Accept": "application/dicom+json"},
            largest=SMALL,
        )
        matches = _data_sets(response, MATCHES_ELEMENTS) if response.status == 200 else None
        if not matches or len(matches) != 1:
            return None
        tags = {f"{tag_for_keyword(keyword):08X}" for keyword in ASKED_OF_A_STUDY}
        try:
            return Dataset.from_json({tag: element for tag, element in matches[0].items() if tag.upper() in tags})
        except (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError):
            return None  # what it says is no DICOM

    def ping(self) -> str:
        """Ask the server for one study, by QIDO-RS; what it answered. STOW-RS alone cannot be asked without sending.

        Raises
        ------
        PeerUnavailable
            If it cannot be reached, or does not let us in.
        """
        answer = self._ask("GET", "studies?limit=1", headers={"Accept": "application/dicom+json"}, largest=SMALL)
        if answer.status in (401, 403) or answer.status >= 500:
            raise PeerUnavailable(f"{self._name}: {answer.phrase}")
        return f"answers HTTP {answer.status}"

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def _ask(self, method: str, path: str, **more: Any) -> HttpAnswer:
        headers = more.pop("headers", {})
        try:
            if self._destination.token_file is not None:  # read each time: tokens are renewed while the node runs
                key = f"destinations.{self._name}.token_file"
                headers["Authorization"] = bearer(key, self._destination.token_file)
            return self._http.ask(method, f"{self._destination.url.rstrip('/')}/{path}", headers=headers, **more)
        except ConfigurationError as error:  # a token that is not there yet
            raise PeerUnavailable(str(error)) from error
        except UnsuitableAnswer as error:
            raise PeerUnavailable(f"{self._name}: the answer {error}") from error
        except (httpx.HTTPError, OSError) as error:
            raise PeerUnavailable(f"{self._name}: {type(error).__name__}") from error


def _batches(items: Sequence[F]) -> Iterator[Sequence[F]]:
    batch: list[F] = []
    size = 0
    for item in items:
        bytes_ = item.path.stat().st_size
        if batch and (size + bytes_ > REQUEST_BYTES or len(batch) == REQUEST_OBJECTS):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += bytes_
    if batch:
        yield batch


def _parts(batch: Sequence[ObjectFile], boundary: str) -> Iterator[bytes]:
    for item in batch:
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        yield from parts_of(item.path)
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _answers(response: HttpAnswer, objects: int) -> dict[str, Answer]:
    """What a Store Instances Response (PS3.18 I.2) says, by SOP Instance UID; nothing where the answer is none.

    Parameters
    ----------
    objects
        How many it is about.
    """
    answers = {}
    for body in _data_sets(response, EMPTY_ELEMENTS + ANSWER_ELEMENTS * objects) or ():
        for item in _items(body, "00081199"):  # ReferencedSOPSequence
            if uid := _first(item, "00081155"):
                answers[str(uid)] = by_status(_number(_first(item, "00081196"), 0))
        for item in _items(body, "00081198"):  # FailedSOPSequence
            answers[str(_first(item, "00081155") or "")] = by_status(_number(_first(item, "00081197"), 0xC000))
    return answers


def _data_sets(response: HttpAnswer, elements: int) -> list[dict[str, Any]] | None:
    """The data sets of an answer, in the DICOM JSON model (PS3.18 F), whichever it came in; None where it holds none.

    One that is to be alone comes in a list from some servers; some answer in XML (PS3.19 A.1) whatever is asked for.

    Parameters
    ----------
    elements
        How many the XML may have: each takes some hundred bytes of memory, and each attribute of one.
    """
    try:
        body = response.json()
    except UnsuitableAnswer:
        # most elements have a tag that begins and one that ends; an attribute has an equals sign
        if response.body.count(b"<") > 2 * elements or response.body.count(b"=") > 4 * elements:
            return None
        try:
            root = ElementTree.fromstring(response.body)
            return [_json_model(root)] if _local(root) == "NativeDicomModel" else None
        except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
            return None
    found = body if isinstance(body, list) else [body]
    return found if all(isinstance(one, dict) for one in found) else None


def _json_model(parent: ElementTree.Element) -> dict[str, Any]:
    """The attributes in an element of the Native DICOM Model, in the DICOM JSON model."""
    attributes = (child for child in parent if _local(child) == "DicomAttribute")
    return {attribute.get("tag", "").upper(): {"Value": list(_xml_values(attribute))} for attribute in attributes}


def _xml_values(attribute: ElementTree.Element) -> Iterator[Any]:
    for child in attribute:
        if _local(child) == "Item":
            yield _json_model(child)
        elif _local(child) == "Value":
            yield (child.text or "").strip()


def _local(element: ElementTree.Element) -> str:
    """An element's name without its name space, which some servers leave out."""
    return element.tag.rpartition("}")[2]


def _items(body: dict[str, Any], tag: str) -> Iterable[dict[str, Any]]:
    return [item for item in _values(body, tag) if isinstance(item, dict)]


def _first(item: dict[str, Any], tag: str) -> Any:
    return next(iter(_values(item, tag)), None)


def _values(item: dict[str, Any], tag: str) -> list[Any]:
    """The values of an element; none where it is missing or not what the model says."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _number(value: Any, otherwise: int) -> int:
    """A status as a number; `otherwise` where it is none."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return otherwise
    return number if number in range(0x10000) else otherwise
