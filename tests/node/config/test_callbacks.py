"""Receivers of callbacks: what their address may be, and what `condyle check` says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from node.config import CallbackReceiver, Configuration, checks


@pytest.mark.parametrize("url", ["https://me:word@h/x", "https://h/x?key=1", "https://h/x#y", "ftp://h/x", "h/x"])
def test_an_address_that_others_cannot_lie_below_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        CallbackReceiver(url=url)


def test_what_is_not_signed_crosses_in_clear_or_is_of_no_use_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken")
    receiver = {"url": "http://h/x", "token_file": str(tmp_path / "token")}
    configuration = Configuration.model_validate({"run_requests": {"callbacks": {"ris": receiver}}})
    found = [result for look in (checks.files, checks.callbacks) for result in look(configuration)]
    assert [(result.key, result.state) for result in found] == [
        ("run_requests.callbacks.ris.token_file", "good"),
        ("run_requests.callbacks.ris.secret_file", "doubtful"),
        ("run_requests.callbacks.ris.url", "doubtful"),
        ("run_requests.enabled", "doubtful"),
    ]
