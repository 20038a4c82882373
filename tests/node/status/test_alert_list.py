"""The page's part on alerts, as a browser gets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader

from dicom_sr.words import counted
from node.database.connection import Database, open_database
from node.database.migrations import migrate
from node.status import alert_list, page
from tests.node.alerts.watching import MINUTE, Watching, configuration
from tests.node.on_demand.told import Told


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


def shown(watch: Watching) -> str:
    found = alert_list.alerts_on_page(watch.settings, watch.database, watch.clock())
    environment = Environment(
        loader=FileSystemLoader(Path(page.__file__).parent / "templates"), autoescape=True, finalize=page._finalized
    )
    environment.filters |= {"clock": page.clock, "words": page.words, "seconds": page.seconds, "bytes": page.size}
    environment.filters |= {"tail": page.tail, "counted": counted, "called": page.called}
    made: Any = environment.get_template("alerts.html").render(alerts=found, now=watch.clock())
    return " ".join(str(made).split())


def test_what_is_wrong_is_shown_with_what_to_do_and_then_as_over(database: Database, tmp_path: Path) -> None:
    with Told() as told:
        channels = {"chat": {"kind": "webhook", "url": told.url}}
        rules = {"it": {"kind": "destination_down", "after": "0s", "calm": "0s"}}
        watch = Watching(database, configuration(tmp_path, channels=channels, rules=rules))
        assert "Nothing is wrong that a rule asks for." in shown(watch)
        watch.fail_to_send()
        watch.round(MINUTE)
        text = shown(watch)
        assert '<a href="/#destinations">destination pacs is down</a>' in text
        assert "condyle check --online asks it" in text
        assert '<span class="badge sent">sent</span>' in text
        watch.send_at_last()
        watch.round(MINUTE)
        text = shown(watch)
    assert "Nothing is wrong that a rule asks for." in text
    assert "<h3>Over</h3>" in text


def test_a_node_that_tells_nobody_says_so(database: Database, tmp_path: Path) -> None:
    text = shown(Watching(database, configuration(tmp_path)))
    assert "Nobody is told of anything" in text
    assert "<table" not in text
