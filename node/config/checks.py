"""Is the configuration, with everything that it names, fit to run? Checked before a node starts; nothing is changed."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from node.config.sections import (
    Configuration,
    DicomWebDestination,
    DimseDestination,
    FhirDestination,
    FolderDestination,
    Tls,
)


@dataclass(frozen=True)
class CheckResult:
    """What one look found."""

    key: str  # where in the configuration
    state: Literal["good", "doubtful", "bad"]
    sentence: str


def files(configuration: Configuration) -> Iterator[CheckResult]:
    """Certificates, tokens and other files that must be there to be read."""
    for key, path in _named_files(configuration):
        if not path.is_file():
            yield CheckResult(key, "bad", f"{key}: {path}: there is no such file")
        elif not os.access(path, os.R_OK):
            yield CheckResult(key, "bad", f"{key}: {path}: may not be read by this account")
        else:
            yield CheckResult(key, "good", f"{path} can be read")


def _named_files(configuration: Configuration) -> Iterator[tuple[str, Path]]:
    receive = configuration.receive
    yield from _tls_files("receive.dimse.tls", receive.dimse.tls)
    yield from _tls_files("status.tls", configuration.status.tls)
    for name, peer in configuration.peers.items():
        yield from _tls_files(f"peers.{name}.tls", peer.tls)
    for key, file in (
        ("receive.dicomweb.token_file", receive.dicomweb.token_file),
        ("records.key_file", configuration.records.key_file),
        ("records.token_file", configuration.records.token_file),
        ("records.fhir.token_file", configuration.records.fhir.token_file if configuration.records.fhir else None),
    ):
        if file:
            yield key, file
    for name, feed in receive.orthanc_feeds.items():
        if feed.password_file:
            yield f"receive.orthanc_feeds.{name}.password_file", feed.password_file
    for name, destination in configuration.destinations.items():
        if isinstance(destination, DimseDestination | DicomWebDestination):
            yield from _tls_files(f"destinations.{name}.tls", destination.tls)
        if isinstance(destination, DicomWebDestination | FhirDestination) and destination.token_file:
            yield f"destinations.{name}.token_file", destination.token_file


def _tls_files(key: str, tls: Tls | None) -> Iterator[tuple[str, Path]]:
    if tls is not None:
        yield f"{key}.certificate", tls.certificate
        yield f"{key}.key", tls.key
        if tls.trusted is not None:
            yield f"{key}.trusted", tls.trusted


def folders(configuration: Configuration) -> Iterator[CheckResult]:
    """Can the folders that the node writes to be written, or made?"""
    named = [("node.data", configuration.node.data)]
    for name, destination in configuration.destinations.items():
        if isinstance(destination, FolderDestination):
            named.append((f"destinations.{name}.path", destination.path))
    for key, path in named:
        nearest = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
        if not nearest.is_dir():
            yield CheckResult(key, "bad", f"{key}: {nearest}: is a file where a folder should be")
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield CheckResult(key, "bad", f"{key}: {nearest}: may not be written by this account")
        else:
            yield CheckResult(
                key, "good", f"{path} {'can be written' if nearest == path.absolute() else 'can be made'}"
            )
    for index, watched in enumerate(configuration.receive.watched_folders):
        key = f"receive.watched_folders.{index}.path"
        if watched.path.is_dir() and os.access(watched.path, os.R_OK):
            yield CheckResult(key, "good", f"{watched.path} can be read")
        else:
            yield CheckResult(key, "bad", f"{key}: {watched.path}: should be a folder that this account may read")


def ports(configuration: Configuration) -> Iterator[CheckResult]:
    """Are the ports free? A node that runs already with this configuration holds them itself."""
    for key, host, port in used_ports(configuration):
        try:
            listening_socket(host, port).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                yield CheckResult(key, "doubtful", f"{host}:{port} is in use; by this node, if it runs already")
            else:
                yield CheckResult(key, "bad", f"{key}: {host}:{port}: cannot be opened: {error.strerror}")
        else:
            yield CheckResult(key, "good", f"{host}:{port} is free")


def used_ports(configuration: Configuration) -> Iterator[tuple[str, str, int]]:
    """Key, address and number of every port that the node opens."""
    dimse, status, mllp = configuration.receive.dimse, configuration.status, configuration.records.mllp
    yield "receive.dimse.port", dimse.host, dimse.port
    yield "status.port", status.host, status.port
    if mllp is not None:
        yield "records.mllp.port", mllp.host, mllp.port


def peers(configuration: Configuration) -> Iterator[CheckResult]:
    """Who may send, and whether the destinations can tell the node from others."""
    dimse = configuration.receive.dimse
    if dimse.require_known_peer and not configuration.peers:
        yield CheckResult(
            "peers",
            "doubtful",
            "is empty, and receive.dimse.require_known_peer is on: nobody may send to the node",
        )
    for name, peer in configuration.peers.items():
        places = ", ".join(str(network) for network in peer.networks) or "any address"
        yield CheckResult(f"peers.{name}", "good", f"{peer.ae_title} from {places}")


def reports(configuration: Configuration) -> Iterator[CheckResult]:
    """Can what archives send to the node on their own arrive: reports of storage commitment, and what C-MOVE moves?"""
    for name, destination in configuration.destinations.items():
        if not isinstance(destination, DimseDestination):
            continue
        if destination.commitment and (why := _not_let_in(configuration, destination)):
            sentence = (
                f"{why}: its report of storage commitment (N-EVENT-REPORT) comes to the node's port and is refused "
                "there; after 10 minutes it is asked by C-FIND instead"
            )
            yield CheckResult(f"destinations.{name}.commitment", "doubtful", sentence)
        moves = name in configuration.priors.ask and configuration.priors.retrieve == "move"
        if moves and (why := _not_let_in(configuration, destination)):
            sentence = f"{why}: earlier reports that it moves to the node's port (C-MOVE) are refused there"
            yield CheckResult("priors.retrieve", "doubtful", f"{name}: {sentence}")


def _not_let_in(configuration: Configuration, destination: DimseDestination) -> str | None:
    """Why the archive cannot open an association to the node; None where it can, as far as that can be seen."""
    if not configuration.receive.dimse.require_known_peer:
        return None
    entries = [peer for peer in configuration.peers.values() if peer.ae_title == destination.ae_title]
    if not entries:
        return f"{destination.ae_title} is not in peers"
    try:
        address = ipaddress.ip_address(destination.host)
    except ValueError:  # a name: what it stands for may change
        return None
    if any(not peer.networks or any(address in network for network in peer.networks) for peer in entries):
        return None
    return f"{destination.host} is in no network of {destination.ae_title} in peers"


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there; raises `OSError` where it cannot be had."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


OFFLINE = (peers, reports, files, folders, ports)
