"""Destinations for notifications: addresses, accounts, and what is shown of a webhook's address."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from node.config.notifications import EmailDestination, without_path

MAIL: dict[str, Any] = {"kind": "email", "host": "h", "sender": "a@example.org", "recipients": ["b@example.org"]}


@pytest.mark.parametrize("text", ["a", "a b@c", "a@b\nBcc: c@d", "<a@b>", "A <a@b>", "a@b,c@d", "a@", "é@b"])
def test_what_is_no_address_is_told_so(text: str) -> None:
    with pytest.raises(ValidationError, match="should be an address alone"):
        EmailDestination.model_validate({**MAIL, "recipients": [text]})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"username": "u"}, "username: needs password_file beside it"),
        ({"recipients": []}, "at least 1"),
        ({"include": ["birth_date"]}, "Input should be 'accession_number'"),
    ],
)
def test_half_an_account_and_unknown_details_are_told(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        EmailDestination.model_validate({**MAIL, **more})


def test_of_a_webhook_only_the_server_is_shown() -> None:
    assert without_path("https://user:word@hooks.example.org:8443/T0/secret?key=1") == "https://hooks.example.org:8443"
