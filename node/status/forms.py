"""Forms of the page: they work without JavaScript, and no page of others can have one sent."""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl

from starlette.requests import Request

from node.data_folder import own_key
from node.network.content_encoding import UnsuitableBody
from node.network.content_type import media_and_parameters
from node.network.request_body import body_of

KEY_FILE = "page-forms.key"  # in the data folder
FORM_BYTES, FORM_FIELDS = 512 * 2**10, 5000  # a report over two hands and two feet has some 400 fields
NUL = "\0"  # no database keeps it in a text, and nobody types it
HAS_NUL = "holds the character NUL, which is no part of a text"
FORM = "application/x-www-form-urlencoded"
NOT_OURS = "This form is not one that this node gave out: open it anew, and fill it in there."


class FormTokens:
    """What only a form that this node gave out has.

    Parameters
    ----------
    data
        The data folder, which holds the key.
    """

    def __init__(self, data: Path) -> None:
        self._key_file = data.absolute() / KEY_FILE

    def token(self, *purpose: str) -> str:
        """For a form of this purpose: the path that it is sent to, and the session in which it was shown."""
        return hmac.digest(own_key(self._key_file), json.dumps(purpose).encode(), "sha256").hex()

    def is_ours(self, token: str, *purpose: str) -> bool:
        """Whether this node gave out a form of this purpose with that token."""
        return hmac.compare_digest(token.encode(), self.token(*purpose).encode())


async def fields_of(request: Request) -> dict[str, str]:
    """The fields of a form; of several with one name the last.

    Raises
    ------
    UnsuitableBody
        If the body is no form, or too large for one, or holds what is no text.
    """
    if media_and_parameters(request.headers.get("content-type", ""))[0] != FORM:
        raise UnsuitableBody(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only the form of the page is taken")
    body = b"".join([piece async for piece in body_of(request, FORM_BYTES)])
    try:
        fields = dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FORM_FIELDS, errors="strict")
        )
    except ValueError:
        raise UnsuitableBody(HTTPStatus.BAD_REQUEST, "The body is no form of the page") from None
    if any(NUL in text for field in fields.items() for text in field):
        raise UnsuitableBody(HTTPStatus.UNPROCESSABLE_ENTITY, f"A field of the form {HAS_NUL}")
    return fields
