"""Where a webhook may go: addresses on the Internet, and those of private networks that a setting names. No I/O.

A URL is judged twice: when a job is submitted (``Targets.check``), and by the addresses that its host has when it is
called (``Targets.admits``), which whoever owns the name may have changed since.
"""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

SETTING: Final = "JOBCAST_WEBHOOK_ALLOW_PRIVATE"
MAX_URL: Final = 2048
OPEN_PORTS: Final = frozenset({80, 443})
"""Of those below 1024, which are a system's own: mail, SSH and the like are nobody's webhook."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
"""All that is given out of IPv6 so far."""
# What the library's own tables let through, or did in one of its versions.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "fec0::/10", "100::/64")
)


class RefusedTarget(ValueError):
    """A URL that no webhook is sent to; the text says why, and what to do."""


@dataclass(frozen=True)
class Targets:
    """What a setting allows beside the Internet: ``hosts`` by name, and ``networks``."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, allowed: tuple[str, ...]) -> Self:
        """From names of hosts, addresses and networks. Raises ValueError."""
        hosts, networks = set(), []
        for text in allowed:
            if "/" in text or _is_literal(text):
                networks.append(ipaddress.ip_network(text, strict=False))
            else:
                hosts.add(text.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def check(self, url: str) -> None:
        """Whether a webhook may have this URL, as far as it says itself. Raises RefusedTarget."""
        parts = _split(url)
        host = (parts.hostname or "").rstrip(".")
        address = literal(host)
        if host in self.hosts or (address and self._lists(address)):
            return
        if address and not is_public(address):
            raise RefusedTarget(f"{host} is no address on the Internet: {SETTING} names those that are allowed")
        if parts.scheme != "https" and (address or not self.networks):
            raise RefusedTarget(f"use https; plain http is for hosts and networks in {SETTING}")
        port = parts.port or 443
        if port < 1024 and port not in OPEN_PORTS:
            raise RefusedTarget(f"port {port} is no web server's: use 443, 80, or one from 1024")

    def admits(self, url: str, address: Address) -> bool:
        """Whether a URL may be called at this address of its host."""
        parts = urlsplit(url)
        if (parts.hostname or "").rstrip(".") in self.hosts or self._lists(address):
            return True
        return parts.scheme == "https" and is_public(address)

    def _lists(self, address: Address) -> bool:
        # None of another version than a network's is in it.
        either = [one for one in (address, embedded(address)) if one]
        return any(one in network for network in self.networks for one in either)


def _split(url: str) -> SplitResult:
    if len(url) > MAX_URL:
        raise RefusedTarget(f"is longer than {MAX_URL} characters")
    if not url.isascii() or any(char <= " " or char in '\\"<>^`{|}\x7f' for char in url):
        raise RefusedTarget("holds a character that no URL has: encode it")
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError as error:
        raise RefusedTarget(f"is no URL: {error}") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise RefusedTarget("give a URL that begins with https://")
    if "@" in parts.netloc:
        raise RefusedTarget("leave name and password out: what is sent is signed")
    if parts.fragment:
        raise RefusedTarget("leave out what follows #: it is never sent")
    if not has_port:
        raise RefusedTarget("its port is no number from 1 to 65535")
    return parts


def _is_literal(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def literal(host: str) -> Address | None:
    """The address that a host is written as, in any way that systems read one (127.1, 0x7f000001); None for a name."""
    if host == "localhost" or host.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def embedded(address: Address) -> Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, compatible, 6to4, Teredo or by NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def is_public(address: Address) -> bool:
    """Whether an address is on the Internet: no private, local, reserved or multicast one, nor one that hides one."""
    real = embedded(address) or address
    if real.is_multicast or any(real in network for network in _NOT_PUBLIC if network.version == real.version):
        return False
    return real.is_global and (real.version == 4 or real in _GLOBAL)
