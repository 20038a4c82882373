"""Can those be told whom the configuration of alerts names, and of what it says?"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from dicom_sr.words import counted
from node.config.alerts import Channel, DestinationDown, EmailChannel, SyslogChannel, WebhookChannel
from node.config.check_result import CheckResult
from node.config.sections import Configuration, Destination, FolderDestination


def clear_passwords(configuration: Configuration) -> Iterator[CheckResult]:
    """Would a channel's password cross the network in clear?"""
    for name, channel in configuration.alerts.channels.items():
        if isinstance(channel, EmailChannel) and channel.security == "none" and channel.username is not None:
            sentence = "none: the password would cross the network in clear; should be starttls or tls"
            yield CheckResult(f"alerts.channels.{name}.security", "bad", sentence)


def alerts(configuration: Configuration) -> Iterator[CheckResult]:
    """Is anybody told, can they tell from whom it is, and does each message have a way that works when it matters?"""
    settings = configuration.alerts
    if settings.rules and not settings.channels:
        sentence = f"is empty: {counted(len(settings.rules), 'rule')} and nobody who is told; should name a channel"
        yield CheckResult("alerts.channels", "doubtful", sentence)
    for name, channel in settings.channels.items():
        yield from _doubts(f"alerts.channels.{name}", channel)
        told = [rule for rule, of in settings.rules_in_force.items() if name in settings.channels_of(of)]
        if told:
            rules = "the usual rules" if not settings.rules else ", ".join(told)
            yield CheckResult(f"alerts.channels.{name}", "good", f"{channel.kind}: is told of {rules}")
        else:
            yield CheckResult(
                f"alerts.channels.{name}", "doubtful", "no rule tells it; should stand in a rule's channels"
            )
    yield from _lost_ways(configuration)


def _doubts(key: str, channel: Channel) -> Iterator[CheckResult]:
    if isinstance(channel, WebhookChannel):
        if channel.format == "standard" and channel.secret_file is None:
            sentence = "is not set: the receiver cannot tell the node's alerts from others'"
            yield CheckResult(f"{key}.secret_file", "doubtful", sentence)
        if channel.token_file is not None and channel.url.startswith("http:"):
            sentence = "the token crosses the network in clear; should be https"
            yield CheckResult(f"{key}.url", "doubtful", sentence)
    if isinstance(channel, SyslogChannel) and channel.transport == "udp":
        sentence = "udp: what is lost on the way is lost, and nobody notices; tcp and tls are told where they fail"
        yield CheckResult(f"{key}.transport", "doubtful", sentence)


def _lost_ways(configuration: Configuration) -> Iterator[CheckResult]:
    """Rules whose channels all go by a destination that they watch."""
    settings = configuration.alerts
    for rule_name, rule in settings.rules_in_force.items():
        if not isinstance(rule, DestinationDown):
            continue
        for name, destination in configuration.destinations.items():
            watched = not rule.destinations or name in rule.destinations
            if (
                watched
                and settings.channels
                and all(same_server(channel, destination) for channel in settings.channels.values())
            ):
                sentence = (
                    f"every channel goes by the server of {name}: nobody is told when that is down; should "
                    "have one more of another server"
                )
                yield CheckResult("alerts.channels", "doubtful", f"rule {rule_name}: {sentence}")


def same_server(channel: Channel, destination: Destination) -> bool:
    """Whether a channel goes by the server of a destination, so that it is away when that is."""
    if isinstance(destination, FolderDestination):
        return False
    ours, theirs = _server(channel), _server(destination)
    return ours[0] is not None and ours == theirs


def _server(of: object) -> tuple[str | None, int | None]:
    url = getattr(of, "url", None)
    if url is None:
        return getattr(of, "host", None), getattr(of, "port", None)
    parts = urlsplit(url)
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
