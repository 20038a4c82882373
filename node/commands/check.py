"""`condyle check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from dicom_sr.words import counted
from node.access import checks as access_checks
from node.alerts import checks as alert_checks
from node.commands.exit_codes import CONFIGURATION, NOT_RIGHT, OK
from node.commands.terminal import console
from node.config import (
    CallbackReceiver,
    Configuration,
    DicomWebDestination,
    DimseDestination,
    EmailChannel,
    EmailDestination,
    FhirDestination,
    FolderDestination,
    Hl7Destination,
    OrthancFeed,
    SyslogChannel,
    WebhookChannel,
    WebhookDestination,
    checks,
)
from node.config.bundle_checks import bundles
from node.config.check_result import CheckResult, one_for_each_key
from node.config.notifications import without_path
from node.config.post_back import DESTINATION as RECORDS_SERVER
from node.config.reading import read_leniently
from node.config.route_settings import with_settings
from node.database import checks as database_checks
from node.errors import NodeError
from node.listings.checks import check_listings
from node.listings.listing import as_json
from node.models import checks as model_checks
from node.route import checks as route_checks

if TYPE_CHECKING:
    from node.send.dicomweb_delivery import DicomWebDelivery
    from node.send.dimse_delivery import DimseDelivery
    from node.send.email_delivery import EmailDelivery
    from node.send.fhir_delivery import FhirDelivery
    from node.send.hl7_delivery import Hl7Delivery
    from node.send.webhook_delivery import WebhookDelivery

_Destination = (
    DimseDestination | DicomWebDestination | FhirDestination | Hl7Destination | EmailDestination | WebhookDestination
)
_Channel = EmailChannel | WebhookChannel | SyslogChannel
_Peer = _Destination | OrthancFeed | CallbackReceiver | _Channel
STYLES = {"good": "green", "doubtful": "yellow", "bad": "red"}


def check(config: Path, *, online: bool, json_output: bool = False) -> int:
    """Check everything and print the findings; with `json_output` as a JSON list.

    Returns
    -------
    int
        `CONFIGURATION` if the file itself is wrong, `NOT_RIGHT` if something that it names is.
    """
    reading = read_leniently(config)
    configuration = with_settings(reading.configuration, config.absolute().parent)
    out, complaints = console(), console(error=True)
    results = reading.results() + [
        result
        for look in (
            route_checks.routes,
            model_checks.versions,
            partial(bundles, build=True),
            alert_checks.rules,
            access_checks.ways_to_sign_in,
            access_checks.sign_in_settings,
            *checks.OFFLINE,
            database_checks.database,
        )
        for result in look(configuration)
        if not reading.follows(result)
    ]
    if online:
        asked = [one for one in _asked(configuration) if not reading.lacks(one[0])]
        results += [
            _ask(*one, configuration)
            for one in track(
                asked, "Contacting", console=complaints, transient=True, disable=not complaints.is_terminal
            )
        ]
        results += _provider(configuration)
    results = one_for_each_key(results)
    if json_output:
        out.print_json(as_json(check_listings(results)))
        return _exit_code(results, is_readable=not reading.mistakes)
    _print_good(out, results)
    doubtful, bad = (reading.file.listed(one for one in results if one.state == state) for state in ("doubtful", "bad"))
    for state, lines in (("doubtful", doubtful), ("bad", bad)):
        for line in lines:
            out.print(Text.assemble((f"{state:<9} ", STYLES[state]), line), soft_wrap=True)
    if bad:
        out.print()
        out.print(f"{config}: {counted(len(bad), 'problem')} to fix", markup=False)
        return _exit_code(results, is_readable=not reading.mistakes)
    more = f", {counted(len(doubtful), 'warning')}" if doubtful else ""
    out.print()
    out.print(f"{config}: fit to run{more}", markup=False)
    return OK


def _exit_code(results: Sequence[CheckResult], *, is_readable: bool) -> int:
    if any(result.state == "bad" for result in results):
        return NOT_RIGHT if is_readable else CONFIGURATION
    return OK


def _print_good(out: Console, results: Sequence[CheckResult]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for result in results:
        if result.state == "good":
            table.add_row(Text(f"{result.state:<9}", style=STYLES["good"]), Text(result.key), Text(result.sentence))
    out.print(table)


def _asked(configuration: Configuration) -> Iterator[tuple[str, _Peer]]:
    """Who can be contacted: destinations, peers with an address, feeds, the records' server, who is told."""
    for name, destination in configuration.destinations.items():
        if isinstance(destination, FolderDestination) or name == RECORDS_SERVER:
            continue
        if not (isinstance(destination, Hl7Destination) and destination.host is None):
            yield f"destinations.{name}", destination
    for name, peer in configuration.peers.items():
        if peer.host is not None and peer.port is not None:
            yield (
                f"peers.{name}",
                DimseDestination(
                    kind="dimse", ae_title=peer.ae_title, host=peer.host, port=peer.port, tls=peer.tls, timeout_s=10
                ),
            )
    for name, feed in configuration.receive.orthanc_feeds.items():
        yield f"receive.orthanc_feeds.{name}", feed
    if (fhir := configuration.records.fhir) is not None:
        yield (
            "records.fhir",
            FhirDestination(kind="fhir", url=fhir.url, token_file=fhir.token_file, timeout_s=fhir.timeout_s),
        )
    for name, receiver in configuration.run_requests.callbacks.items():
        yield f"run_requests.callbacks.{name}", receiver
    for name, channel in configuration.alerts.channels.items():
        yield f"alerts.channels.{name}", channel


