"""While the database is away the channels of rules about the node are told, once each, and once that it is back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node.alerts.messages import Origin
from node.alerts.without_database import WithoutDatabase
from tests.node.alerts.watching import MINUTE, configuration
from tests.node.on_demand.told import Told
from tests.node.send.outgoing import HandClock


def telling(folder: Path, clock: HandClock, told: Told, **rule: Any) -> WithoutDatabase:
    channels = {name: {"kind": "webhook", "url": f"{told.url}/{name}"} for name in ("chat", "other")}
    rules = {"node": {"kind": "node_problem", "channels": ["chat"], **rule}, "it": {"kind": "destination_down"}}
    return WithoutDatabase(configuration(folder, channels=channels, rules=rules), Origin("KNEES"), clock)


def heads(told: Told) -> list[tuple[str, str]]:
    return [(alert["event"], alert["title"]) for post in told.posts for alert in post.content["data"]["alerts"]]


def test_it_is_told_once_when_it_lasts_and_once_when_it_is_over(tmp_path: Path) -> None:
    clock = HandClock()
    with Told() as told:
        without = telling(tmp_path, clock, told, after="5m")
        for _ in range(10):
            without.is_away("OperationalError")
            clock.wait(MINUTE)
        assert heads(told) == [("begun", "the database is away")]
        for _ in range(3):
            without.is_back()
            clock.wait(MINUTE)
        assert heads(told) == [("begun", "the database is away"), ("over", "the database is away")]
        (over,) = told.posts[1].content["data"]["alerts"]
        assert (over["since"], over["ended"]) == ("2026-01-02T03:04:05+00:00", "2026-01-02T03:14:05+00:00")
        assert {post.path for post in told.posts} == {"/hook/chat"}


def test_an_absence_that_is_short_is_told_to_nobody(tmp_path: Path) -> None:
    clock = HandClock()
    with Told() as told:
        without = telling(tmp_path, clock, told, after="5m")
        for _ in range(4):
            without.is_away("OperationalError")
            clock.wait(MINUTE)
        without.is_back()
        assert told.posts == []


def test_a_channel_that_is_away_is_tried_again_under_the_same_id(tmp_path: Path) -> None:
    clock = HandClock()
    with Told(503) as told:
        without = telling(tmp_path, clock, told, after="0s")
        without.is_away("OperationalError")
        without.is_away("OperationalError")  # not again at once
        assert len(told.posts) == 1
        clock.wait(20)
        without.is_away("OperationalError")
        first, second = told.posts
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        clock.wait(MINUTE)
        without.is_away("OperationalError")
        assert len(told.posts) == 2


def test_who_was_never_told_is_not_told_that_it_is_over(tmp_path: Path) -> None:
    clock = HandClock()
    with Told(503, 503) as told:
        without = telling(tmp_path, clock, told, after="0s")
        without.is_away("OperationalError")
        clock.wait(5)
        without.is_back()
        assert len(told.posts) == 1
