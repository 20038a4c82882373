"""Channels and rules: what they may be, which are in force, and what is said of one that cannot be meant."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from node.config import AlertSettings, read
from node.config.alerts import DEFAULT_RULES, DestinationDown
from node.errors import ConfigurationError

MAIL = "{kind: email, host: h, sender: a@b, recipients: [c@d]}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "channels: {a: {kind: fax}}",
            r"alerts.channels.a.kind: 'fax': should be email \(people .*\), webhook .* or syslog",
        ),
        (
            "channels: {a: {kind: syslog, host: h, trusted: ca.pem}}",
            r"alerts.channels.a.trusted: .*is of use with transport: tls only",
        ),
        ("rules: {a: {kind: destination}}", r"alerts.rules.a.kind: 'destination': should be destination_down \(a dest"),
        ("rules: {a: {kind: disk_low}}", r"alerts.rules.a: .*should have below_mb, below_share or both"),
        ("rules: {a: {kind: queue_long}}", r"alerts.rules.a: .*should have jobs, older_than or both"),
        ("rules: {a: {kind: no_images}}", r"alerts.rules.a.after: is missing and has no default"),
        ("rules: {a: {kind: no_images, after: 2}}", r"alerts.rules.a.after: 2: should be a number with a unit"),
        ("rules: {a: {kind: result, when: {}}}", r"alerts.rules.a.when: .*should hold clauses about the result"),
        (
            f"channels: {{mail: {MAIL}}}\n  rules: {{a: {{kind: node_problem, channels: [mial]}}}}",
            r"alerts.rules.a.channels.0: 'mial': no channel is called so; there are: mail; did you mean 'mail'\?",
        ),
        (
            f"channels: {{mail: {MAIL}}}\n  digest: {{rules: [disks]}}",
            r"alerts.digest.rules.0: 'disks': no rule is called so; .*did you mean 'disk'\?",
        ),
        (
            "rules: {a: {kind: destination_down, destinations: [pacs]}}",
            r"alerts.rules.a.destinations.0: 'pacs': no destination is called so; there are: none",
        ),
        ("rules: {a: {kind: jobs_failed, routes: [knee]}}", r"alerts.rules.a.routes.0: 'knee': no route is called so"),
        ("quiet_hours: [{hours: 20}]", r"alerts.quiet_hours.0.hours: 20: should be two times of day"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_what_would_be_right(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "config.yaml").write_text(f"alerts:\n  {text}\n")
    with pytest.raises(ConfigurationError, match=told):
        read(tmp_path / "config.yaml")


def test_a_channel_that_is_wrong_is_still_there_for_the_rules_that_name_it(tmp_path: Path) -> None:
    text = "alerts:\n  channels: {mail: {kind: email}}\n  rules: {a: {kind: node_problem, channels: [mail]}}\n"
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path / "config.yaml")
    assert "no channel" not in str(error.value)


def test_a_time_that_yaml_takes_for_a_number_is_a_time(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("alerts:\n  digest: {at: 17:30}\n")
    assert read(tmp_path / "config.yaml").alerts.digest.at == 17 * 60 + 30


def settings(**more: Any) -> AlertSettings:
    return AlertSettings.model_validate(more)


def test_the_usual_rules_are_in_force_where_somebody_is_told_and_no_rule_is_given() -> None:
    channels = {"log": {"kind": "syslog", "host": "h"}, "other": {"kind": "syslog", "host": "i"}}
    assert settings().rules_in_force == {}
    usual = settings(channels=channels)
    assert usual.rules_in_force == DEFAULT_RULES
    assert usual.channels_of(DEFAULT_RULES["disk"]) == ("log", "other")
    one = {"kind": "destination_down", "after": "1h", "repeat": "off", "channels": ["log"]}
    own = settings(channels=channels, rules={"it": one})
    (rule,) = own.rules_in_force.values()
    assert isinstance(rule, DestinationDown)
    assert (rule.after, rule.repeat, own.channels_of(rule)) == (timedelta(hours=1), None, ("log",))
