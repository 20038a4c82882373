"""A configuration with mistakes is read as far as it can be; each mistake is told once, whatever else is wrong."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def test_an_item_of_a_list_that_lacks_two_things_is_left_out_once(tmp_path: Path) -> None:
    route = "{when: {}, pipeline: p, destinations: [{too: out}, out]}"
    found = reading(tmp_path, f"destinations: {{out: {{kind: folder, path: p}}}}\nroutes:\n  a: {route}")
    assert found.configuration.routes["a"].destinations == ("out",)


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


# ---- whatever stands there
SOUND: dict[str, Any] = {
    "node": {"ae_title": "A", "data": "data", "database": "sqlite:////x/y.db", "uid_root": "2.25", "institution": ""},
    "peers": {"one": {"ae_title": "ONE", "networks": ["10.0.0.0/8"], "host": "h", "port": 104, "tls": {}}},
    "receive": {
        "dimse": {
            "host": "h",
            "port": 104,
            "ae_titles": ["B"],
            "tls": {"certificate": "c", "key": "k"},
            "tls_port": 2762,
        },
        "dicomweb": {"enabled": True, "token_file": "t"},
        "watched_folders": [{"path": "p", "after": "keep"}],
        "orthanc_feeds": {"one": {"url": "http://h", "username": "u", "password_file": "p"}},
        "durability": "power",
        "series_quiet_s": 1.0,
    },
    "routes": {"one": {"when": {"Modality": "MR"}, "pipeline": "p", "settings": {"a": 1}, "destinations": ["out"]}},
    "destinations": {"out": {"kind": "folder", "path": "p", "profile": {"kinds": ["report"], "synthetic_data": True}}},
    "records": {"issuers": {"a": "b"}, "mllp": {"port": 1}, "fhir": {"url": "http://h"}, "answer_destinations": []},
    "priors": {"ask": [], "studies": 1},
    "status": {"token": "0123456789abcdef", "trusted_proxies": ["127.0.0.1"]},
}
ODD: list[Any] = [
    None,
    [],
    {},
    "",
    "x",
    "*",
    1,
    -1,
    0,
    True,
    10**30,
    float("inf"),
    float("nan"),
    date(2026, 1, 1),
    ["x"],
    [None],
]
ODD += [{"a": 1}, {1: 2}, {True: 1}, {"kind": "dimse"}, "x" * 500, "\\", "\u00fc", [[["x"]]], "http://", "5s", 1.5]
JARGON = re.compile(r"pydantic|Input should|discriminator|pattern '|<unicode|instance of|NoneType|object at|is not fit")


def keys_of(values: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path to every value."""
    items: Any = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from keys_of(value, (*above, key))


@given(where=st.sampled_from(list(keys_of(SOUND))), value=st.sampled_from(ODD))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_at_a_key_is_taken_or_told_in_plain_words(
    tmp_path: Path, where: tuple[str | int, ...], value: Any
) -> None:
    values = copy.deepcopy(SOUND)
    section: Any = values
    for part in where[:-1]:
        section = section[part]
    section[where[-1]] = value
    try:
        lines = [result.sentence for result in reading(tmp_path, yaml.safe_dump(values)).results()]
    except ConfigurationError as error:
        lines = [str(error)]
    assert JARGON.search("\n".join(lines)) is None
