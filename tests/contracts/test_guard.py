"""Where Tocsin may connect to."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from tocsin.channels.guard import Forbidden, Guard


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.100.100.200", "100.64.0.1", "192.0.2.1", "198.18.0.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:7f00:1::",
    ],
)  # fmt: skip
def test_what_is_not_the_public_internet_is_closed(address: str):
    assert not Guard().permits(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_the_public_internet_is_open(address: str):
    assert Guard().permits(ipaddress.ip_address(address))


def test_a_network_can_be_opened_on_purpose_and_only_that_one():
    guard = Guard([ipaddress.ip_network("10.1.0.0/16")])
    assert guard.permits(ipaddress.ip_address("10.1.2.3"))
    assert guard.permits(ipaddress.ip_address("::ffff:10.1.2.3"))
    assert not guard.permits(ipaddress.ip_address("10.2.0.1"))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "[::1]"],
)
def test_every_way_to_write_loopback_is_seen_through(host: str):
    with pytest.raises(Forbidden, match="TOCSIN_OUTBOUND_ALLOW"):
        asyncio.run(Guard().resolve(host, 80))
