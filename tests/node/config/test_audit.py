"""The audit trail goes to a syslog server by TLS, unless the site says otherwise."""

from __future__ import annotations

from node.config.audit import AuditSettings


def test_nothing_is_sent_by_default_and_tls_is_the_way_where_it_is() -> None:
    assert AuditSettings().syslog is None
    syslog = AuditSettings.model_validate({"syslog": {"host": "audit.example.org"}}).syslog
    assert syslog is not None
    assert (syslog.transport, syslog.facility) == ("tls", "authpriv")
