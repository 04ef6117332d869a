"""Which addresses no fetch may lead to, in every spelling."""

from __future__ import annotations

import pytest

from sse_service.auth.outbound.addresses import is_forbidden_address, is_forbidden_host, is_loopback

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.169.254.",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "025177524776",
    "169.254.43518",
    "169.16689662",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::ffff:0:a9fe:a9fe",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "0.0.0.0",
    "0",
    "::",
    "::ffff:0.0.0.0",
]

ALLOWED = [
    "login.example.com",
    "login.example.com.",
    "10.0.0.7",
    "192.168.1.1",
    "172.16.0.1",
    "127.0.0.1",
    "::1",
    "2001:db8::1",
    "fd12:3456::1",
    "::ffff:10.0.0.7",
    "64:ff9b::10.0.0.7",
    "169.255.0.1",
    "169.253.255.255",
    "a9fea9fe",
    "",
]


@pytest.mark.parametrize("host", METADATA)
def test_link_local_and_metadata_addresses_are_forbidden_in_every_form(host: str) -> None:
    assert is_forbidden_host(host)


@pytest.mark.parametrize("host", ALLOWED)
def test_names_and_other_addresses_are_allowed(host: str) -> None:
    assert not is_forbidden_host(host)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "017700000001", "10.1"])
def test_spellings_of_an_address_that_programs_read_differently_are_forbidden(host: str) -> None:
    assert is_forbidden_host(host)


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="login"):
        is_forbidden_address("login.example.com")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_known_by_its_plain_names_only(host: str) -> None:
    assert is_loopback(host)
    assert not any(is_loopback(other) for other in ("2130706433", "localhost.example.com", "10.0.0.1", "0.0.0.0"))
