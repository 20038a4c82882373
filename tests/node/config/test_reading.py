"""A configuration with mistakes is read as far as it can be; each mistake is told once, whatever else is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.check_result import CheckResult
from node.config.reading import Reading, read_leniently
from node.errors import ConfigurationError


def reading(folder: Path, text: str) -> Reading:
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    return read_leniently(folder / "config.yaml")


def keys(found: Reading) -> list[str]:
    return [result.key for result in found.results()]


def test_what_is_right_stays_and_what_is_wrong_is_left_out(tmp_path: Path) -> None:
    found = reading(tmp_path, "node:\n  ae_title: 4711\n  institution: here\nrun: {workers: 0, keep_jobs_days: 3}\n")
    assert (found.configuration.node.institution, found.configuration.run.keep_jobs_days) == ("here", 3)
    assert keys(found) == ["node.ae_title", "run.workers"]
    assert found.follows(CheckResult("run.workers", "bad", "one of the default"))
    assert not found.follows(CheckResult("run.workers_of_others", "bad", "another one"))
    assert found.follows(CheckResult("node", "doubtful", "has nothing left"))
    assert not found.follows(CheckResult("receive", "doubtful", "has nothing in it"))


def test_a_destination_that_is_wrong_is_still_there_for_those_who_name_it(tmp_path: Path) -> None:
    text = "routes:\n  a: {when: {}, pipeline: p, destinations: [out, gone]}\ndestinations:\n  out: {kind: folder}\n"
    found = reading(tmp_path, text)
    assert keys(found) == ["destinations.out.path", "routes.a.destinations.1"]
    assert found.configuration.routes["a"].destinations == ()


def test_one_bad_item_does_not_hide_another_or_the_list(tmp_path: Path) -> None:
    found = reading(tmp_path, "peers:\n  a: {ae_title: A, networks: [x, 10.0.0.0/8, y]}\n")
    assert keys(found) == ["peers.a.networks.0", "peers.a.networks.2"]
    assert [str(network) for network in found.configuration.peers["a"].networks] == ["10.0.0.0/8"]


def test_what_lacks_something_is_left_out_whole(tmp_path: Path) -> None:
    found = reading(tmp_path, "destinations:\n  pacs: {kind: dimse, host: h}\n  out: {kind: folder, path: out}\n")
    assert keys(found) == ["destinations.pacs.ae_title"]
    assert list(found.configuration.destinations) == ["out"]
    assert found.follows(CheckResult("destinations.pacs.port", "bad", "of what was left out"))


@pytest.mark.parametrize("text", ["1", "- a", "text", "[]"])
def test_a_file_without_sections_is_told_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="holds no sections"):
        reading(tmp_path, text)


def test_a_value_is_told_as_it_stands_there_and_a_token_is_not(tmp_path: Path) -> None:
    found = reading(tmp_path, "status: {port: 0x1FFFF, token: geheim}\nnode: {database: 'mysql://u:geheim@h/x'}\n")
    lines = "\n".join(result.sentence for result in found.results())
    assert "0x1FFFF: should be a whole number" in lines
    assert "geheim" not in lines
