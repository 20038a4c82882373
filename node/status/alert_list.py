"""What the page shows of alerts: what is wrong now and was, the rules and the channels."""

from __future__ import annotations

from datetime import datetime

from node.alerts.operations import AlertList, list_alerts
from node.config import Configuration
from node.database.connection import Database

PAST_SHOWN = 50


def alerts_on_page(configuration: Configuration, database: Database, now: datetime) -> AlertList:
    """What ``alerts.html`` shows, as its variable `alerts`."""
    return list_alerts(configuration, database, now, PAST_SHOWN)
