"""Is the configuration, with everything that it names, fit to run? Checked before a node starts; nothing is changed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import os
import resource
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal
from urllib.parse import urlsplit

from dicom_sr.words import counted
from node import box, gpus
from node.config.alert_checks import alerts, clear_passwords
from node.config.certificates import certificate_dates, certificates
from node.config.check_result import CheckResult as CheckResult
from node.config.notifications import EmailDestination, Notification, WebhookDestination, without_path
from node.config.secret_files import read_record_key, read_secret, read_token
from node.config.sections import (
    Configuration,
    Destination,
    DicomWebDestination,
    DimseDestination,
    FhirDestination,
    FolderDestination,
    Hl7Destination,
    Peer,
)
from node.config.telemetry import MISSING, packages_missing, read_headers
from node.config.viewer_checks import viewers
from node.errors import ConfigurationError
from node.folders import lies_in

EVERY_ADDRESS = {"0.0.0.0", "::"}
ENOUGH_FILES = 1024  # for 512 connections by HTTP, the database, jobs and sending


# ---- processes
def boxed(configuration: Configuration) -> bool:
    """Whether pipelines run in a box on this machine."""
    return configuration.run.box != "off" and _why_no_box(configuration) is None


def _why_no_box(configuration: Configuration) -> str | None:
    data = configuration.node.data
    return next(filter(None, (box.why_not(), *map(box.why_not_to_see, (data, data / "instances")))), None)


def the_box(configuration: Configuration) -> Iterator[CheckResult]:
    """Do pipelines run in a box?"""
    wanted = configuration.run.box
    if wanted == "off":
        yield CheckResult("run.box", "doubtful", f"off: pipelines run without a box: {box.without_box()}")
    elif (why_not := _why_no_box(configuration)) is None:
        yield CheckResult("run.box", "good", "pipelines run in a box: no network, and the files of one job at a time")
    elif wanted == "required":
        yield CheckResult("run.box", "bad", f"required: there is no box, for {why_not}")
    else:
        yield CheckResult("run.box", "doubtful", f"pipelines run without a box, for {why_not}: {box.without_box()}")


def graphics(configuration: Configuration) -> Iterator[CheckResult]:
    """Is every GPU there that is named, and does a process use it?"""
    run = configuration.run
    there = gpus.gpus("auto", os.environ)
    if isinstance(run.gpus, tuple):
        for index, number in enumerate(run.gpus):
            if number >= len(there):
                sentence = f"{number}: is not there; this machine shows the node {counted(len(there), 'GPU')}"
                yield CheckResult(f"run.gpus.{index}", "bad", sentence)
    chosen = gpus.gpus(run.gpus, os.environ)
    if idle := max(0, len(chosen) - run.workers):
        sentence = (
            f"{run.workers}: {idle} of {counted(len(chosen), 'GPU')} would be idle; should be {len(chosen)} or more"
        )
        yield CheckResult("run.workers", "doubtful", sentence)
    elif chosen:
        on_gpu = min(run.workers, len(chosen) * run.workers_per_gpu)
        sentence = f"{on_gpu} of run.workers ({run.workers}) compute on {counted(len(chosen), 'GPU')}"
        yield CheckResult("run.gpus", "good", sentence)


def environment(configuration: Configuration) -> Iterator[CheckResult]:
    """Are the variables set that pipelines are to be given?"""
    for index, name in enumerate(configuration.run.environment):
        if name in os.environ:
            yield CheckResult(f"run.environment.{index}", "good", f"{name} is set here, and handed to pipelines")
        else:
            sentence = f"{name}: is not set here; should be in the environment that the node is started with"
            yield CheckResult(f"run.environment.{index}", "doubtful", sentence)


# ---- files
def files(configuration: Configuration) -> Iterator[CheckResult]:
    """Tokens, passwords and keys: are they there, and are they what they should be?"""
    for key, path, look in _secret_files(configuration):
        try:
            look()
        except ConfigurationError as error:
            yield CheckResult(key, "bad", str(error).removeprefix(f"{key}: "))
        else:
            yield CheckResult(key, "good", f"{path} can be read")


def _secret_files(configuration: Configuration) -> Iterator[tuple[str, Path, Callable[[], object]]]:
    """Key, path, and what reads the file and raises `ConfigurationError` where it is no good."""
    for key, section in (
        ("receive.dicomweb", configuration.receive.dicomweb),
        ("records", configuration.records),
        ("run_requests", configuration.run_requests),
        ("status", configuration.status),
    ):
        if section.token_file is not None:
            yield f"{key}.token_file", section.token_file, partial(read_token, key, None, section.token_file)
    if (key_file := configuration.records.key_file) is not None:
        yield "records.key_file", key_file, partial(read_record_key, key_file)
    fhir = configuration.records.fhir
    shown = [("records.fhir.token_file", None if fhir is None else fhir.token_file)]
    shown += [
        (f"receive.orthanc_feeds.{name}.password_file", feed.password_file)
        for name, feed in configuration.receive.orthanc_feeds.items()
    ]
    shown += [
        (f"destinations.{name}.token_file", destination.token_file)
        for name, destination in configuration.destinations.items()
        if isinstance(destination, DicomWebDestination | FhirDestination | WebhookDestination)
    ]
    shown += [
        (f"destinations.{name}.{file}", getattr(destination, file))
        for name, destination in configuration.destinations.items()
        for file in ("password_file", "secret_file", "trusted")
        if isinstance(destination, Notification) and hasattr(destination, file)
    ]
    telemetry = configuration.telemetry
    shown += [("telemetry.trusted", telemetry.trusted)]
    if telemetry.headers_file is not None:
        yield "telemetry.headers_file", telemetry.headers_file, partial(read_headers, telemetry.headers_file)
    shown += [
        (f"run_requests.callbacks.{name}.{file}", getattr(receiver, file))
        for name, receiver in configuration.run_requests.callbacks.items()
        for file in ("secret_file", "token_file")
    ]
    shown += [
        (f"alerts.channels.{name}.{file}", getattr(channel, file))
        for name, channel in configuration.alerts.channels.items()
        for file in ("password_file", "secret_file", "token_file", "trusted")
        if hasattr(channel, file)
    ]
    if (openid := configuration.status.openid) is not None:
        shown += [(f"status.openid.{file}", getattr(openid, file)) for file in ("client_secret_file", "trusted")]
    for key, path in shown:
        if path is not None:
            yield key, path, partial(read_secret, key, path)


# ---- traces
def traces(configuration: Configuration) -> Iterator[CheckResult]:
    """Can traces be made, and does what they name or show cross the network in clear?"""
    telemetry = configuration.telemetry
    if telemetry.otlp_endpoint is None:
        if telemetry.headers_file is not None:
            sentence = "without telemetry.otlp_endpoint no trace is sent, and nobody sees these headers"
            yield CheckResult("telemetry.headers_file", "doubtful", sentence)
        return
    server = without_path(telemetry.otlp_endpoint)
    if packages_missing():
        yield CheckResult("telemetry.otlp_endpoint", "bad", f"{server}: {MISSING}")
        return
    secret = "the headers" if telemetry.headers_file else "the Study Instance UIDs" if telemetry.uids else ""
    parts = urlsplit(telemetry.otlp_endpoint)
    if secret and parts.scheme == "http" and not only_this_machine(parts.hostname or ""):
        sentence = f"{server}: {secret} cross the network in clear; should be https://"
        yield CheckResult("telemetry.otlp_endpoint", "doubtful", sentence)
    elif not parts.path.strip("/"):
        sentence = f"{server}: has no path; collectors take traces at {server}/v1/traces"
        yield CheckResult("telemetry.otlp_endpoint", "doubtful", sentence)
    else:
        yield CheckResult("telemetry.otlp_endpoint", "good", f"traces go to {server}")


# ---- notifications
def notifications(configuration: Configuration) -> Iterator[CheckResult]:
    """Does what names a patient cross the network in clear, and does a link lead anywhere?"""
    for name, destination in configuration.destinations.items():
        if not isinstance(destination, Notification):
            continue
        key = f"destinations.{name}"
        in_clear = (
            destination.security == "none"
            if isinstance(destination, EmailDestination)
            else isinstance(destination, WebhookDestination) and destination.url.startswith("http:")
        )
        if in_clear and isinstance(destination, EmailDestination) and destination.username is not None:
            sentence = "none: the password would cross the network in clear; should be starttls or tls"
            yield CheckResult(f"{key}.security", "bad", sentence)
        if in_clear and destination.include:
            sentence = f"{', '.join(destination.include)}: would cross the network in clear; should be sent by TLS"
            yield CheckResult(f"{key}.include", "doubtful", sentence)
        elif "patient_name" in destination.include or "patient_id" in destination.include:
            sentence = f"{', '.join(destination.include)}: leaves the node with every notification"
            yield CheckResult(f"{key}.include", "doubtful", sentence)
        if isinstance(destination, WebhookDestination) and destination.secret_file is None:
            sentence = "is not set: the receiver cannot tell the node's notifications from others'"
            yield CheckResult(f"{key}.secret_file", "doubtful", sentence)


def callbacks(configuration: Configuration) -> Iterator[CheckResult]:
    """Can receivers of callbacks tell who they are from, and is anybody told?"""
    requests = configuration.run_requests
    for name, receiver in requests.callbacks.items():
        key = f"run_requests.callbacks.{name}"
        if receiver.secret_file is None:
            sentence = "is not set: the receiver cannot tell the node's callbacks from others'"
            yield CheckResult(f"{key}.secret_file", "doubtful", sentence)
        if receiver.token_file is not None and receiver.url.startswith("http:"):
            sentence = "the token crosses the network in clear; should be https"
            yield CheckResult(f"{key}.url", "doubtful", sentence)
    if requests.callbacks and not requests.enabled:
        sentence = "false: no request is taken that could name one of run_requests.callbacks"
        yield CheckResult("run_requests.enabled", "doubtful", sentence)


# ---- verdicts
def verdicts(configuration: Configuration) -> Iterator[CheckResult]:
    """Is there ever what a destination waits for?"""
    for name, destination in configuration.destinations.items():
        if "assessment" in destination.profile.kinds and not configuration.verdicts.form:
            sentence = "assessment: there is none without verdicts.form: true"
            yield CheckResult(f"destinations.{name}.profile.kinds", "doubtful", sentence)


# ---- folders
def folders(configuration: Configuration) -> Iterator[CheckResult]:
    """Can the folders that the node writes to be written, or made, and watched ones be read?"""
    in_the_way = {result.key for result in overlaps(configuration)}  # these should be others anyway
    named = [("node.data", configuration.node.data)]
    for name, destination in configuration.destinations.items():
        if (written := _written_folder(destination)) is not None:
            named.append((f"destinations.{name}.path", written))
    for key, path in named:
        if key not in in_the_way:
            yield _folder(key, path.absolute())
    for index, watched in enumerate(configuration.receive.watched_folders):
        key = f"receive.watched_folders.{index}.path"
        if key in in_the_way:
            continue
        needed = os.R_OK | os.X_OK | (os.W_OK if watched.after == "delete" else 0)
        if not os.path.exists(watched.path):
            yield CheckResult(key, "bad", f"{watched.path}: there is no such folder; make it")
        elif not os.path.isdir(watched.path):
            yield CheckResult(key, "bad", f"{watched.path}: is a file where a folder should be")
        elif not os.access(watched.path, needed):
            more = " and delete" if watched.after == "delete" else ""
            yield CheckResult(key, "bad", f"{watched.path}: this account may not read{more} there")
        else:
            yield CheckResult(key, "good", f"{watched.path} can be read")


def _written_folder(destination: Destination) -> Path | None:
    """The folder that results are written to, of a destination that is one."""
    return destination.path if isinstance(destination, FolderDestination | Hl7Destination) else None


def _folder(key: str, path: Path) -> CheckResult:
    # a folder that may not be looked into is as one that is not there
    nearest = next(folder for folder in (path, *path.parents) if os.path.exists(folder))
    if not os.path.isdir(nearest):
        return CheckResult(key, "bad", f"{path}: {nearest} is a file where a folder should be")
    try:
        with TemporaryFile(dir=nearest):  # has no name there, and is gone at once
            pass
    except OSError as error:
        return CheckResult(key, "bad", f"{path}: {nearest} cannot be written: {error.strerror}")
    if nearest == path:
        return CheckResult(key, "good", f"{path} can be written")
    if nearest != path.parent:
        sentence = f"{path}: is not there, and neither is {path.parent}; both will be made. Is a disk not mounted?"
        return CheckResult(key, "doubtful", sentence)
    return CheckResult(key, "good", f"{path} can be made")


def overlaps(configuration: Configuration) -> Iterator[CheckResult]:
    """Folders that lie in each other, links followed.

    A watched folder with the node's own files in it would import, and delete, what is stored; one with another in it
    imports files twice; one with results in it imports what the node itself has made. Results in the node's own
    folder harm nothing, and are the node's account's alone, whatever `readable_by` says.
    """
    watched = [
        (f"receive.watched_folders.{index}.path", folder.path)
        for index, folder in enumerate(configuration.receive.watched_folders)
    ]
    own = [("node.data", configuration.node.data)]
    for index, (key, path) in enumerate(watched):
        yield from _overlap(key, path, [*own, *watched[:index]], "bad")
    for name, destination in configuration.destinations.items():
        if (written := _written_folder(destination)) is not None:
            key = f"destinations.{name}.path"
            yield from [*_overlap(key, written, watched, "bad"), *_overlap(key, written, own, "doubtful")][:1]


def _overlap(
    key: str, path: Path, others: Sequence[tuple[str, Path]], state: Literal["doubtful", "bad"]
) -> Iterator[CheckResult]:
    """What is wrong with a folder that should be apart from the others; the first of them counts."""
    for other, its_path in others:
        inside, around = lies_in(path, its_path), lies_in(its_path, path)
        if inside or around:
            how = f"is {other} too" if inside and around else f"{'lies in' if inside else 'holds'} {other} ({its_path})"
            yield CheckResult(key, state, f"{path}: {how}; should be a folder beside it, neither in it nor around it")
            return


# ---- the machine
def open_files(_configuration: Configuration) -> Iterator[CheckResult]:
    """May the node open enough files for all its connections?"""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < ENOUGH_FILES:
        sentence = (
            f"the system allows {hard} open files; should be {ENOUGH_FILES} or more (ulimit -Hn, LimitNOFILE= of "
            "systemd, --ulimit nofile= of Docker): with fewer the page takes fewer connections"
        )
        yield CheckResult("node", "doubtful", sentence)


# ---- ports
def ports(configuration: Configuration) -> Iterator[CheckResult]:
    """Are the ports free? A node that runs already with this data folder holds them itself."""
    for key, host, port in used_ports(configuration):
        try:
            listening_socket(host, port).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE and node_runs(configuration.node.data):
                yield CheckResult(key, "good", f"{host}:{port} is in use by the node that runs with this data folder")
            else:
                yield CheckResult(key, "bad", f"{host}:{port}: cannot be opened: {why_not_opened(error)}")
        else:
            yield CheckResult(key, "good", f"{host}:{port} is free")


def doubled_ports(configuration: Configuration) -> Iterator[CheckResult]:
    """Ports that two parts of the node would open."""
    seen: list[tuple[str, str, int]] = []
    for key, host, port in used_ports(configuration):
        for other, other_host, other_port in seen:
            if port == other_port and (host == other_host or {host, other_host} & EVERY_ADDRESS):
                yield CheckResult(key, "bad", f"{port}: is the port of {other} too; should be another one")
                break
        seen.append((key, host, port))


def why_not_opened(error: OSError) -> str:
    """Why a port cannot be opened, and what would be right."""
    match error.errno:
        case errno.EADDRINUSE:
            return "is in use by another program; should be a free port, or that program should end"
        case errno.EADDRNOTAVAIL:
            return "is not an address of this machine; should be one of its own, or 0.0.0.0 for all of them"
        case errno.EACCES:
            return "may not be opened by this account; should be a port above 1023"
    if isinstance(error, socket.gaierror):
        return "is no name that this machine knows; should be one of its addresses, or 0.0.0.0 for all of them"
    return error.strerror or type(error).__name__


def node_runs(data: Path, name: str = "*") -> bool:
    """Whether a node of this machine runs with this data folder: it holds the lock of its job engine.

    Parameters
    ----------
    name
        Of the one node, as it stands in paths, where several share the folder.
    """
    for path in data.glob(f"engine-{name}.lock"):
        with contextlib.suppress(PermissionError), path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


def used_ports(configuration: Configuration) -> Iterator[tuple[str, str, int]]:
    """Key, address and number of every port that the node opens."""
    dimse, status, mllp = configuration.receive.dimse, configuration.status, configuration.records.mllp
    yield "receive.dimse.port", dimse.host, dimse.port
    if dimse.tls_port is not None:
        yield "receive.dimse.tls_port", dimse.host, dimse.tls_port
    yield "status.port", status.host, status.port
    if mllp is not None:
        yield "records.mllp.port", mllp.host, mllp.port


# ---- whose patients
def merges(configuration: Configuration) -> Iterator[CheckResult]:
    """Merges that are to be followed, of patient IDs whose assigning authority nobody has named."""
    records = configuration.records
    if records.patient_changes and not records.issuers:
        default = f" or {records.default_issuer}" if records.default_issuer else ""
        sentence = (
            f"true: a merge is refused unless its patient IDs name no assigning authority{default}; should have the "
            "hospital's authority in records.issuers"
        )
        yield CheckResult("records.patient_changes", "doubtful", sentence)


# ---- who may connect
def open_doors(configuration: Configuration) -> Iterator[CheckResult]:
    """Ports that other machines reach and that ask nobody who they are."""
    dimse, status, mllp = configuration.receive.dimse, configuration.status, configuration.records.mllp
    if not dimse.require_known_peer and not only_this_machine(dimse.host):
        sentence = f"false: everybody who reaches {dimse.host} may send; should be true, with the senders in peers"
        yield CheckResult("receive.dimse.require_known_peer", "doubtful", sentence)
    if mllp is not None and not mllp.networks and not only_this_machine(mllp.host):
        sentence = (
            f"{mllp.host}: everybody who reaches it may send records; should have records.mllp.networks beside it"
        )
        yield CheckResult("records.mllp.host", "doubtful", sentence)
    if only_this_machine(status.host):
        return
    tokens = {
        name: section.token is not None or section.token_file is not None
        for name, section in (
            ("status", status),
            ("receive.dicomweb", configuration.receive.dicomweb),
            ("records", configuration.records),
            ("run_requests", configuration.run_requests),
        )
    }
    if any(tokens.values()) and status.tls is None:
        named = ", ".join(name for name, given in tokens.items() if given)
        sentence = f"{status.host}: the tokens ({named}) cross the network in clear; should have status.tls beside it"
        yield CheckResult("status.host", "doubtful", sentence)


def only_this_machine(host: str) -> bool:
    """Whether nobody but this machine reaches a port there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
    yield from _same_ae_titles(configuration)


