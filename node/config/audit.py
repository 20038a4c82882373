"""Where the audit trail is sent to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from node.config.values import FilePath, Host, Port, Section, Tls, off


class AuditSyslog(Section):
    """An audit record repository: a syslog server that takes DICOM audit messages (PS3.15 A.6)."""

    host: Host
    port: Port | None = None  # None: 6514 for TLS, 601 for TCP, 514 for UDP
    transport: Literal["tls", "tcp", "udp"] = "tls"
    trusted: FilePath | None = None  # authorities of the server's certificate; None: the system's
    tls: Tls | None = None  # a client certificate
    timeout_s: float = Field(default=10.0, gt=0)
    facility: ClassVar[str] = "authpriv"  # PS3.15 A.6

    @model_validator(mode="after")
    def _certificates_need_tls(self) -> Self:
        for key in ("trusted", "tls"):
            if self.transport != "tls" and getattr(self, key) is not None:
                raise ValueError(f"{key}: is of use with transport: tls only")
        return self


class AuditSettings(Section):
    """The audit trail, besides its lines in the database and its files."""

    syslog: Annotated[AuditSyslog | None, BeforeValidator(off)] = None
