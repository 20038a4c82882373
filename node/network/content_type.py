"""The Content-Type of a body, of a part of one, or of an answer, as the other side writes it."""

from __future__ import annotations

from email.message import Message
from email.utils import collapse_rfc2231_value, decode_rfc2231
from urllib.parse import unquote


def media_and_parameters(content_type: str) -> tuple[str, dict[str, str]]:
    """The media type in lower case and its parameters by their names in lower case, continued and encoded ones too.

    ``text/plain`` where it is none, and no parameters where they cannot be read (RFC 2045 5.1, RFC 2231).
    """
    message = Message()
    message["content-type"] = " ".join(content_type.split())  # a header of several lines is one
    try:
        pairs = message.get_params(failobj=[])[1:]
        return message.get_content_type(), dict(_decoded(name.lower(), value) for name, value in pairs)
    except (ValueError, TypeError):  # a part without a number among those that have one, a name of no character set
        return message.get_content_type(), {}


def _decoded(name: str, value: str | tuple[str, str, str]) -> tuple[str, str]:
    if isinstance(value, str) and name.endswith("*"):  # `email` leaves encoded ones as they are that have a hyphen
        charset, language, text = decode_rfc2231(value)
        value = (charset or "", language or "", unquote(text, "latin-1"))
    return name.removesuffix("*"), collapse_rfc2231_value(value) if isinstance(value, tuple) else value
