"""What the tests of every pipeline share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Refused = Callable[[Callable[[list[str]], int], Sequence[str]], str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Call a command whose options cannot be used, in a folder that holds one file; returns what it says."""
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)

    def call(main: Callable[[list[str]], int], options: Sequence[str]) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(options))
        assert ended.value.code == 2
        return capsys.readouterr().err

    return call
