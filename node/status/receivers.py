"""The ways by which instances come in, as the configuration opens them, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from node.config import Configuration


@dataclass(frozen=True)
class Receiver:
    """One way in."""

    name: str
    where: str  # without secrets
    check: str  # the name under which the node's health tells of it


def receivers(configuration: Configuration) -> Iterator[Receiver]:
    """All that are open."""
    receive, status = configuration.receive, configuration.status
    dimse = receive.dimse
    names = ", ".join((configuration.node.ae_title, *dimse.ae_titles))
    secured = dimse.tls is not None and dimse.tls_port is None
    yield Receiver("DICOM over TLS" if secured else "DICOM", f"{names} at {dimse.host}:{dimse.port}", "receiver")
    if dimse.tls_port is not None:
        yield Receiver("DICOM over TLS", f"{names} at {dimse.host}:{dimse.tls_port}", "receiver")
    if receive.dicomweb.enabled:
        scheme = "https" if status.tls else "http"
        yield Receiver("STOW-RS", f"{scheme}://{status.host}:{status.port}/dicom-web/studies", "receipts")
    for folder in receive.watched_folders:
        yield Receiver("watched folder", str(folder.path), "receiver")
    for name, feed in receive.orthanc_feeds.items():
        yield Receiver(f"Orthanc feed {name}", feed.url.split("@")[-1], "receiver")
