"""Servers that are told of the end of what POST /run asked for, and what of their addresses a request may name."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from node.config.values import FilePath, Section, Tls, Url


def _prefix(url: str) -> str:
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("should be an address without a user name, ? and #; a request may add to its path")
    return url


class CallbackReceiver(Section):
    """A server that requests may have told of their end."""

    url: Annotated[Url, AfterValidator(_prefix)]  # requests may name it, and what lies below it
    secret_file: FilePath | None = None  # signs what is sent
    token_file: FilePath | None = None
    tls: Tls | None = None  # a client certificate, or a CA of the site's own
    timeout_s: float = Field(default=10.0, gt=0)
