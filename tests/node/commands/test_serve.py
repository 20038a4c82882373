from __future__ import annotations

from pathlib import Path

import pytest

from node.commands.exit_codes import USAGE
from node.commands.serve import serve


def test_a_level_of_the_log_that_there_is_not_is_answered_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve(tmp_path / "config.yaml", None, "nonsense") == USAGE
    assert capsys.readouterr().err == "--log-level: 'nonsense': should be one of debug, info, warning, error\n"
