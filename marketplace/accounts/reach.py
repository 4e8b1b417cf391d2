"""Where webhooks may go: to public addresses over https, and to networks that the operator names.

Covered: addresses of this machine and of private networks, in every spelling and behind every name; a name whose
answer changes between the check and the connection, since the connection goes to the address that was checked;
services on public addresses that speak no TLS.
Not covered: what a public receiver does with a message; and a network behind public addresses that trusts this hub's.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from marketplace.errors import InputError, RefusedError, UnavailableError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

MAX_URL = 500
_URL = re.compile(r"[!-\[\]-~]+")  # printable ASCII without spaces and backslashes
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?\.?|[0-9A-Fa-f:.]+")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_WRAPPED = tuple(ipaddress.ip_network(text) for text in ("2002::/16", "2001::/23"))
"""6to4 and Teredo: IPv6 addresses that lead to an IPv4 one. Mapped, compatible and NAT64 ones are not in 2000::/3."""
_RELAY = ipaddress.ip_network("192.88.99.0/24")


@dataclass(frozen=True)
class Endpoint:
    """A URL in its parts. target: path and query. authority: for the header Host."""

    secure: bool
    host: str
    port: int
    target: str
    authority: str

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Raises InputError for anything but `http(s)://host[:port][/path][?query]`."""
        parts, port = None, None
        if len(url) <= MAX_URL and _URL.fullmatch(url):
            try:
                parts = urlsplit(url)
                port = parts.port
            except ValueError:
                parts = None
        host = (parts.hostname or "") if parts else ""
        if (
            parts is None
            or parts.scheme not in ("http", "https")
            or "@" in parts.netloc
            or parts.fragment
            or not _HOST.fullmatch(host)
            or port == 0
        ):
            raise InputError(
                "not a URL that a webhook can have", got=repr(url)[:80], expected="https://host[:port]/path"
            )
        secure = parts.scheme == "https"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        shown = f"[{host}]" if ":" in host else host
        authority = shown if port is None else f"{shown}:{port}"
        return cls(secure, host, port or (443 if secure else 80), target, authority)


def look_up(host: str, port: int) -> list[str]:
    """All addresses of a name, as the system resolves it. Raises UnavailableError."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UnavailableError("the webhook's host has no address", got=f"{host}: {reason}") from None


@dataclass(frozen=True)
class Reach:
    """allowed: networks that the operator names, for http too. resolve: gives a name's addresses, once a delivery."""

    allowed: tuple[Network, ...] = ()
    resolve: Resolve = look_up

    def address(self, endpoint: Endpoint) -> str:
        """The address to connect to, now. Raises RefusedError where any of the name's may not be reached."""
        found = [_unwrapped(text) for text in self.resolve(endpoint.host, endpoint.port)]
        if not found:
            raise UnavailableError("the webhook's host has no address", got=endpoint.host)
        for address in found:
            if not self._named(address) and not is_public(address):
                raise RefusedError(
                    "webhooks do not go to private addresses",
                    got=f"{endpoint.host} at {address}",
                    expected="a public address",
                    do="The hub's operator may allow a network: --webhooks-to CIDR.",
                )
            if not endpoint.secure and not self._named(address):
                raise RefusedError(
                    "webhooks go over https", got=f"http://{endpoint.authority}", expected="https"
                )
        return str(found[0])

    def _named(self, address: Address) -> bool:
        return any(address in network for network in self.allowed)


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, and means itself."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = any(address in network for network in _WRAPPED)
        return address in _GLOBAL_UNICAST and address.is_global and not wrapped
    return address.is_global and not address.is_multicast and address not in _RELAY


def parse_network(text: str) -> Network:
    """Raises InputError."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise InputError("not a network", got=text[:80], expected="a CIDR, as 127.0.0.0/8") from error


def _unwrapped(text: str) -> Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
