"""Records and risks over HTTP: POST /fhir takes a bundle, POST /risk answers with a RiskAssessment."""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
from datetime import date, timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dicom_sr.errors import UnsuitableInput
from node.config import RecordSettings
from node.errors import ConfigurationError, NodeError
from node.network.fhir_client import FhirClient
from node.patient_records.answer import Assessor, risk_assessment
from node.patient_records.intake import Intake, Taken
from node.patient_records.look_up import Contexts
from pipelines.records.record import IdentityMismatch

log = logging.getLogger(__name__)

MAXIMUM_BYTES = 64 * 2**20
A_DAY = timedelta(days=1)
FHIR_JSON = "application/fhir+json"


class RecordsWeb:
    """The routes, for the application on the status page's port."""

    def __init__(self, settings: RecordSettings, intake: Intake, contexts: Contexts, assessor: Assessor) -> None:
        self._settings, self._intake, self._contexts, self._assessor = settings, intake, contexts, assessor
        self._token = _token(settings)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/fhir", self.bundle, methods=["POST"]),
            Route("/fhir/Bundle", self.bundle, methods=["POST"]),
            Route("/risk", self.risk, methods=["POST"]),
        ]

    async def bundle(self, request: Request) -> Response:
        """Keep a bundle's records; answers with an OperationOutcome."""
        content, refusal = await self._body(request)
        if refusal is not None:
            return refusal
        try:
            taken = await run_in_threadpool(self._intake.bundle, content)
        except (UnsuitableInput, IdentityMismatch) as error:
            return _outcome(422, "error", str(error))
        except (OSError, NodeError) as error:
            log.error("record not kept", extra={"reason": getattr(error, "strerror", None) or str(error)})
            return _outcome(503, "error", "cannot be stored now, send again")
        return _outcome(200, "information", _words(taken))

    async def risk(self, request: Request) -> Response:
        """Answer ``{"patient_id": ..., "issuer": ..., "index_date": "YYYY-MM-DD"}``; the last two may be left out."""
        content, refusal = await self._body(request)
        if refusal is not None:
            return refusal
        try:
            answer = await run_in_threadpool(self._assessed, content)
        except UnsuitableInput as error:
            return _outcome(422, "error", str(error))
        except (KeyError, TypeError, ValueError):
            return _outcome(400, "error", "needs patient_id, and index_date as YYYY-MM-DD where given")
        except NodeError as error:  # the FHIR server is away, or a kept record is damaged
            return _outcome(503, "error", str(error))
        return JSONResponse(answer, media_type=FHIR_JSON)

    def _assessed(self, content: dict[str, Any]) -> dict[str, Any]:
        day = date.fromisoformat(content["index_date"]) if content.get("index_date") else date.today()
        if day > date.today() + A_DAY:  # it may be tomorrow elsewhere
            raise UnsuitableInput("the index date lies ahead")
        return answer(
            self._settings, self._contexts, self._assessor, str(content["patient_id"]), content.get("issuer"), day
        )

    async def _body(self, request: Request) -> tuple[dict[str, Any], Response | None]:
        if (refusal := self._refusal(request)) is not None:
            return {}, refusal
        received = bytearray()
        async for chunk in request.stream():
            received += chunk
            if len(received) > MAXIMUM_BYTES:
                return {}, _outcome(413, "error", f"more than {MAXIMUM_BYTES // 2**20} MB")
        try:
            content = json.loads(bytes(received))
        except (ValueError, RecursionError):  # bad JSON, bad UTF-8, thousands of brackets
            return {}, _outcome(400, "error", "not JSON")
        return (content, None) if isinstance(content, dict) else ({}, _outcome(400, "error", "not a JSON object"))

    def _refusal(self, request: Request) -> Response | None:
        """Why this sender may not, or None: the token, or without one only this machine."""
        if self._token is None:
            address = request.client.host if request.client else ""
            try:
                local = ipaddress.ip_address(address).is_loopback
            except ValueError:
                local = False
            return None if local else _outcome(403, "error", "only from this machine; set records.token")
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        return (
            None
            if hmac.compare_digest(given.encode(), self._token.encode())
            else _outcome(401, "error", "no or wrong token")
        )


def answer(
    settings: RecordSettings, contexts: Contexts, assessor: Assessor, patient_id: str, issuer: str | None, day: date
) -> dict[str, Any]:
    """The RiskAssessment for a patient with a record; posted to the FHIR server too where that is configured.

    Raises
    ------
    UnsuitableInput
        If there is no record, or the pipeline cannot use it.
    """
    record, context = contexts.for_request(patient_id, issuer, day)
    result = assessor.assess(context)
    system = settings.fhir.identifier_system if settings.fhir else ""
    resource = risk_assessment(result, record.identity, day, system)
    if settings.fhir is not None and settings.fhir.post_back:
        try:
            with FhirClient(settings.fhir) as client:
                client.create(resource)
        except NodeError as error:  # the asker gets the answer all the same
            log.warning("answer not posted back", extra={"reason": str(error)})
    return resource


def _token(settings: RecordSettings) -> str | None:
    if settings.token_file is not None:
        try:
            return settings.token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"records.token_file: {settings.token_file}: {error.strerror}") from error
    return settings.token.get_secret_value() if settings.token else None


def _words(taken: Taken) -> str:
    text = f"{taken.records} record(s), {taken.events} events"
    if taken.refused:
        text += "; not used: " + ", ".join(f"{count} x {reason}" for reason, count in taken.refused.items())
    return text


def _outcome(status: int, severity: str, text: str) -> Response:
    code = "informational" if severity == "information" else "invalid"
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return JSONResponse({"resourceType": "OperationOutcome", "issue": [issue]}, status, media_type=FHIR_JSON)
