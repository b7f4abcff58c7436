"""Where Tocsin may connect to."""

from __future__ import annotations

import asyncio
import ipaddress
import threading

import pytest

from tocsin.channels import guard as guard_module
from tocsin.channels.guard import Forbidden, Guard


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.100.100.200", "100.64.0.1", "192.0.2.1", "198.18.0.1",
        "192.0.0.192", "168.63.129.16", "192.88.99.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:7f00:1::",
        "64:ff9b:1::7f00:1", "64:ff9b::c000:c0", "fec0::1", "3fff::1", "5f00::1", "::7f00:1",
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


def test_a_name_that_nobody_answers_for_holds_up_no_other(monkeypatch: pytest.MonkeyPatch):
    """However many messages wait for it."""
    answers, asked = threading.Event(), []

    def look_up(host: str, _port: int) -> list[str]:
        asked.append(host)
        if host == "dead.example":
            answers.wait(30)
            raise OSError("nobody answers")
        return ["8.8.8.8"]

    async def work() -> None:
        guard = Guard()
        waiting = [asyncio.create_task(guard.resolve("dead.example", 80)) for _ in range(200)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        assert await guard.resolve("good.example", 80) == ["8.8.8.8"]
        answers.set()
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(told[0], asyncio.CancelledError)
        assert {type(one) for one in told[1:]} == {OSError}
        assert asked.count("dead.example") == 1
        with pytest.raises(OSError, match="nobody answers"):
            await guard.resolve("dead.example", 80)
        assert asked.count("dead.example") == 2, "the next one asks anew"

    monkeypatch.setattr(guard_module, "_look_up", look_up)
    asyncio.run(work())
