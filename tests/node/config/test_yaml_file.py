"""YAML with the line of every key."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.yaml_file import YamlFile
from node.errors import ConfigurationError


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_are_plain_and_every_key_has_its_line(tmp_path: Path) -> None:
    file = YamlFile(
        written(tmp_path, "node:\n  ae_title: A\npeers:\n  one:\n    networks:\n      - 10.0.0.0/8\n      - x\n")
    )
    assert file.values["peers"]["one"]["networks"] == ["10.0.0.0/8", "x"]
    assert file.line(("node", "ae_title")) == 2
    assert file.line(("peers", "one", "networks", 1)) == 7
    assert file.line(("peers", "one", "host")) == 4  # not there: the line of the nearest part that is
    assert file.line(("status",)) is None


def test_an_empty_file_has_no_values(tmp_path: Path) -> None:
    assert YamlFile(written(tmp_path, "# nothing yet\n")).values == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run:\n  workers: 1\nstatus: {}\nrun: {}\n", r"config.yaml:4: run: .*line 1"),
        ("run:\n  workers: 1\n  workers: 2\n", r"config.yaml:3: run.workers: .*line 2"),
        ("run: [", r"config.yaml: is not YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        YamlFile(written(tmp_path, text))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"node: \xff\xfe")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        YamlFile(path)
