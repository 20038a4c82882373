"""The configuration that `condyle init` writes: what was answered, with short comments, in the style of the example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

import yaml

from node.commands.init_answers import Answers, Destination, named
from node.config import DicomWebDestination, DimseDestination, FolderDestination, Peer
from node.config.example import route_of, written_part
from pipelines.registry import pipeline_type

COMMENTS_AT = 29  # column, as in the example
RULE = f"# {'-' * 117}"
HEAD = """# The configuration of this node, as `condyle init` wrote it.
#
#   condyle check {file}    reports every problem in it, or that the node can run
#   condyle serve {file}    runs the node
#
# Everything that is not here has its default. The example, config.yaml of the repository, explains every key: copy
# from there what you need. Paths are relative to the folder of this file. Unknown keys are errors.
"""


def written(answers: Answers, file: str) -> str:
    """The text of the configuration.

    Parameters
    ----------
    file
        The name of the file, for the comments at its head.
    """
    peers, destinations = named(answers.senders), named(answers.destinations)
    parts: tuple[tuple[str, Iterator[str]], ...] = (
        ("The node itself.", _node(answers)),
        ("Who may send to the node: the AE title that a sender uses, and where it connects from.", _peers(peers)),
        ("Ways in: how images reach the node.", _receive(answers)),
        (
            "Which pipeline runs on what, and where its results go. All clauses of `when` have to hold.\n"
            "# `condyle route FILES` shows, clause by clause, which routes match your files, without running anything.",
            _routes(answers.pipelines, list(destinations)),
        ),
        ("Where results go.", _destinations(destinations)),
        ("The status page, health and metrics.", _status(answers)),
    )
    sections = (f"{RULE}\n# {about}\n" + "".join(f"{line}\n" for line in lines) for about, lines in parts)
    return "\n".join([HEAD.format(file=file), *sections])


def _node(answers: Answers) -> Iterator[str]:
    yield "node:"
    yield _line(2, "ae_title", answers.ae_title, "of the node, for senders and towards destinations")
    yield _line(2, "data", answers.data, "folder for stored images, results and the database; created if missing")


def _peers(peers: dict[str, Peer]) -> Iterator[str]:
    yield "peers:"
    for name, peer in peers.items():
        yield f"  {name}:"
        yield _line(4, "ae_title", peer.ae_title)
        yield _line(4, "networks", [_network(one) for one in peer.networks])
        if peer.host is not None:
            yield _line(4, "host", peer.host, "address for the node's storage commitment reports")
            yield _line(4, "port", peer.port, "port for them")


def _network(network: IPv4Network | IPv6Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _receive(answers: Answers) -> Iterator[str]:
    host = "127.0.0.1" if answers.only_this_machine else "0.0.0.0"
    about = (
        "this machine only; 0.0.0.0 is every address of it" if host == "127.0.0.1" else "every address of this machine"
    )
    yield "receive:"
    yield "  dimse:                     # the DICOM port"
    yield _line(4, "host", host, about)
    yield _line(4, "port", answers.port)


def _routes(pipelines: Sequence[str], destinations: Sequence[str]) -> Iterator[str]:
    yield "routes:"
    for pipeline in pipelines:
        route = route_of(pipeline)
        assert route is not None, "only pipelines with a route in the example are offered"
        yield f"  {route}:".ljust(COMMENTS_AT - 2) + f"  # {pipeline_type(pipeline).title}"
        yield "    when:"
        yield from written_part(route, "when").splitlines()[1:]
        yield written_part(route, "level").rstrip()
        yield _line(4, "pipeline", pipeline)
        yield _line(4, "destinations", list(destinations), "names from `destinations` below")


def _destinations(destinations: dict[str, Destination]) -> Iterator[str]:
    yield "destinations:"
    for name, destination in destinations.items():
        yield f"  {name}:"
        match destination:
            case DimseDestination():
                yield _line(4, "kind", "dimse", "a DICOM storage provider")
                yield _line(4, "ae_title", destination.ae_title, "its AE title")
                yield _line(4, "host", destination.host, "its address")
                yield _line(4, "port", destination.port, "its port")
            case DicomWebDestination():
                yield _line(4, "kind", "dicomweb", "a DICOMweb (STOW-RS) server")
                yield _line(4, "url", destination.url, "its base URL; the node appends /studies")
                yield f"    #token_file: secrets/{name}-token  # a file that holds the bearer token, if it asks for one"
            case FolderDestination():
                yield _line(4, "kind", "folder", "a folder: one file per object, by study and series")
                yield _line(4, "path", str(destination.path), "created if missing")


def _status(answers: Answers) -> Iterator[str]:
    yield "status:"
    yield _line(2, "host", "127.0.0.1", "this machine only; docs/SECURITY.md says what others need to see it")
    yield _line(2, "port", answers.page_port)


def _line(indent: int, key: str, value: object, comment: str = "") -> str:
    line = f"{' ' * indent}{key}: {_scalar(value)}"
    return f"{line.ljust(COMMENTS_AT - 2)}  # {comment}" if comment else line


def _scalar(value: object) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()
