"""Alerts, with their rules and channels."""

from __future__ import annotations

from datetime import datetime

from node.listings.listing import Listing


class AlertListing(Listing):
    """One alert."""

    rule: str
    subject: str
    node: str
    severity: str
    state: str
    since: datetime
    told: datetime | None
    ended: datetime | None
    times: int
    title: str
    sentence: str
    advice: str
    link: str


class AlertRuleListing(Listing):
    """One rule of the configuration."""

    name: str
    kind: str
    severity: str
    channels: list[str]
    silenced_until: datetime | None
    silenced_by: str


class AlertChannelListing(Listing):
    """One channel, and what it was told last."""

    name: str
    kind: str
    place: str
    last: datetime | None
    state: str
    answer: str


class AlertsListing(Listing):
    """All about alerts."""

    firing: list[AlertListing]
    past: list[AlertListing]
    rules: list[AlertRuleListing]
    channels: list[AlertChannelListing]