def _same_ae_titles(configuration: Configuration) -> Iterator[CheckResult]:
    """Peers of one AE title: told apart by their addresses, if they can be."""
    seen: dict[str, tuple[str, Peer]] = {}
    for name, peer in configuration.peers.items():
        other, first = seen.setdefault(peer.ae_title.strip(), (name, peer))
        if first is peer:
            continue
        overlap = not (peer.networks and first.networks) or any(
            one.version == two.version and one.overlaps(two) for one in peer.networks for two in first.networks
        )
        if overlap:
            sentence = (
                f"{peer.ae_title!r}: is the AE title of peers.{other} too, from the same addresses; should be one peer "
                "with all networks, or two with networks that do not overlap"
            )
        else:
            sentence = f"{peer.ae_title!r}: is the AE title of peers.{other} too; only the address tells them apart"
        yield CheckResult(f"peers.{name}.ae_title", "bad" if overlap else "doubtful", sentence)


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
        fetches = name in configuration.run_requests.archives and configuration.run_requests.retrieve == "move"
        if fetches and (why := _not_let_in(configuration, destination)):
            sentence = f"{why}: studies that it moves to the node's port (C-MOVE) are refused there"
            yield CheckResult("run_requests.retrieve", "doubtful", f"{name}: {sentence}")


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


# what keeps a node from starting, and what else is looked at without contacting anybody
AT_START = (the_box, files, notifications, clear_passwords, certificates, doubled_ports, overlaps)
OFFLINE = (
    peers,
    reports,
    callbacks,
    alerts,
    verdicts,
    merges,
    traces,
    open_doors,
    environment,
    graphics,
    viewers,
    *AT_START,
    certificate_dates,
    folders,
    ports,
    open_files,
)
