"""`config.yaml` as frozen types, and what is wrong with one.

Tests: `mistakes`, `certificates`, `profile` and `check_result` are tested together, on whole configurations, in
tests/node/commands/test_check.py.
"""

from node.config.alerts import AlertSettings, EmailChannel, SyslogChannel, WebhookChannel
from node.config.callbacks import CallbackReceiver
from node.config.notifications import EmailDestination, Notification, WebhookDestination
from node.config.profile import Profile
from node.config.reading import read
from node.config.sections import (
    ConditionalDestination,
    Configuration,
    Destination,
    DicomWebDestination,
    DicomWebSettings,
    DimseDestination,
    DimseSettings,
    FhirDestination,
    FhirServer,
    FolderDestination,
    HistorySettings,
    Hl7Destination,
    MllpSettings,
    NodeSettings,
    OrthancFeed,
    Peer,
    PriorSettings,
    ReceiveSettings,
    RecordSettings,
    RejectionNoteSettings,
    Route,
    RunRequestSettings,
    RunSettings,
    StatusSettings,
    TokenSection,
    VerdictSettings,
    WatchedFolder,
)
from node.config.telemetry import TelemetrySettings
from node.config.values import AETitle, FilePath, Name, Network, Port, Section, Tls

__all__ = [
    "AETitle",
    "AlertSettings",
    "CallbackReceiver",
    "ConditionalDestination",
    "Configuration",
    "Destination",
    "DicomWebDestination",
    "DicomWebSettings",
    "DimseDestination",
    "DimseSettings",
    "EmailChannel",
    "EmailDestination",
    "FhirDestination",
    "FhirServer",
    "FilePath",
    "FolderDestination",
    "HistorySettings",
    "Hl7Destination",
    "MllpSettings",
    "Name",
    "Network",
    "NodeSettings",
    "Notification",
    "OrthancFeed",
    "Peer",
    "Port",
    "PriorSettings",
    "Profile",
    "ReceiveSettings",
    "RecordSettings",
    "RejectionNoteSettings",
    "Route",
    "RunRequestSettings",
    "RunSettings",
    "Section",
    "StatusSettings",
    "SyslogChannel",
    "TelemetrySettings",
    "Tls",
    "TokenSection",
    "VerdictSettings",
    "WatchedFolder",
    "WebhookChannel",
    "WebhookDestination",
    "read",
]
