"""Where a webhook may go."""

import ipaddress

import pytest

from progress.targets import SETTING, RefusedTarget, Targets, is_public

INTERNET = Targets.of(())
AT_HOME = Targets.of(("10.0.0.0/8", "127.0.0.1", "::1", "hooks.lan"))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/a?b=c",
        "https://example.com:8443/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://[64:ff9b::808:808]/",
        "https://xn--bcher-kva.example/",
    ],
)
def test_the_internet_is_open(url: str) -> None:
    INTERNET.check(url)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "LOCALHOST.", "a.localhost"),
        *("0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.8"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "203.0.113.5"),
        *("[::]", "[::1]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "[fec0::1]", "[2001:db8::1]", "[4000::1]"),
        *("[::ffff:127.0.0.1]", "[::ffff:a00:1]", "[::127.0.0.1]", "[64:ff9b::a00:1]", "[64:ff9b:1::1]"),
        *("[2002:a00:1::]", "[2001:0:808:808::f5ff:fffe]"),
    ],
)
def test_private_and_special_addresses_are_refused_however_they_are_written(host: str) -> None:
    with pytest.raises(RefusedTarget, match=SETTING):
        INTERNET.check(f"https://{host}:8443/")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/", "use https"),
        ("http://8.8.8.8/", "use https"),
        ("ftp://example.com/", "begins with https"),
        ("example.com/x", "begins with https"),
        ("https://", "begins with https"),
        ("https://user:secret@example.com/", "name and password"),
        ("https://@example.com/", "name and password"),
        ("https://example.com/#x", "follows #"),
        ("https://example.com:22/", "port 22"),
        ("https://example.com:0/", "port"),
        ("https://example.com:70000/", "is no URL"),
        ("https://[::1", "is no URL"),
        ("https://exa mple.com/", "character"),
        ("https://example.com/\r\nHost: x", "character"),
        ("https://bücher.example/", "character"),
        ("https://example.com\\@127.0.0.1/", "character"),
        ("https://example.com/" + "x" * 2048, "longer"),
    ],
)
def test_what_else_is_refused_says_why(url: str, why: str) -> None:
    with pytest.raises(RefusedTarget, match=why):
        INTERNET.check(url)


@pytest.mark.parametrize(
    "url",
    [
        *("http://10.1.2.3:25/x", "http://127.0.0.1:9000/", "http://localhost:9000/", "http://[::1]:9000/"),
        *("http://hooks.lan/", "http://HOOKS.lan:81/", "https://[::ffff:10.0.0.1]/", "http://some.name.lan/"),
    ],
)
def test_what_the_setting_names_is_open_also_without_tls(url: str) -> None:
    AT_HOME.check(url)


@pytest.mark.parametrize("url", ["https://192.168.0.1/", "https://127.0.0.2/", "http://8.8.8.8/"])
def test_and_nothing_else(url: str) -> None:
    with pytest.raises(RefusedTarget):
        AT_HOME.check(url)


@pytest.mark.parametrize(
    ("url", "address", "allowed"),
    [
        ("https://example.com/", "93.184.215.14", True),
        ("https://example.com/", "2606:4700::1111", True),
        ("https://example.com/", "192.168.0.1", False),
        ("https://example.com/", "fe80::1%eth0", False),
        ("https://example.com/", "10.9.9.9", True),
        ("http://some.name.lan/", "10.9.9.9", True),
        ("http://some.name.lan/", "93.184.215.14", False),
        ("http://hooks.lan/", "192.168.0.1", True),
    ],
)
def test_the_address_that_a_name_has_decides(url: str, address: str, allowed: bool) -> None:
    assert AT_HOME.admits(url, ipaddress.ip_address(address)) is allowed


def test_every_private_network_of_the_tables_is_private_within_ipv6_too() -> None:
    for text in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.0.1"):
        inside = int(ipaddress.IPv4Address(text))
        for prefix in ("::ffff:0:0", "::", "64:ff9b::"):
            assert not is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + inside))


def test_a_network_that_is_none_is_no_setting() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/33"):
        Targets.of(("10.0.0.0/33",))
