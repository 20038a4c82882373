"""Results of a kind: each is told once, with what the rule lets it say, and nothing that ended before the rule."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from node.alerts import results
from node.database import alerts
from node.database.connection import Database, open_database
from node.database.migrations import migrate
from node.run.job_folder import SUMMARY
from tests.node.alerts.watching import DAY, HOUR, MINUTE, Watching, configuration

CHANNELS = {"log": {"kind": "syslog", "host": "127.0.0.1", "port": 9}}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


def watching(database: Database, folder: Path, **rule: Any) -> Watching:
    made = {"kind": "result", "when": {"finding.CLS-RA": {"present": True}}, **rule}
    watch = Watching(database, configuration(folder, channels=CHANNELS, rules={"it": made}))
    watch.alerts.look()
    return watch


def summary(folder: Path, job_id: str, code: str) -> None:
    made = {"findings": {"1": {"finding": f"99MSKAI:{code}", "measurements": {}, "evaluations": {}}}, "names": {}}
    path = folder / "jobs" / job_id / SUMMARY
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(made))


def told(watch: Watching) -> list[str]:
    return [str(row.content["sentence"]) for row in watch.notices()]


def test_a_finding_is_told_while_its_result_is_being_sent_and_not_again(database: Database, tmp_path: Path) -> None:
    watch = watching(database, tmp_path)
    watch.clock.wait(MINUTE)
    one, other = watch.job("a", "sending"), watch.job("b", "sending")
    summary(tmp_path, one, "CLS-RA")
    summary(tmp_path, other, "CLS-PSA")
    for state in ("sending", "done"):
        watch.job("a", state)
        for _ in range(3):
            watch.alerts.look()
            watch.clock.wait(MINUTE)
    assert told(watch) == ["Job aaaaaaaa of route knee ended as done: finding.CLS-RA: found CLS-RA, expected present."]
    (row,) = watch.rows()
    assert (row.state, row.title, row.link) == ("over", "trial has a result", f"/jobs/{one}")


def test_the_study_is_named_where_the_rule_says_so(database: Database, tmp_path: Path) -> None:
    watch = watching(database, tmp_path, when={"state": "failed"}, include=["study_instance_uid"])
    watch.job("a", "failed", study_instance_uid="1.2.840.5.6.7", reason="1.2.840.9.9.9 is odd")
    watch.alerts.look()
    (sentence,) = told(watch)
    assert sentence.endswith("expected failed. It was said: (UID) is odd Study 1.2.840.5.6.7.")


def test_only_jobs_of_the_routes_and_pipelines_are_looked_at(database: Database, tmp_path: Path) -> None:
    watch = watching(database, tmp_path, when={"state": "failed"}, pipelines=["hands"])
    watch.job("a", "failed")
    watch.job("b", "failed", pipeline="hands")
    watch.job("c", "failed", pipeline="hands", shadow=True)
    watch.alerts.look()
    assert [row.job_id for row in watch.rows()] == ["b" * 32]


def test_what_ended_before_the_rule_or_long_ago_is_no_news(database: Database, tmp_path: Path) -> None:
    early = Watching(database, configuration(tmp_path))
    early.job("a", "failed", updated=early.clock() - timedelta(minutes=30))
    watch = watching(database, tmp_path, when={"state": "failed"})
    watch.clock.wait(HOUR)
    watch.alerts.look()
    assert told(watch) == []
    watch.job("b", "failed")
    watch.clock.wait(3 * DAY)  # the node was away
    watch.job("c", "failed", updated=watch.clock() - timedelta(hours=1))
    watch.restart()
    watch.alerts.look()
    assert [row.job_id for row in watch.rows()] == ["c" * 32]


def test_more_jobs_than_a_page_are_told_each_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "PAGE", 2)
    watch = watching(database, tmp_path, when={"state": "failed"})
    for name in "abcde":
        watch.job(name, "failed")
    watch.alerts.look()
    watch.alerts.look()
    assert sorted(str(row.job_id)[0] for row in watch.rows()) == list("abcde")


def test_what_happens_while_the_rule_is_silenced_is_listed_and_told_to_nobody(
    database: Database, tmp_path: Path
) -> None:
    watch = watching(database, tmp_path, when={"state": "failed"})
    with Session(database) as session, session.begin():
        alerts.silence(session, "it", watch.clock() + timedelta(hours=1), "anna", watch.clock())
    watch.job("a", "failed")
    watch.alerts.look()
    watch.clock.wait(2 * HOUR)
    watch.alerts.look()
    assert (len(watch.rows()), told(watch)) == (1, [])
