"""Are the certificates and keys that a configuration names fit for TLS?"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import (
    Certificate,
    DNSName,
    ExtensionNotFound,
    SubjectAlternativeName,
    load_pem_x509_certificates,
)

from node.config.check_result import CheckResult
from node.config.notifications import WebhookDestination
from node.config.secret_files import why_not_read
from node.config.sections import Configuration, DicomWebDestination, DimseDestination, Hl7Destination
from node.config.values import Tls

RENEW_BEFORE = timedelta(days=30)


def certificates(configuration: Configuration) -> Iterator[CheckResult]:
    """Certificates and keys: can they be used, and does each key fit its certificate?"""
    for key, tls in _tls_sections(configuration):
        problems = list(_certificate_problems(key, tls))
        yield from problems
        if not problems:
            yield CheckResult(key, "good", f"{tls.certificate} and its key can be used")


@dataclass(frozen=True)
class Validity:
    """How long what a key of the configuration names is valid."""

    key: str
    path: Path
    begins: datetime
    ends: datetime


def certificate_dates(configuration: Configuration) -> Iterator[CheckResult]:
    """Certificates that have run out, or will within a month."""
    now = datetime.now(UTC)
    for one in validities(configuration):
        if one.ends < now:
            ended = f"{one.path}: has run out on {one.ends:%Y-%m-%d}; should be renewed"
            yield CheckResult(one.key, "bad", ended)
        elif one.begins > now:
            yield CheckResult(one.key, "bad", f"{one.path}: is not valid before {one.begins:%Y-%m-%d %H:%M} UTC")
        elif one.ends < now + RENEW_BEFORE:
            yield CheckResult(one.key, "doubtful", f"{one.path}: runs out on {one.ends:%Y-%m-%d}; renew it")


def validities(configuration: Configuration) -> Iterator[Validity]:
    """How long each certificate that can be read is valid."""
    for key, tls in _tls_sections(configuration):
        for name, path in (("certificate", tls.certificate), ("trusted", tls.trusted)):
            try:
                found = _certificates_in(path) if path is not None else []
            except (OSError, ValueError):  # `certificates` says so
                continue
            if path is None or not found:
                continue
            # of a chain the node's own comes first; of trusted authorities one that has not run out is enough
            ends = found[0].not_valid_after_utc if name == "certificate" else None
            ends = ends or max(one.not_valid_after_utc for one in found)
            yield Validity(f"{key}.{name}", path, found[0].not_valid_before_utc, ends)


def _tls_sections(configuration: Configuration) -> Iterator[tuple[str, Tls]]:
    named: list[tuple[str, Tls | None]] = [
        ("receive.dimse.tls", configuration.receive.dimse.tls),
        ("status.tls", configuration.status.tls),
    ]
    named += [(f"peers.{name}.tls", peer.tls) for name, peer in configuration.peers.items()]
    named += [
        (f"destinations.{name}.tls", destination.tls)
        for name, destination in configuration.destinations.items()
        if isinstance(destination, DimseDestination | DicomWebDestination | Hl7Destination | WebhookDestination)
    ]
    named += [
        (f"run_requests.callbacks.{name}.tls", receiver.tls)
        for name, receiver in configuration.run_requests.callbacks.items()
    ]
    for key, tls in named:
        if tls is not None:
            yield key, tls


def _certificate_problems(key: str, tls: Tls) -> Iterator[CheckResult]:
    certificate = private = None
    for name, path in (("certificate", tls.certificate), ("key", tls.key), ("trusted", tls.trusted)):
        if path is None:
            continue
        try:
            content = path.read_bytes()
            if name == "key":
                private = load_pem_private_key(content, password=None)
            elif name == "certificate":
                certificate = _certificates_in(path)[0]
            else:
                _certificates_in(path)
        except OSError as error:
            yield CheckResult(f"{key}.{name}", "bad", f"{path}: {why_not_read(error)}")
        except TypeError:
            sentence = "is locked by a passphrase; should be without: openssl pkey -in KEY -out KEY_WITHOUT"
            yield CheckResult(f"{key}.{name}", "bad", f"{path}: {sentence}")
        except (ValueError, UnsupportedAlgorithm):
            wanted, other = ("private key", "certificate") if name == "key" else ("certificate", "private key")
            swapped = f"{other.upper()}-----".encode() in content
            hint = f", but a {other}; are certificate and key swapped?" if swapped else ""
            sentence = f"holds no {wanted} in PEM form (BEGIN {wanted.upper()}){hint}"
            yield CheckResult(f"{key}.{name}", "bad", f"{path}: {sentence}")
            if swapped:  # which says it of both
                return
    if certificate is None or private is None:
        return
    if certificate.public_key() != private.public_key():
        sentence = f"is not the key of {tls.certificate}; should be the one that the certificate was requested with"
        yield CheckResult(f"{key}.key", "bad", f"{tls.key}: {sentence}")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:  # too short a key, a broken chain
        yield CheckResult(f"{key}.certificate", "bad", f"{tls.certificate}: cannot be used: {error}")


def names_in(path: Path) -> list[str]:
    """The names, some like ``*.example.org``, for which the certificate in `path` stands.

    Raises
    ------
    OSError, ValueError
        If it cannot be read.
    """
    try:
        extension = _certificates_in(path)[0].extensions.get_extension_for_class(SubjectAlternativeName)
    except ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(DNSName)


def _certificates_in(path: Path) -> list[Certificate]:
    return load_pem_x509_certificates(path.read_bytes())
