"""Who gives a command."""

from __future__ import annotations

import getpass
import os

import pytest

from node.commands.operator import operator


def test_the_operator_is_the_account_or_its_number_where_it_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert operator() == getpass.getuser()

    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert operator() == str(os.getuid())
