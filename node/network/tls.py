"""TLS contexts after BCP 195 (PS3.15 B.9): TLS 1.2 or later, forward secrecy, AEAD; client certificates where asked."""

from __future__ import annotations

import ssl
from pathlib import Path

from node.config import Tls
from node.errors import ConfigurationError

# PS3.15 B.12, "modified BCP 195": ephemeral key exchange with AES-GCM or ChaCha20 only; TLS 1.3 has its own list
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"


def server_context(tls: Tls) -> ssl.SSLContext:
    """For the node's own port. With `trusted`, a client without a certificate that it signed is turned away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, tls)
    if tls.trusted is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: Tls) -> ssl.SSLContext:
    """For connections to a peer; without `trusted` the system's authorities must have signed its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, tls)
    if tls.trusted is None:
        context.load_default_certs()
    return context


def destination_context(tls: Tls) -> ssl.SSLContext:
    """For connections to a destination or an archive: TLS 1.2 or later with the usual ciphers, its certificate checked.

    The ciphers of `client_context` are a choice of the node's own ports; archives exist that offer none of them.

    Raises
    ------
    OSError
        If a certificate or key cannot be used.
    """
    context = ssl.create_default_context(cafile=str(tls.trusted) if tls.trusted else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    return context


def server_trust(trusted: Path | None) -> ssl.SSLContext:
    """For connections to a server that is shown no certificate: TLS 1.2 or later, its own one checked.

    Parameters
    ----------
    trusted
        Authorities that must have signed it; None: those of the system.

    Raises
    ------
    OSError
        If the authorities cannot be read.
    """
    context = ssl.create_default_context(cafile=str(trusted) if trusted else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.trusted is not None:
            context.load_verify_locations(tls.trusted)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"tls: {tls.certificate}, {tls.key} or {tls.trusted} cannot be used: {error}"
        ) from error
