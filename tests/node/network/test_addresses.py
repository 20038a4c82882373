"""Addresses in the forms that sockets and headers have."""

from __future__ import annotations

import ipaddress

import pytest

from node.network.addresses import address_of, is_loopback, within


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.9.9.9"])
def test_every_form_of_a_loopback_address_is_this_machine(text: str) -> None:
    assert is_loopback(text)


@pytest.mark.parametrize("text", ["10.0.0.1", "localhost", "", "::ffff:10.0.0.1", "unknown"])
def test_nothing_else_is(text: str) -> None:
    assert not is_loopback(text)


def test_an_address_is_within_a_network_whichever_way_it_is_written() -> None:
    networks = [ipaddress.ip_network("10.2.0.0/16"), ipaddress.ip_network("fe80::/64")]
    assert within("10.2.3.4", networks)
    assert within("::ffff:10.2.3.4", networks)
    assert within("fe80::1%eth0", networks)
    assert not within("10.3.0.1", networks)
    assert address_of("fe80::1%eth0") == ipaddress.ip_address("fe80::1")
