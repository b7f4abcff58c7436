"""Where a request comes from, also behind proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from tocsin.channels.guard import IpNetwork


def source_of(peer: str, forwarded: str, trusted: Sequence[IpNetwork]) -> str:
    """Return the last hop that is none of our own proxies.

    ``forwarded`` is what X-Forwarded-For says: anybody can write it, so that each hop counts only
    while whoever named it is trusted.
    """
    source = peer
    for hop in reversed([part.strip() for part in forwarded.split(",")] if forwarded else []):
        if not _is_trusted(source, trusted):
            break
        address = _read(hop)
        if address is None:
            break
        source = str(address)
    return source


def _is_trusted(text: str, trusted: Sequence[IpNetwork]) -> bool:
    address = _read(text)
    return address is not None and any(address in network for network in trusted)


def _read(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, with or without a port; ``::ffff:10.0.0.1`` is 10.0.0.1."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
