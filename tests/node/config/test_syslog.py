"""Certificates belong to TLS."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from node.config.syslog import SyslogSettings


@pytest.mark.parametrize("key", ["trusted", "tls"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_certificates_are_of_use_with_tls_only(key: str, transport: str) -> None:
    value = "ca.pem" if key == "trusted" else {"certificate": "a.pem", "key": "a.key"}
    assert SyslogSettings.model_validate({"host": "a", "transport": "tls", key: value}).transport == "tls"
    with pytest.raises(ValidationError, match=f"{key}: is of use with transport: tls only"):
        SyslogSettings.model_validate({"host": "a", "transport": transport, key: value})
