"""Looks inside a running Jobcast, by ways that are open to everyone."""

import re
from pathlib import Path
from typing import Any

from tests.support.live import Live


def health(live: Live) -> dict[str, Any]:
    """What the API says of itself."""
    with live.client() as client:
        found: dict[str, Any] = client.get("/health").raise_for_status().json()
        return found


def channels(live: Live) -> int:
    """Channels that somebody is subscribed to."""
    names = live.redis.command("PUBSUB", "CHANNELS", "{jobcast}:[la]*")
    assert isinstance(names, list)
    return len(names)


def subscriptions(live: Live) -> list[int]:
    """For every connection that follows jobs or activity, how many channels. (The broker's own follow patterns.)"""
    clients = str(live.redis.command("CLIENT", "LIST", "TYPE", "pubsub"))
    return [int(count) for count in re.findall(r" sub=(\d+)", clients) if int(count)]


def at_rest(live: Live) -> bool:
    """Whether no reader has left anything behind in the API."""
    found = health(live)
    return found["streams"] == 0 and found["feeds"] == 0 and channels(live) == 0


def resident_kib(pid: int) -> int:
    """Memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")
