"""`condyle reload` where no node runs; with one it is tried in `tests/test_operating.py`."""

from __future__ import annotations

from pathlib import Path

from tests.command_line import Condyle


def test_where_no_node_runs_that_is_told(condyle: Condyle, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("node: {data: data}\n")
    ended = condyle("reload", "--config", config)
    assert ended.returncode == 4
    assert "no node runs with it on this machine" in ended.stderr
