"""Whether alerts can arrive, and their receivers know from whom they are."""

from __future__ import annotations

from typing import Any

from node.config import Configuration, checks
from node.config.alert_checks import alerts, clear_passwords
from node.config.check_result import CheckResult

MAIL = {"kind": "email", "host": "mail.example.org", "sender": "a@b", "recipients": ["c@d"]}
DOWN = {"kind": "destination_down"}


def found(destinations: dict[str, Any] | None = None, **settings: Any) -> dict[str, CheckResult]:
    configuration = Configuration.model_validate({"alerts": settings, "destinations": destinations or {}})
    return {one.key: one for look in (alerts, clear_passwords) for one in look(configuration)}


def test_rules_without_anybody_who_is_told() -> None:
    one = found(rules={"it": DOWN})["alerts.channels"]
    assert (one.state, "nobody who is told" in one.sentence) == ("doubtful", True)
    assert found() == {}


def test_a_channel_that_no_rule_tells() -> None:
    channels = {"mail": MAIL, "other": {**MAIL, "host": "other"}}
    results = found(channels=channels, rules={"it": {**DOWN, "channels": ["mail"]}})
    assert results["alerts.channels.mail"].sentence == "email: is told of it"
    assert results["alerts.channels.other"].state == "doubtful"
    assert found(channels=channels)["alerts.channels.mail"].sentence == "email: is told of the usual rules"


def test_what_others_could_read_or_write(tmp_path: Any) -> None:
    (tmp_path / "word").write_text("x")
    file = str(tmp_path / "word")
    channels = {
        "mail": {**MAIL, "security": "none", "username": "u", "password_file": file},
        "hook": {"kind": "webhook", "url": "http://h/", "token_file": file},
        "chat": {"kind": "webhook", "url": "https://h/", "format": "text"},
        "log": {"kind": "syslog", "host": "h"},
    }
    results = found(channels=channels)
    assert results["alerts.channels.mail.security"].state == "bad"
    assert results["alerts.channels.hook.secret_file"].state == "doubtful"
    assert results["alerts.channels.hook.url"].state == "doubtful"
    assert results["alerts.channels.log.transport"].state == "doubtful"
    assert not any(key.startswith("alerts.channels.chat.") for key in results)


def test_an_alert_about_a_destination_has_another_way() -> None:
    mail = {**MAIL, "port": 587, "kind": "email"}
    destinations = {"people": mail}
    alone = found(destinations, channels={"mail": MAIL}, rules={"it": DOWN})["alerts.channels"]
    assert "every channel goes by the server of people" in alone.sentence
    both = {"mail": MAIL, "log": {"kind": "syslog", "host": "h", "transport": "tcp"}}
    assert "alerts.channels" not in found(destinations, channels=both, rules={"it": DOWN})
    assert "alerts.channels" not in found(destinations, channels={"mail": MAIL}, rules={"it": {"kind": "node_problem"}})


def test_a_secret_that_is_not_there_is_named(tmp_path: Any) -> None:
    channel = {"kind": "webhook", "url": "https://h/", "secret_file": str(tmp_path / "none")}
    configuration = Configuration.model_validate({"alerts": {"channels": {"chat": channel}}})
    wrong = [one.key for one in checks.files(configuration) if one.state == "bad"]
    assert wrong == ["alerts.channels.chat.secret_file"]
