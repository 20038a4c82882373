from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from node.actions.configuration import read_fit
from node.errors import ConfigurationError

FIT = "node: {data: data}\ndestinations:\n  out: {kind: folder, path: out}\n"


def test_what_is_fit_is_read_with_the_digest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(FIT)
    found = read_fit(path)
    assert found.configuration.node.data == tmp_path / "data"
    assert found.digest == hashlib.sha256(FIT.encode()).hexdigest()


def test_what_a_route_cannot_do_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"{FIT}routes:\n  knee:\n    when: {{}}\n    pipeline: nothing_of_this_name\n    destinations: [out]\n"
    )
    with pytest.raises(ConfigurationError, match=r"config.yaml:7: routes\.knee\.pipeline"):
        read_fit(path)


def test_every_mistake_of_the_file_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{FIT}status: {{port: x}}\npears: {{}}\n")
    with pytest.raises(ConfigurationError) as told:
        read_fit(path)
    assert len(str(told.value).split("\n")) == 2
