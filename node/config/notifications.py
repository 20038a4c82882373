"""Destinations that tell people and other systems that there is a result, by e-mail or HTTPS."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from dicom_sr.profile import PatientDetail
from node.config.profile import NOTIFICATIONS_ONLY, Profile
from node.config.values import Account, FilePath, Host, Port, Section, Tls, Url, off_text

_ADDRESS = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9._-]{1,253}")  # RFC 5321 4.1.2, without quotes; `parseaddr` agrees


def _address(text: str) -> str:
    if _ADDRESS.fullmatch(text) is None or any(sign in text for sign in '<>(),;:"[]\\'):
        raise ValueError("should be an address alone, such as radiology@example.org")
    return text


Address = Annotated[str, AfterValidator(_address)]


class Notification(Section):
    """What every destination for notifications has: what it may say of the patient, and how long it waits."""

    include: tuple[PatientDetail, ...] = ()  # of patient and study; without it a notification names neither
    page_url: Annotated[Url | Literal[""], BeforeValidator(off_text)] = ""  # of the status page; empty: no link
    timeout_s: float = Field(default=30.0, gt=0)

    confirms: ClassVar[bool] = False  # who took it has it
    withdraw: ClassVar[Literal["none"]] = "none"  # what people were told cannot be taken back

    @property
    def profile(self) -> Profile:
        """What goes there; not the site's to choose."""
        return NOTIFICATIONS_ONLY


class Mail(Account):
    """A mail server, and who gets what is sent by it."""

    host: Host
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    trusted: FilePath | None = None  # authorities of the server's certificate; None: the system's
    sender: Address
    recipients: tuple[Address, ...] = Field(min_length=1)


class EmailDestination(Notification, Mail):
    """People who are told of results by e-mail."""

    kind: Literal["email"]


class WebhookDestination(Notification):
    """A server that is told of results by HTTPS POST."""

    kind: Literal["webhook"]
    url: Url
    secret_file: FilePath | None = None  # signs what is sent
    token_file: FilePath | None = None
    tls: Tls | None = None  # a client certificate, or a CA of the site's own


def without_path(url: str) -> str:
    """The server of a webhook's address, for people: what follows may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
