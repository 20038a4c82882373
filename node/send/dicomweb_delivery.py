"""STOW-RS to a DICOMweb server (PS3.18 10.5), and QIDO-RS to see whether it has what it was sent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from dicom_sr.profile import ObjectFile
from node.config import DicomWebDestination
from node.errors import PeerUnavailable
from node.network.tls import destination_context
from node.send.delivery import Answer, F, Outcome, by_status

REQUEST_BYTES, REQUEST_OBJECTS = 32 * 2**20, 64  # in one request, unless a single object is larger
FOR_GOOD = (400, 411, 413, 415)  # what was sent is wrong; every other error may pass, or be put right at the server


class DicomWebDelivery:
    """A client that is kept between requests."""

    def __init__(self, name: str, destination: DicomWebDestination) -> None:
        self._name, self._destination = name, destination
        self._client = httpx.Client(
            timeout=destination.timeout_s,
            verify=destination_context(destination.tls) if destination.tls else True,
            follow_redirects=False,
        )

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
        response = self._ask(
            "POST",
            "studies",
            content=b"".join(_parts(batch, boundary)),
            headers={
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                "Accept": "application/dicom+json",
            },
        )
        answers = _answers(response)
        if answers is None:
            if response.status_code not in FOR_GOOD:
                raise PeerUnavailable(f"{self._name}: HTTP {response.status_code} {response.reason_phrase}")
            outcome = Outcome.CLASS_REFUSED if response.status_code == 415 else Outcome.REFUSED
            answers = {item.sop_instance_uid: Answer(outcome, f"HTTP {response.status_code}") for item in batch}
        for item in batch:
            silent = Answer(Outcome.LATER, f"HTTP {response.status_code}, and nothing about this object")
            yield item, answers.get(item.sop_instance_uid, silent)

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
                "GET", f"studies/{study}/series/{series}/instances", headers={"Accept": "application/dicom+json"}
            )
            if response.status_code == 204 or response.status_code == 404:
                continue
            if response.status_code != 200:
                return None
            found |= {uid for match in response.json() if (uid := _first(match, "00080018"))}
        return found

    def ping(self) -> str:
        """Ask the server for one study, by QIDO-RS; what it answered. STOW-RS alone cannot be asked without sending.

        Raises
        ------
        PeerUnavailable
            If it cannot be reached, or does not let us in.
        """
        answer = self._ask("GET", "studies?limit=1", headers={"Accept": "application/dicom+json"})
        if answer.status_code in (401, 403) or answer.status_code >= 500:
            raise PeerUnavailable(f"{self._name}: HTTP {answer.status_code} {answer.reason_phrase}")
        return f"answers HTTP {answer.status_code}"

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        try:
            if self._destination.token_file is not None:  # read each time: tokens are renewed while the node runs
                headers["Authorization"] = f"Bearer {self._destination.token_file.read_text().strip()}"
            return self._client.request(method, f"{self._destination.url.rstrip('/')}/{path}", headers=headers, **more)
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
        yield item.path.read_bytes()
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _answers(response: httpx.Response) -> dict[str, Answer] | None:
    """What a Store Instances Response (PS3.18 I.2) says of each object; None where the body is none."""
    if response.status_code not in (200, 202, 409):
        return None
    try:
        body: dict[str, Any] = response.json()
    except ValueError:
        return None
    answers = {}
    for item in body.get("00081199", {}).get("Value", []):  # ReferencedSOPSequence
        warning = int(_first(item, "00081196") or 0)
        answers[str(_first(item, "00081155"))] = by_status(warning)
    for item in body.get("00081198", {}).get("Value", []):  # FailedSOPSequence
        reason = int(_first(item, "00081197") or 0xC000)
        answers[str(_first(item, "00081155"))] = by_status(reason)
    return answers


def _first(item: dict[str, Any], tag: str) -> Any:
    values = item.get(tag, {}).get("Value") or [None]
    return values[0]
