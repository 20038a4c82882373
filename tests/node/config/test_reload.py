"""Every key of the configuration is classed: in force at a reload, or at the next start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from node.config import Configuration
from node.config.reload import LIVE, RESTART, changes, merged, waits


def keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every key, with the sections below it; what is below a table's key is classed with that."""
    for name, field in model.model_fields.items():
        key = f"{above}{name}"
        yield key
        for inner in sections(field.annotation):
            yield from keys(inner, f"{key}.")


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not dict:  # what is below names is classed with the whole
        for inner in get_args(annotation):
            yield from sections(inner)


KEYS = list(keys(Configuration))


def test_every_key_is_classed() -> None:
    above = {key.rpartition(".")[0] for key in KEYS}
    assert [key for key in KEYS if waits(key) is None and key not in above] == []


def test_no_key_is_classed_twice_and_none_that_is_not_there() -> None:
    assert not LIVE.keys() & RESTART.keys()
    assert {*LIVE, *RESTART} <= set(KEYS)
    inside = [key for key in (*LIVE, *RESTART) if any(key.startswith(f"{other}.") for other in (*LIVE, *RESTART))]
    assert inside == []


def configured(**sections: Any) -> Configuration:
    return Configuration.model_validate(sections)


BEFORE = configured(
    node={"data": "/a"},
    peers={"ct": {"ae_title": "CT"}},
    destinations={"pacs": {"kind": "dimse", "ae_title": "PACS", "host": "pacs"}},
)


def test_a_change_is_named_by_its_key_with_what_becomes_of_it() -> None:
    after = configured(
        node={"data": "/b"},
        peers={"ct": {"ae_title": "CT"}, "mr": {"ae_title": "MR"}},
        destinations={"pacs": {"kind": "dimse", "ae_title": "PACS", "host": "pacs", "port": 11112}},
    )
    found = changes(BEFORE, after)
    assert [(change.key, bool(change.waits)) for change in found] == [
        ("node.data", True),
        ("peers.mr", False),
        ("destinations.pacs.port", False),
    ]
    assert found[0].sentence.startswith("node.data: needs a restart: ")
    assert found[1].sentence == "peers.mr: in force"


def test_nothing_changes_where_nothing_is_another() -> None:
    assert changes(BEFORE, BEFORE.model_copy(deep=True)) == []


def test_a_destination_of_another_kind_is_one_change() -> None:
    after = configured(
        node={"data": "/a"}, peers={"ct": {"ae_title": "CT"}}, destinations={"pacs": {"kind": "folder", "path": "/o"}}
    )
    assert [change.key for change in changes(BEFORE, after)] == ["destinations.pacs"]


def test_what_waits_for_a_restart_stays_as_it_is_in_what_is_worked_by() -> None:
    after = configured(
        node={"data": "/b"},
        receive={"dimse": {"port": 104, "require_known_peer": False}, "series_quiet_s": 5},
        status={"port": 1, "allowed_hosts": ["node.example"]},
    )
    found = merged(BEFORE, after)
    assert str(found.node.data) == "/a"
    assert (found.receive.dimse.port, found.receive.dimse.require_known_peer) == (11112, False)
    assert (found.status.port, found.status.allowed_hosts) == (8090, ("node.example",))
    assert found.receive.series_quiet_s == 5
    assert found.peers == {}
    assert {change.key for change in changes(found, after)} == {"node.data", "receive.dimse.port", "status.port"}


@pytest.mark.parametrize(
    "key", ["routes.knee.when", "peers.ct", "history.events_days", "run_requests.callbacks.ris.url"]
)
def test_a_key_below_a_classed_one_is_classed_with_it(key: str) -> None:
    assert waits(key) == ""


def test_a_key_that_no_table_knows_is_told() -> None:
    assert waits("nothing.of_this_name") is None


def test_the_page_for_operators_has_both_tables() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")
    live, _, restart = page.partition("These need a restart:")
    live = live.partition("These count at once:")[2]
    assert re.findall(r"`([a-z_.]+)`", live) == list(LIVE)
    assert set(re.findall(r"`([a-z_.]+)`", restart.partition("###")[0])) == set(RESTART)
