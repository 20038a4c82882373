"""An action's two pages at one address: GET says what will happen and asks, POST does it; they need no JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.access.identity import Role, identity_of
from node.actions.preview import Preview
from node.errors import JobNotFound, NodeError, StudyNotFound
from node.route.by_hand import UnknownName
from node.status.forms import NOT_OURS
from node.status.site import Site

NOT_THERE = (JobNotFound, StudyNotFound, UnknownName)

Typed = Mapping[str, str]
"""What a form, or the address, says: by the name of the field."""


@dataclass(frozen=True)
class Field:
    """Something that is typed or chosen."""

    name: str
    label: str
    kind: str = "text"  # text, select, check, moment
    choices: tuple[tuple[str, str], ...] = ()  # of a select: value and what is shown
    required: bool = True
    help: str = ""


@dataclass(frozen=True)
class Confirmation:
    """An action as its pages offer it.

    `act` is given who does it, and returns where to go then; what it raises is shown as a sentence.
    """

    path: str
    button: str
    preview: Callable[[Request, Typed], Preview]
    act: Callable[[Request, Typed, str], str]
    back: Callable[[Request], str]
    fields: Callable[[Request], Sequence[Field]] = lambda _: ()
    chosen_first: bool = False  # the fields say what will happen: they are filled in before
    title: str = ""  # while they are; by default the button's text
    danger: bool = False  # cannot be taken back
    role: Role = Role.OPERATOR


class ConfirmationPages:
    """The routes of actions."""

    def __init__(self, site: Site, confirmations: Sequence[Confirmation]) -> None:
        self._site, self._confirmations = site, confirmations

    def routes(self) -> list[BaseRoute]:
        """Two for each action."""
        return [route for one in self._confirmations for route in self._of(one)]

    def _of(self, one: Confirmation) -> list[BaseRoute]:
        def ask(request: Request) -> Response:
            return self._told(request, lambda: self._asked(request, one, request.query_params))

        def act(request: Request, typed: Typed) -> Response:
            return self._told(request, lambda: self._done(request, one, typed))

        return [
            Route(one.path, self._site.guarded(ask, one.role)),
            Route(one.path, self._site.taking_form(act, one.role), methods=["POST"]),
        ]

    def _asked(
        self, request: Request, one: Confirmation, typed: Typed, mistake: str = "", status: int = 200
    ) -> Response:
        fields = one.fields(request)
        choosing = one.chosen_first and not any(field.name in typed for field in fields)
        return self._site.quiet_page(
            request,
            "confirm.html",
            status,
            preview=None if choosing else one.preview(request, typed),
            choosing=choosing,
            chosen_first=one.chosen_first,
            fields=fields,
            typed=typed,
            mistake=mistake,
            button=one.button,
            title=one.title or one.button,
            danger=one.danger,
            back=one.back(request),
            token=self._site.form_token(request),
        )

    def _done(self, request: Request, one: Confirmation, typed: Typed) -> Response:
        if not self._site.is_ours(request, typed.get("token", "")):
            return self._site.sentence(request, HTTPStatus.FORBIDDEN, NOT_OURS)
        missing = [
            field.label for field in one.fields(request) if field.required and not typed.get(field.name, "").strip()
        ]
        if missing:
            mistake = f"Missing: {', '.join(missing)}."
            return self._asked(request, one, typed, mistake, HTTPStatus.UNPROCESSABLE_ENTITY)
        return RedirectResponse(one.act(request, typed, identity_of(request).name), HTTPStatus.SEE_OTHER)

    def _told(self, request: Request, answer: Callable[[], Response]) -> Response:
        """The answer, or why there is none, as a sentence."""
        try:
            return answer()
        except NodeError as error:
            status = HTTPStatus.NOT_FOUND if isinstance(error, NOT_THERE) else HTTPStatus.CONFLICT
            return self._site.sentence(request, status, _sentence(str(error)))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
