"""Which addresses a request may name: those of the configuration and below, however they are written, and no other."""

from __future__ import annotations

import pytest

from node.config import CallbackReceiver
from node.on_demand.callback_receivers import receiver_of
from node.route.by_hand import UnknownName

RECEIVERS = {
    "ris": CallbackReceiver(url="https://ris.example.org/condyle/"),
    "slow": CallbackReceiver(url="https://ris.example.org/condyle/slow"),
    "here": CallbackReceiver(url="http://127.0.0.1:8000"),
}


@pytest.mark.parametrize(
    ("url", "name", "asked"),
    [
        ("https://ris.example.org/condyle", "ris", "https://ris.example.org/condyle"),
        ("https://RIS.example.org:443/condyle/7?a=/../b", "ris", "https://ris.example.org/condyle/7?a=/../b"),
        ("https://ris.example.org/condyle/a/../b", "ris", "https://ris.example.org/condyle/b"),
        ("https://ris.example.org/condyle/slow/7", "slow", "https://ris.example.org/condyle/slow/7"),
        ("https://ris.example.org/condyle/slower", "ris", "https://ris.example.org/condyle/slower"),
        ("http://127.0.0.1:8000/any/%C3%A4", "here", "http://127.0.0.1:8000/any/%C3%A4"),
    ],
)
def test_an_address_at_or_below_a_receivers_is_taken(url: str, name: str, asked: str) -> None:
    assert receiver_of(url, RECEIVERS) == (name, asked)


@pytest.mark.parametrize(
    "url",
    [
        "https://ris.example.org/condyles",
        "https://ris.example.org/",
        "https://ris.example.org/condyle/../admin",
        "https://ris.example.org/condyle/%2e%2e/admin",
        "https://ris.example.org/condyle/%2E%2E%2Fadmin",
        "https://ris.example.org/condyle/%252e%252e/admin",
        "https://ris.example.org/condyle/..;/admin",
        "https://ris.example.org/condyle/..\\admin",
        "https://ris.example.org/condyle/a%0d%0ab",
        "https://ris.example.org/condyle/#x",
        "https://me@ris.example.org/condyle/",
        "https://ris.example.org\\@evil.example.org/condyle/",
        "https://ris.example.org@evil.example.org/condyle/",
        "https://ris.example.org.evil.example.org/condyle/",
        "https://ris.example.org:444/condyle/",
        "http://ris.example.org/condyle/",
        "http://ris.example.org:443/condyle/",
        "http://127.0.0.1/",
        "http://127.0.0.1:8001/",
        "http://localhost:8000/",
        "http://[::ffff:127.0.0.1]:8000/",
        "http://169.254.169.254/latest/meta-data/",
        "https://ris.example.org:99999/condyle/",
        "https://[ris.example.org/condyle/",
    ],
)
def test_any_other_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UnknownName) as told:
        receiver_of(url, RECEIVERS)
    assert (
        str(told.value) == "callback: is at or below no address of run_requests.callbacks; there are: ris, slow, here"
    )


def test_where_there_are_no_receivers_none_can_be_named() -> None:
    with pytest.raises(UnknownName, match="there are: none"):
        receiver_of("https://ris.example.org/", {})
