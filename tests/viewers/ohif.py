"""Serves OHIF's built viewer and Orthanc's DICOMweb from one origin: Orthanc sends no CORS headers."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

CONFIGURATION = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "strictZSpacingForVolumeViewport": True,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "orthanc",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "orthanc",
            "configuration": {
                "friendlyName": "Orthanc",
                "name": "orthanc",
                "wadoUriRoot": "/wado",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "qidoSupportsIncludeField": True,
                "supportsReject": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "omitQuotationForMultipartRequest": True,
                "singlepart": "bulkdata,video,pdf",
                "bulkDataURI": {"enabled": True},
            },
        }
    ],
}
HOP_BY_HOP = {"connection", "transfer-encoding", "content-encoding", "content-length", "keep-alive"}


def viewer(dist: Path, orthanc: httpx.Client) -> Starlette:
    """OHIF from its folder `dist`, over the Orthanc that `orthanc` is a client of."""

    def passed_on(request: Request) -> Response:
        # Orthanc does not split a list at a percent-encoded comma, which is how OHIF sends it
        target = f"{request.url.path}?{request.url.query.replace('%2C', ',')}"
        headers = {name: request.headers[name] for name in ("accept", "host") if name in request.headers}
        answer = orthanc.get(target, headers=headers)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        return Response(answer.content, answer.status_code, kept)

    def file(request: Request) -> Response:
        path = (dist / request.path_params["path"]).resolve()
        if path.is_file() and path.is_relative_to(dist.resolve()):
            return FileResponse(path, headers={"Cache-Control": "max-age=3600"})
        if path.suffix:  # a page of the viewer has none
            return Response("not found", 404)
        return FileResponse(dist / "index.html")

    def configuration(_request: Request) -> Response:
        return Response(f"window.config = {json.dumps(CONFIGURATION)};", media_type="text/javascript")

    return Starlette(
        routes=[
            Route("/app-config.js", configuration),
            Route("/dicom-web/{path:path}", passed_on),
            Route("/wado", passed_on),
            Route("/{path:path}", file),
        ]
    )
