"""YAML with the line of every key."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.yaml_file import YamlFile, plain_text, plain_value
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
    assert file.line("node.ae_title") == 2
    assert file.line("peers.one.networks.1") == 7
    assert file.line("peers.one.host") == 4  # not there: the line of the nearest part that is
    assert file.line("status") is None


def test_a_key_with_dots_has_its_line(tmp_path: Path) -> None:
    file = YamlFile(written(tmp_path, "when:\n  series.slices: {min: 4}\n  series: 1\n"))
    assert file.line("when.series.slices.min") == 2
    assert file.line("when.series") == 3


def test_a_value_is_shown_as_it_stands_there_and_a_password_is_not(tmp_path: Path) -> None:
    file = YamlFile(written(tmp_path, "a: 0x10\nb: FALSE\nc: 'no'\nd: x://me:secret@host/\ne: [1]\nf:\ng: ''\n"))
    shown = [file.shown(key) for key in ("a", "b", "c", "d", "e", "e.0", "f", "g", "h")]
    assert shown == ["0x10", "FALSE", "'no'", "'x://me:***@host/'", None, "1", None, "''", None]


def test_only_true_and_false_are_truth_values_and_other_words_are_texts(tmp_path: Path) -> None:
    file = YamlFile(written(tmp_path, "a: [yes, no, on, off, Off, NO, y, n, auto]\nb: [true, False]\non: 1\nc: [~, 7]"))
    assert file.values["a"] == ["yes", "no", "on", "off", "Off", "NO", "y", "n", "auto"]
    assert (file.values["b"], file.values["on"], file.values["c"]) == ([True, False], 1, [None, 7])
    assert file.shown("a.3") == "'off'"


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa: 1\nb: 2\n", b"a: 1\r\nb: 2\r\n", b"a: 1\rb: 2\r", b"a: 1\nb: 2"])
def test_a_byte_order_mark_and_other_line_ends_are_no_mistakes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    assert (YamlFile(path).values, YamlFile(path).line("b")) == ({"a": 1, "b": 2}, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run:\n  workers: 1\nstatus: {}\nrun: {}\n", r"config.yaml:4: run: .*line 1"),
        ("run:\n  workers: 1\n  workers: 2\n", r"config.yaml:3: run.workers: .*line 2"),
        ("run: {}\nrun: {}\nstatus: {port: 1, port: 2}\n", r"config.yaml:2: run: (.|\n)*config.yaml:3: status.port: "),
        ("run:\n  workers: [1\nstatus: {}", r"config.yaml:2: workers: \[1: the bracket \[ is not closed"),
        ("run:\n\tworkers: 1", r"config.yaml:2: workers: 1: has a tab; YAML takes spaces only"),
        ("run:\n  workers:\t1", r"config.yaml:2: workers: 1: has a tab"),
        ("run:\n  workers: 1\t\n", r"config.yaml:2: workers: 1: has a tab"),
        ("run:\n  workers: 1\n    keep_jobs_days: 3", r"config.yaml:3: keep_jobs_days: 3: the indentation or a colon"),
        ("run:\n    workers: 1\n  keep_jobs_days: 3", r"config.yaml:3: keep_jobs_days: 3: the indentation or a colon"),
        ("run:\n  workers\n  keep_jobs_days: 3", r"config.yaml:3: keep_jobs_days: 3: the indentation"),
        ("when:\n  SeriesDescription: *sag*", r"config.yaml:2: SeriesDescription: \*sag\*: .* should be in quotes"),
        ("node:\n  institution: 'it''s\nrun: {}", r"config.yaml:2: institution: 'it''s: the quote is not closed"),
        ("a: @x", r"config.yaml:1: a: @x: a text that begins with such a sign should be in quotes"),
        ("a: !secret x", r"config.yaml:1: a: !secret x: a text that begins with ! should be in quotes"),
        ("a: 1\n---\nb: 2", r"config.yaml:2: ---: begins a second document"),
        ("a: \x07", r"config.yaml:1: a: .*: has a character that cannot be seen"),
        ("a: &a [*a]", r"config.yaml: holds an alias"),
        ("a: 2026-13-40", r"config.yaml: holds no date that there is"),
        ("", r"config.yaml: is empty; should hold the configuration"),
        ("# nothing yet\n", r"config.yaml: is empty"),
        ("a:\n  token: x: y", r"config.yaml:2: token: \*\*\*: the indentation or a colon"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        YamlFile(written(tmp_path, text))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"node:\n  institution: Universit\xe4tsklinikum")
    with pytest.raises(ConfigurationError, match=r"config.yaml:2: is not UTF-8 text: it has the byte 0xE4; save"):
        YamlFile(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("MR", "MR"),
        (" *knee* ", "*knee*"),
        ("3.5", 3.5),
        ("'3.5'", "3.5"),
        ("true", True),
        ("no", "no"),
        ("{min: 4}", {"min": 4}),
        ("[KNEE, 'LEG*']", ["KNEE", "LEG*"]),
        ("a: b", "a: b"),
        ("", ""),
        ("T2 [fat sat]", "T2 [fat sat]"),
        ("~", "~"),
    ],
)
def test_a_text_of_a_form_means_what_it_looks_like_and_is_shown_so_again(text: str, value: object) -> None:
    assert plain_value(text) == value
    assert plain_value(plain_text(value)) == value


@pytest.mark.parametrize("text", ["{min: 4", "[KNEE", "'MR"])
def test_a_text_of_a_form_that_begins_a_list_and_does_not_end_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not complete"):
        plain_value(text)
