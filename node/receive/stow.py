"""STOW-RS (PS3.18 10.5) into the store: routes for the Starlette application that serves the status page.

They run in the node's parent process, not in the receivers: `node/app.py` makes a `Store` there (whose
receipt log is imported like all others) and passes `routes(store, settings)` to the page's application. TLS is
that server's. Parts are streamed to the spool one by one, so memory does not grow with the request; each instance has
the store's promise before the response says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from anyio import to_thread
from python_multipart.exceptions import MultipartParseError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from node.config import DicomWebSettings, Network
from node.database.states import AssociationOutcome
from node.network.content_encoding import UnsuitableBody
from node.network.content_type import media_and_parameters
from node.network.multipart import MAXIMUM_PART_HEADERS, NO_BOUNDARY, MultipartParts, PartEvent, boundary_of
from node.network.request_body import BodyBrokenOff, body_of, require_fitting
from node.network.sign_in import UNAUTHORIZED, SignIn, caller_address
from node.receive.status import NotStored, Status
from node.receive.store.header import is_uid
from node.receive.store.incoming import Arrival
from node.receive.store.instance_files import Receipt
from node.receive.store.store import Store

MAXIMUM_PARTS = 10_000
DICOM, JSON, XML = "application/dicom", "application/dicom+json", "application/dicom+xml"
OK, ACCEPTED, BAD_REQUEST, CONFLICT = 200, 202, 400, 409
NOT_ACCEPTABLE, TOO_LARGE, UNSUPPORTED, UNAVAILABLE = 406, 413, 415, 503


def routes(store: Store, settings: DicomWebSettings, proxies: Sequence[Network] = ()) -> list[Route]:
    """``POST /dicom-web/studies`` and ``POST /dicom-web/studies/{study}``; none where it is switched off.

    Raises
    ------
    ConfigurationError
        If the token file cannot be read, or holds no token.
    """
    if not settings.enabled:
        return []
    desk = _Desk(store, SignIn("receive.dicomweb", settings, proxies), proxies)
    return [
        Route("/dicom-web/studies", desk.post, methods=["POST"]),
        Route("/dicom-web/studies/{study}", desk.post, methods=["POST"]),
    ]


@dataclass
class _Outcome:
    """What became of the parts."""

    stored: list[tuple[str, Receipt]] = field(default_factory=list)  # SOP Class UID, receipt
    failed: list[tuple[str, str, int]] = field(default_factory=list)  # SOP Class UID, SOP Instance UID, reason
    not_supported: list[str] = field(default_factory=list)  # why, of those that failed because of what they come in


class _Desk:
    def __init__(self, store: Store, sign_in: SignIn, proxies: Sequence[Network]) -> None:
        self._store = store
        self._sign_in = sign_in
        self._proxies = proxies

    async def post(self, request: Request) -> Response:
        """Store the parts of one request."""
        address = caller_address(request, self._proxies) or (request.client.host if request.client else "")
        try:
            if (refusal := self._sign_in.refusal(request)) is not None:
                raise UnsuitableBody(refusal.status, refusal.sentence)
            answer_type = _answer_type(request.headers.get("accept", "*/*"))
            boundary = _boundary(request.headers.get("content-type", ""))
            most = MAXIMUM_PARTS * (self._store.maximum_bytes + MAXIMUM_PART_HEADERS)
            require_fitting(request, most)
            study = request.path_params.get("study")
            if study is not None and not is_uid(study):
                raise UnsuitableBody(BAD_REQUEST, "The study in the address is not a UID")
        except UnsuitableBody as problem:
            await to_thread.run_sync(self._store.refuse, "stow", "", "", address, problem.sentence)
            headers = {"WWW-Authenticate": "Bearer"} if problem.status == UNAUTHORIZED else {}
            return JSONResponse({"error": problem.sentence}, problem.status, headers)
        arrival = self._store.open("stow", peer_address=address)
        try:
            outcome = await self._take(body_of(request, most), boundary, arrival, study)
        except UnsuitableBody as problem:
            broken_off = isinstance(problem, BodyBrokenOff)
            arrival.close(AssociationOutcome.LOST if broken_off else AssociationOutcome.ABORTED, problem.sentence)
            return JSONResponse({"error": problem.sentence}, problem.status)
        except BaseException:
            arrival.close(AssociationOutcome.ABORTED, "The request was broken off")
            raise
        arrival.close(AssociationOutcome.RELEASED)
        return _response(outcome, arrival, answer_type, str(request.base_url))

    async def _take(
        self, stream: AsyncIterator[bytes], boundary: bytes, arrival: Arrival, study: str | None
    ) -> _Outcome:
        parts = MultipartParts(boundary)
        taking = _Taking(self._store, arrival, study)
        try:
            async for chunk in stream:
                events = parts.feed(chunk)
                if parts.count > MAXIMUM_PARTS:
                    raise UnsuitableBody(TOO_LARGE, f"More than {MAXIMUM_PARTS} parts")
                if events:  # of thousands of small parts too in one go: to ask for a thread costs more than one part
                    await to_thread.run_sync(taking.take, events)
        except MultipartParseError as error:
            raise UnsuitableBody(BAD_REQUEST, f"The multipart message is broken in part {parts.count}") from error
        finally:
            taking.drop()
        outcome = taking.outcome
        if parts.in_preamble:
            raise UnsuitableBody(BAD_REQUEST, NO_BOUNDARY)
        if not parts.finished or not parts.count:
            raise UnsuitableBody(BAD_REQUEST, "The multipart message does not end, or holds nothing")
        if outcome.not_supported and not outcome.stored and len(outcome.failed) == len(outcome.not_supported):
            raise UnsuitableBody(UNSUPPORTED, outcome.not_supported[0])
        return outcome


class _Taking:
    """The parts of one request on their way to the store, one after the other."""

    def __init__(self, store: Store, arrival: Arrival, study: str | None) -> None:
        self.outcome = _Outcome()
        self._store, self._arrival, self._study = store, arrival, study
        self._number = 0
        self._spooled: _Spooled | None = None
        self._type = _PartType.of({})

    def take(self, events: Iterable[PartEvent]) -> None:
        """Write what has come, and store each part that ends."""
        for kind, data in events:
            if kind == "begin":
                self._number += 1
                self._arrival.at_hand = f"part {self._number}"
                self._spooled = _Spooled(self._store, self._arrival)
            elif kind == "headers":
                self._type = _PartType.of(data)
            elif kind == "data" and self._spooled is not None:
                self._spooled.write(data)
            elif kind == "end" and self._spooled is not None:
                done, self._spooled = self._spooled, None
                done.finish(self.outcome, self._type, self._study)

    def drop(self) -> None:
        """Drop the part at hand: the request has ended, or was broken off."""
        if self._spooled is not None:
            self._spooled.drop()


@dataclass(frozen=True)
class _PartType:
    """What a part says of itself."""

    problem: str  # why it is not supported; empty where it is
    transfer_syntax_uid: str  # PS3.18 8.7.3.5.2; empty where it is not named

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> _PartType:
        """Read the headers of a part."""
        media, parameters = media_and_parameters(headers.get("content-type") or DICOM)
        coding = headers.get("content-encoding", "").lower()
        transfer = headers.get("content-transfer-encoding", "").lower()
        problem = ""
        if media != DICOM:
            problem = f"The part is {_shown(media)}: only {DICOM} is taken"
        elif coding not in ("", "identity"):
            problem = "The part has a Content-Encoding: only the whole body may have one"
        elif transfer not in ("", "binary", "8bit", "7bit"):
            problem = "The part has a Content-Transfer-Encoding: send it binary"
        syntax = parameters.get("transfer-syntax", "")
        return cls(problem, syntax if is_uid(syntax) else "")


class _Spooled:
    """One part on its way to the store."""

    def __init__(self, store: Store, arrival: Arrival) -> None:
        self._store = store
        self._arrival = arrival
        self._size = 0
        self._problem: NotStored | None = None
        self._name = ""
        self._fd = -1
        try:
            store.require_room(arrival)
            self._name, self._fd = store.partial()
        except NotStored as error:
            self._problem = error

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._problem is not None:
            return
        try:
            if self._size > self._store.maximum_bytes:
                raise NotStored(Status.OUT_OF_RESOURCES, "The instance is larger than the node accepts")
            self._store.write(self._fd, self._arrival, data)
        except NotStored as error:
            self._fail(error)

    def finish(self, outcome: _Outcome, of: _PartType, study: str | None) -> None:
        """Store it, and note in `outcome` how that went."""
        if self._problem is None and of.problem:
            self._fail(NotStored(Status.CANNOT_UNDERSTAND, of.problem))
            outcome.not_supported.append(of.problem)
        if self._problem is None:
            fd, self._fd = self._fd, -1
            try:
                os.close(fd)
            except OSError as error:  # a share says only now that it is full
                self._fail(self._store.trouble(error, self._arrival))
        if self._problem is not None:
            self._arrival.failure("", self._problem)
            outcome.failed.append(("", "", int(self._problem.status)))
            return
        try:
            receipt = self._store.adopt(self._arrival, self._name, study, of.transfer_syntax_uid)
        except NotStored as error:
            outcome.failed.append((error.sop_class_uid, error.sop_instance_uid, int(error.status)))
        else:
            outcome.stored.append((receipt.sop_class_uid, receipt))

    def drop(self) -> None:
        """The request ended in the middle."""
        self._fail(NotStored(Status.PROCESSING_FAILURE, "The request ended before the part did"))

    def _fail(self, error: NotStored) -> None:
        self._problem = error
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._name:
            self._store.drop(self._name)
            self._name = ""


def _shown(media: str) -> str:
    """A media type of a sender, fit for a record: what is none is not repeated."""
    return media if re.fullmatch(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,40}", media) else "something else"


def _boundary(content_type: str) -> bytes:
    media, parameters = media_and_parameters(content_type)
    if media != "multipart/related":
        raise UnsuitableBody(UNSUPPORTED, "multipart/related is needed")
    if parameters.get("type", DICOM).partition(";")[0].strip().lower() != DICOM:
        raise UnsuitableBody(UNSUPPORTED, "Only parts of application/dicom are taken")
    return boundary_of(parameters)


def _answer_type(accept: str) -> str:
    """JSON, unless XML is wanted (PS3.18 10.5.3)."""
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for media in wanted:
        if media in (JSON, "application/json", "*/*", "application/*", ""):
            return JSON
        if media == XML:
            return XML
    raise UnsuitableBody(NOT_ACCEPTABLE, f"The answer comes as {JSON} or {XML}")


def _response(outcome: _Outcome, arrival: Arrival, answer_type: str, base: str) -> Response:
    """The Store Instances Response Module (PS3.18 I.2) and the code that sums it up (PS3.18 10.5.3.1)."""
    stored: list[dict[str, tuple[str, Any]]] = [
        {"00081150": ("UI", sop_class), "00081155": ("UI", receipt.sop_instance_uid)}
        for sop_class, receipt in outcome.stored
    ]
    failed: list[dict[str, tuple[str, Any]]] = [
        {
            **({"00081150": ("UI", sop_class)} if sop_class else {}),
            **({"00081155": ("UI", uid)} if uid else {}),
            "00081197": ("US", reason),
        }
        for sop_class, uid, reason in outcome.failed
    ]
    if not outcome.failed:
        code = OK
    elif outcome.stored:
        code = ACCEPTED
    else:
        code = UNAVAILABLE if arrival.disk_was_low else CONFLICT
    sequences: _Sequences = {"00081198": failed, "00081199": stored}
    content = _xml(sequences) if answer_type == XML else _json(sequences)
    return Response(content, code, media_type=answer_type)


_Sequences = dict[str, list[dict[str, tuple[str, Any]]]]
_KEYWORDS = {
    "00081150": "ReferencedSOPClassUID",
    "00081155": "ReferencedSOPInstanceUID",
    "00081197": "FailureReason",
    "00081198": "FailedSOPSequence",
    "00081199": "ReferencedSOPSequence",
}


def _json(sequences: _Sequences) -> bytes:
    """PS3.18 F."""
    body = {
        tag: {
            "vr": "SQ",
            "Value": [{t: {"vr": vr, "Value": [value]} for t, (vr, value) in item.items()} for item in items],
        }
        for tag, items in sequences.items()
        if items
    }
    return bytes(JSONResponse(body).body)


def _xml(sequences: _Sequences) -> bytes:
    """The Native DICOM Model (PS3.19 A.1)."""
    root = ElementTree.Element("NativeDicomModel", {"xmlns": "http://dicom.nema.org/PS3.19/models/NativeDICOM"})
    for tag, items in sequences.items():
        if not items:
            continue
        sequence = ElementTree.SubElement(root, "DicomAttribute", {"tag": tag, "vr": "SQ", "keyword": _KEYWORDS[tag]})
        for number, item in enumerate(items, 1):
            node = ElementTree.SubElement(sequence, "Item", {"number": str(number)})
            for inner, (vr, value) in item.items():
                attributes = {"tag": inner, "vr": vr, "keyword": _KEYWORDS[inner]}
                attribute = ElementTree.SubElement(node, "DicomAttribute", attributes)
                ElementTree.SubElement(attribute, "Value", {"number": "1"}).text = str(value)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
