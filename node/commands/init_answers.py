"""What `condyle init` is told: each answer, read from text and held against the configuration's own rules."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from dicom_sr.words import did_you_mean
from node.config import DicomWebDestination, DimseDestination, FolderDestination, NodeSettings, Peer, Section
from node.config.example import route_of
from node.config.mistakes import mistakes
from pipelines.registry import names

S = TypeVar("S", bound=Section)
Destination = DimseDestination | DicomWebDestination | FolderDestination
THIS_MACHINE = ("127.0.0.0/8", "::1/128")
EVERY = "all"
_PORT = re.compile(r"(?P<host>\[.*\]|[^:]*):(?P<port>[^:\]]*)")


class WrongAnswer(ValueError):
    """The answer cannot be used; the message says what would be right."""


@dataclass(frozen=True)
class Answers:
    """Everything that the configuration is written from."""

    ae_title: str
    senders: tuple[Peer, ...]
    destinations: tuple[Destination, ...]
    pipelines: tuple[str, ...]
    data: str  # as it is to stand in the file
    port: int  # of DICOM
    page_port: int

    @property
    def only_this_machine(self) -> bool:
        """Whether every sender is on this machine, so that no other has to reach the DICOM port."""
        return all(sender.networks and all(one.is_loopback for one in sender.networks) for sender in self.senders)


def ae_title(text: str) -> str:
    """The AE title of the node.

    Raises
    ------
    WrongAnswer
        If it is none.
    """
    return _checked(NodeSettings, {"ae_title": text.strip()}).ae_title


def sender(text: str) -> Peer:
    """Somebody who may send: ``AE@ADDRESS`` or ``AE@NETWORK``, with ``:PORT`` where reports go back to an address.

    Raises
    ------
    WrongAnswer
        If it is not that.
    """
    title, at, place = text.strip().rpartition("@")
    if not at or not place:
        raise WrongAnswer("should be AE@ADDRESS or AE@NETWORK, such as MR1@10.2.0.15 or MR1@10.2.0.0/16")
    host, port = _host_and_port(place)
    if port is None:
        return _checked(Peer, {"ae_title": title, "networks": _networks(host)})
    if "/" in host:
        raise WrongAnswer("a network has no port; should be AE@ADDRESS:PORT for one machine, or AE@NETWORK")
    return _checked(Peer, {"ae_title": title, "networks": _networks(host), "host": host, "port": port})


def _networks(host: str) -> list[str]:
    return list(THIS_MACHINE) if host in ("localhost", "127.0.0.1", "::1") else [host]


def destination(text: str, folder: Path | None = None) -> Destination:
    """Where results go: ``AE@HOST:PORT`` by DICOM, a URL by DICOMweb, else a folder.

    Parameters
    ----------
    folder
        That of the configuration, which a folder that is named without its whole path lies in.

    Raises
    ------
    WrongAnswer
        If it is none of these.
    """
    text = text.strip()
    if re.match(r"[a-zA-Z]+://", text):
        return _checked(DicomWebDestination, {"kind": "dicomweb", "url": text})
    if _is_path(text):
        return _folder(text, folder)
    title, at, place = text.rpartition("@")
    if not at or not place:
        raise WrongAnswer("should be AE@HOST:PORT, such as PACS@pacs.example.org:104, a URL or a folder")
    host, port = _host_and_port(place)
    values = {"kind": "dimse", "ae_title": title, "host": host} | ({} if port is None else {"port": port})
    return _checked(DimseDestination, values)


def _is_path(text: str) -> bool:
    return text.startswith(("/", ".", "~")) or (not set(text) & set("@:") and bool(text))


def _folder(text: str, folder: Path | None) -> FolderDestination:
    path = Path(text).expanduser()  # now: the account that the node runs in may have another home
    if (whole := (folder or Path()) / path).exists() and not whole.is_dir():
        raise WrongAnswer(f"{whole} is a file; should be a folder")
    return FolderDestination(kind="folder", path=path)


def pipelines(text: str) -> tuple[str, ...]:
    """Pipelines by their names or numbers in `offered`, with commas between; or all of them.

    Raises
    ------
    WrongAnswer
        If one of them is not offered.
    """
    there = offered()
    words = [word for word in re.split(r"[\s,]+", text.strip()) if word]
    if words == [EVERY]:
        return there
    if not words:
        raise WrongAnswer(f"should be {EVERY}, or names or numbers from the list")
    return tuple(dict.fromkeys(_pipeline(word, there) for word in words))


def _pipeline(word: str, there: Sequence[str]) -> str:
    if word in there:
        return word
    if word.isdecimal() and 1 <= int(word) <= len(there):
        return there[int(word) - 1]
    if word in names():
        raise WrongAnswer(f"{word}: no route to it is known; leave it out here and write one, as CONTRIBUTING.md says")
    raise WrongAnswer(
        f"{word}: should be a number from 1 to {len(there)} or one of {', '.join(there)}{did_you_mean(word, there)}"
    )


def offered() -> tuple[str, ...]:
    """The installed pipelines to which the example configuration has a route, so that one can be written."""
    return tuple(name for name in names() if route_of(name) is not None)


def not_offered() -> tuple[str, ...]:
    """The other installed pipelines, whose routes only their authors know."""
    return tuple(name for name in names() if route_of(name) is None)


# ---- names in the file
def named(things: Iterable[Peer | Destination]) -> dict[str, Any]:
    """Peers or destinations by names for the file, made from what they are called; no name is there twice."""
    found: dict[str, Any] = {}
    for thing in things:
        stem = _stem(thing)
        numbered = chain([stem], (f"{stem}_{number}" for number in count(2)))
        found[next(name for name in numbered if name not in found)] = thing
    return found


def _stem(thing: Peer | Destination) -> str:
    match thing:
        case FolderDestination():
            text = thing.path.name
        case DicomWebDestination():
            text = (urlsplit(thing.url).hostname or "").partition(".")[0]
            text = "dicomweb" if text.isdecimal() else text
        case _:
            text = thing.ae_title
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:32] or "other"


# ---- checks
def _host_and_port(place: str) -> tuple[str, str | None]:
    """An address or a name, and the port behind it; an IPv6 address with a port stands in brackets."""
    try:
        ipaddress.ip_network(place, strict=False)
    except ValueError:
        pass
    else:
        return place, None
    found = _PORT.fullmatch(place)
    if found is None:
        return place.strip("[]") if place.startswith("[") else place, None
    return found["host"].strip("[]"), found["port"]


def _checked(section: type[S], values: Mapping[str, object]) -> S:
    try:
        return section.model_validate(dict(values))
    except ValidationError as error:
        first = mistakes(error, section)[0]
        part = _IN_WORDS.get(str(first.where[0]), "")
        raise WrongAnswer(f"{part}{first.sentence}") from None


_IN_WORDS = {"networks": "the address ", "host": "the host ", "port": "the port ", "ae_title": "the AE title "}
