"""`condyle check`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import track
from rich.table import Table
from rich.text import Text

from node.commands.exit_codes import NOT_RIGHT, OK
from node.commands.terminal import console
from node.config import (
    Configuration,
    DicomWebDestination,
    DimseDestination,
    FhirDestination,
    FolderDestination,
    checks,
)
from node.config.route_settings import read_with_settings
from node.errors import PeerUnavailable
from node.route import checks as route_checks

if TYPE_CHECKING:
    from node.send.dicomweb_delivery import DicomWebDelivery
    from node.send.dimse_delivery import DimseDelivery
    from node.send.fhir_delivery import FhirDelivery

STYLES = {"good": "green", "doubtful": "yellow", "bad": "red"}


def check(config: Path, *, online: bool) -> int:
    """Check everything and print the findings; 1 if there is a problem."""
    configuration = read_with_settings(config)
    out, complaints = console(), console(error=True)
    results = [result for look in (route_checks.routes, *checks.OFFLINE) for result in look(configuration)]
    if online:
        asked = list(_asked(configuration))
        results += [
            _ask(*one, configuration.node.ae_title)
            for one in track(
                asked, "Contacting", console=complaints, transient=True, disable=not complaints.is_terminal
            )
        ]
    table = Table(box=None, show_header=False, pad_edge=False)
    for result in results:
        sentence = result.sentence.removeprefix(f"{result.key}: ")
        table.add_row(Text(result.state, style=STYLES[result.state]), Text(result.key), Text(sentence))
    out.print(table)
    bad = sum(result.state == "bad" for result in results)
    doubtful = sum(result.state == "doubtful" for result in results)
    if bad:
        out.print(f"\n{config}: {bad} problem{'s' if bad > 1 else ''} to fix")
        return NOT_RIGHT
    more = f", {doubtful} warning{'s' if doubtful > 1 else ''}" if doubtful else ""
    out.print(f"\n{config}: fit to run{more}")
    return OK


def _asked(
    configuration: Configuration,
) -> Iterator[tuple[str, DimseDestination | DicomWebDestination | FhirDestination]]:
    """What can be contacted: destinations, peers that have an address, the FHIR server of the records."""
    for name, destination in configuration.destinations.items():
        if not isinstance(destination, FolderDestination):
            yield f"destinations.{name}", destination
    for name, peer in configuration.peers.items():
        if peer.host is not None and peer.port is not None:
            yield (
                f"peers.{name}",
                DimseDestination(
                    kind="dimse", ae_title=peer.ae_title, host=peer.host, port=peer.port, tls=peer.tls, timeout_s=10
                ),
            )
    if (fhir := configuration.records.fhir) is not None:
        yield (
            "records.fhir",
            FhirDestination(kind="fhir", url=fhir.url, token_file=fhir.token_file, timeout_s=fhir.timeout_s),
        )


def _ask(key: str, peer: DimseDestination | DicomWebDestination | FhirDestination, ae_title: str) -> checks.CheckResult:
    where = f"{peer.ae_title} at {peer.host}:{peer.port}" if isinstance(peer, DimseDestination) else peer.url
    try:
        with closing(_delivery_to(key, peer, ae_title)) as delivery:
            return checks.CheckResult(key, "good", f"{where} {delivery.ping()}")
    except (PeerUnavailable, OSError) as error:  # OSError: certificates
        return checks.CheckResult(key, "bad", f"{where}: {str(error).removeprefix(f'{key}: ')}")


def _delivery_to(
    key: str, peer: DimseDestination | DicomWebDestination | FhirDestination, ae_title: str
) -> DimseDelivery | DicomWebDelivery | FhirDelivery:
    from node.send.dicomweb_delivery import DicomWebDelivery
    from node.send.dimse_delivery import DimseDelivery
    from node.send.fhir_delivery import FhirDelivery

    match peer:
        case DicomWebDestination():
            return DicomWebDelivery(key, peer)
        case FhirDestination():
            return FhirDelivery(key, peer)
        case DimseDestination():
            return DimseDelivery(key, peer, ae_title)
