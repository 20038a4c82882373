"""A file is imported: the body of a request, streamed to disk, taken as `condyle import` takes it."""

from __future__ import annotations

from http import HTTPStatus

from anyio import to_thread
from fastapi import APIRouter, Request

from node.access.identity import identity_of
from node.actions.importing import NoMoreRoom, Upload, note
from node.api.guard import OPERATOR, STREAMS, GuardedRoute
from node.api.parts import Parts, parts_of
from node.api.problems import Refused, declared
from node.database.states import AssociationOutcome
from node.files import free_bytes
from node.listings.imports import ImportListing
from node.network.content_encoding import UnsuitableBody
from node.network.content_type import media_and_parameters
from node.network.request_body import BodyBrokenOff, body_of

router = APIRouter(tags=["studies"], route_class=GuardedRoute)

TAKEN = ("application/dicom", "application/zip", "application/octet-stream")
BINARY = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in TAKEN}
NAME = "body"  # what answers call the file
EXTRA = {**OPERATOR, STREAMS: True, "requestBody": {"required": True, "content": BINARY}}


@router.post("/import", openapi_extra=EXTRA, responses=declared(507))
async def import_file(request: Request) -> ImportListing:
    """Store the instances of one file: DICOM, or packed, such as a zip with many."""
    parts = parts_of(request)
    media = media_and_parameters(request.headers.get("content-type", ""))[0]
    if media not in TAKEN:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: should be one of {', '.join(TAKEN)}")
    upload = await to_thread.run_sync(parts.actions.upload)
    outcome, problem = AssociationOutcome.RELEASED, ""
    try:
        await _take(request, parts, upload)
    except NoMoreRoom as error:
        outcome, problem = AssociationOutcome.ABORTED, str(error)
    except BodyBrokenOff as error:
        await to_thread.run_sync(_close, parts, request, upload, AssociationOutcome.LOST, error.sentence)
        raise
    except UnsuitableBody as error:
        await to_thread.run_sync(_close, parts, request, upload, AssociationOutcome.ABORTED, error.sentence)
        raise
    except BaseException:
        await to_thread.run_sync(upload.close, AssociationOutcome.ABORTED, "The request was broken off")
        raise
    report = await to_thread.run_sync(_close, parts, request, upload, outcome, problem)
    if problem:
        raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, problem)
    if report.not_taken and not report.stored:
        raise Refused(HTTPStatus.CONFLICT, "; ".join(one.reason for one in report.not_taken))
    return report


async def _take(request: Request, parts: Parts, upload: Upload) -> None:
    most = await to_thread.run_sync(free_bytes, parts.configuration.node.data)
    await to_thread.run_sync(upload.begin, NAME)
    async for piece in body_of(request, most):
        await to_thread.run_sync(upload.write, piece)
    await to_thread.run_sync(upload.end)


def _close(parts: Parts, request: Request, upload: Upload, outcome: AssociationOutcome, reason: str) -> ImportListing:
    report = upload.close(outcome, reason)
    note(parts.database, identity_of(request).name, report)
    return ImportListing.of(report)
