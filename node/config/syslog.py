"""A syslog server: RFC 5424, over UDP, TCP or TLS."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from node.config.values import FilePath, Host, Port, Section, Tls


class SyslogSettings(Section):
    """What the alerts' channels and the audit trail have in common."""

    host: Host
    port: Port | None = None  # None: 514 for UDP, 601 for TCP, 6514 for TLS
    transport: Literal["udp", "tcp", "tls"] = "tls"
    trusted: FilePath | None = None  # authorities of the server's certificate; None: the system's
    tls: Tls | None = None  # a client certificate
    timeout_s: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _certificates_need_tls(self) -> Self:
        for key in ("trusted", "tls"):
            if self.transport != "tls" and getattr(self, key) is not None:
                raise ValueError(f"{key}: is of use with transport: tls only")
        return self