def _ask(key: str, peer: _Peer, configuration: Configuration) -> CheckResult:
    where = _where(peer)
    try:
        return CheckResult(key, "good", f"{where} {_answer(key, peer, configuration.node.ae_title)}")
    except (NodeError, OSError) as error:  # OSError: certificates and passwords
        return CheckResult(key, "bad", f"{where}: {str(error).removeprefix(f'{key}: ')}")


def _provider(configuration: Configuration) -> Iterator[CheckResult]:
    """Does the OpenID provider answer as one?"""
    from node.access.openid import OpenIdProvider, ProviderAway

    status = configuration.status
    if status.openid is not None and status.url is not None:
        try:
            answer = OpenIdProvider(status.openid, status.url, configuration.node.data).ping()
        except ProviderAway as error:
            yield CheckResult("status.openid", "bad", f"{status.openid.issuer}: {error.why}")
        else:
            yield CheckResult("status.openid", "good", f"{status.openid.issuer} {answer}")


def _where(peer: _Peer) -> str:
    match peer:
        case DimseDestination():
            return f"{peer.ae_title} at {peer.host}:{peer.port}"
        case EmailDestination() | Hl7Destination():
            return f"{peer.host}:{peer.port}"
        case EmailChannel() | SyslogChannel():
            return f"{peer.host}:{peer.port}" if peer.port else peer.host
        case WebhookDestination() | CallbackReceiver() | WebhookChannel():
            return without_path(peer.url)
    return peer.url


def _answer(key: str, peer: _Peer, ae_title: str) -> str:
    if isinstance(peer, OrthancFeed):
        from node.receive.orthanc_feed import ping

        return ping(peer)
    if isinstance(peer, CallbackReceiver):
        from node.network.webhook_client import WebhookClient

        with closing(WebhookClient(key, key, peer)) as client:
            return f"answers: {client.ask('OPTIONS', peer.url).phrase}"
    if isinstance(peer, _Channel):
        from node.alerts.channels import open_way

        with closing(open_way(key, peer)) as way:
            return way.ping()
    with closing(_delivery_to(key, peer, ae_title)) as delivery:
        return delivery.ping()


def _delivery_to(
    key: str, peer: _Destination, ae_title: str
) -> DimseDelivery | DicomWebDelivery | FhirDelivery | Hl7Delivery | EmailDelivery | WebhookDelivery:
    from node.send.dicomweb_delivery import DicomWebDelivery
    from node.send.dimse_delivery import DimseDelivery
    from node.send.email_delivery import EmailDelivery
    from node.send.fhir_delivery import FhirDelivery
    from node.send.hl7_delivery import Hl7Delivery
    from node.send.webhook_delivery import WebhookDelivery

    match peer:
        case DicomWebDestination():
            return DicomWebDelivery(key, peer)
        case FhirDestination():
            return FhirDelivery(key, peer)
        case Hl7Destination():
            return Hl7Delivery(key, peer)
        case EmailDestination():
            return EmailDelivery(key.removeprefix("destinations."), peer)
        case WebhookDestination():
            return WebhookDelivery(key.removeprefix("destinations."), peer)
        case DimseDestination():
            return DimseDelivery(key, peer, ae_title)
