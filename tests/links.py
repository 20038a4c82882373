"""A file system that gives a file one name only, as exFAT and some network shares."""

from __future__ import annotations

import os

import pytest


def without_links(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Have every hard link fail with that error of the system."""

    def link(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", link)
