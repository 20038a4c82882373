"""The audit trail goes to a syslog server by TLS, unless the site says otherwise."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from node.config.audit import AuditSettings


def test_nothing_is_sent_by_default_and_tls_is_the_way_where_it_is() -> None:
    assert AuditSettings().syslog is None
    syslog = AuditSettings.model_validate({"syslog": {"host": "audit.example.org"}}).syslog
    assert syslog is not None
    assert (syslog.transport, syslog.facility) == ("tls", "authpriv")


def test_certificates_are_of_use_with_tls_only() -> None:
    with pytest.raises(ValidationError, match="trusted: is of use with transport: tls only"):
        AuditSettings.model_validate({"syslog": {"host": "a", "transport": "udp", "trusted": "ca.pem"}})
