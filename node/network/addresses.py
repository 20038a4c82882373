"""Addresses of callers, as HTTP and sockets write them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from node.config import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(text: str) -> Address | None:
    """The address; an IPv4 address that is written as an IPv6 one is the former. None where it is none."""
    try:
        where = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = where.ipv4_mapped if isinstance(where, ipaddress.IPv6Address) else None
    return mapped or where


def bare(node: str) -> str:
    """An address or a name without quotes, brackets and port."""
    node = node.strip().strip('"')
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def within(address: str, networks: Sequence[Network]) -> bool:
    """Whether it is in one of the networks."""
    where = address_of(address)
    return where is not None and any(where in network for network in networks)


def is_loopback(address: str) -> bool:
    """Whether it is this machine's own."""
    where = address_of(address)
    return where is not None and where.is_loopback


def one_caller(address: str) -> object:
    """What counts as one caller: an address, of IPv6 the network of 64 bits that one site or machine has (RFC 6177)."""
    where = address_of(address)
    if isinstance(where, ipaddress.IPv6Address):
        return ipaddress.IPv6Network((where, 64), strict=False)
    return where or address
