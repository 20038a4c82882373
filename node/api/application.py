"""The application that answers at `/api/v1`, its OpenAPI document, and a page that shows that."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount

from node.api import alerts, configuration, imports, jobs, people, present, results, routes, studies
from node.api.guard import GuardedRoute
from node.api.parts import Parts
from node.api.problems import ALWAYS, Problem, declared, handle

PATH = "/api/v1"
DESCRIPTION = """What the pages show and do, for programs. Show a token as a bearer: `condyle token new` makes one.

`x-role` of an operation says who may. An answer that is not the one that was asked for is a problem (RFC 9457): 422,
the request is not as this document says; 409, it is, and cannot be done as things are. Moments have a zone."""
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of `condyle token new`"},
}
TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True)

pages = APIRouter(route_class=GuardedRoute, include_in_schema=False)


@pages.get("/openapi.json")
def document(request: Request) -> dict[str, Any]:
    """The OpenAPI document."""
    api: FastAPI = request.app
    return api.openapi()


@pages.get("/", response_class=HTMLResponse)
def page(request: Request) -> Response:
    """The document, to be read: it needs neither scripts nor another server."""
    api: FastAPI = request.app
    return HTMLResponse(TEMPLATES.get_template("api.html").render(document=api.openapi(), path=PATH))


ROUTERS = (
    *(pages, present.router, studies.router, imports.router, jobs.router, routes.router),
    *(results.router, alerts.router, configuration.router, people.router),
)


def mounted(parts: Parts) -> Mount:
    """The API of a node, as a route of its web application."""
    mount = Mount(PATH, application(parts))
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)  # also where a line ends in the address
    return mount


def application(parts: Parts) -> FastAPI:
    """The API of a node."""
    api = FastAPI(
        title="Condyle",
        version=version("condyle"),
        description=DESCRIPTION,
        servers=[{"url": PATH}],
        root_path_in_servers=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        responses=declared(*ALWAYS),
    )
    api.state.parts = parts
    api.state.endpoints = [one for router in ROUTERS for one in router.routes if isinstance(one, APIRoute)]
    handle(api)
    for router in ROUTERS:
        api.include_router(router)
    made = api.openapi

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            _complete(made())
        return made()

    api.openapi = openapi  # type: ignore[method-assign]
    return api


def _operation_id(route: APIRoute) -> str:
    return route.name


def _complete(schema: dict[str, Any]) -> None:
    """Add what FastAPI does not know: the form of problems, and how one signs in."""
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    components["securitySchemes"] = SECURITY
    schema["security"] = [{name: []} for name in SECURITY]
