"""A DICOMweb server that deletes: a real Orthanc, whose DICOMweb plugin in Debian 12 does not, with DELETE added."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.orthanc import Archive

KEPT = ("content-type", "accept")


def deleting(orthanc: Archive, refuses: int = 0) -> Starlette:
    """Hands everything on to Orthanc, and deletes what ``DELETE .../instances/UID`` names by Orthanc's own REST API.

    Parameters
    ----------
    refuses
        What DELETE is answered instead; 0: it is done.
    """

    async def hand_on(request: Request) -> Response:
        if request.method == "DELETE" and refuses:
            return Response(status_code=refuses)
        if request.method == "DELETE":
            found = orthanc.find("Instance", SOPInstanceUID=request.url.path.rpartition("/")[2])
            for one in found:
                httpx.delete(f"{orthanc.url}/instances/{one}").raise_for_status()
            return Response(status_code=204 if found else 404)
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.request(
                request.method,
                f"{orthanc.url}{request.url.path}?{request.url.query}",
                content=await request.body(),
                headers={name: value for name, value in request.headers.items() if name in KEPT},
            )
        return Response(answer.content, answer.status_code, {"content-type": answer.headers.get("content-type", "")})

    return Starlette(routes=[Route("/{path:path}", hand_on, methods=["GET", "POST", "DELETE"])])
