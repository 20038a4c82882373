"""Where the audit trail is sent to."""

from __future__ import annotations

from typing import ClassVar

from node.config.syslog import SyslogSettings
from node.config.values import Section


class AuditSyslog(SyslogSettings):
    """An audit record repository: a syslog server that takes DICOM audit messages (PS3.15 A.6)."""

    facility: ClassVar[str] = "authpriv"  # PS3.15 A.6


class AuditSettings(Section):
    """The audit trail, besides its lines in the database and its files."""

    syslog: AuditSyslog | None = None
