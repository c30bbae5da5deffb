"""Addresses of clusters: which are safe to repeat, and which lead no further than this machine."""

import pytest

from unfreeze.cluster import AddressInvalid
from unfreeze.cluster.addresses import checked_url, host_of, is_loopback, is_url


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.0.0.1:6379", "10.0.0.1"),
        ("http://Head.example:8265/ray", "head.example"),
        ("[::1]:6379", "::1"),
        ("https://[fe80::1]", "fe80::1"),
        ("auto", "auto"),
        ("", ""),
        ("http://[::1", ""),
    ],
)
def test_the_host_is_found_in_either_kind_of_address(address: str, host: str) -> None:
    assert host_of(address) == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "[::1]"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(f"{host}:6379")
    assert is_loopback(f"http://{host}:8265")


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0:8265", "10.0.0.1:1", "auto", "", "http://localhost.example.com"),
        *("http://127.0.0.1.example.com", "http://127.0.0.1@example.com"),
    ],
)
def test_all_else_is_not_even_if_it_looks_so(address: str) -> None:
    assert not is_loopback(address)


def test_the_two_kinds_of_address_are_told_apart() -> None:
    assert is_url("HTTP://head:8265")
    assert not is_url("head:8265")


def test_a_url_keeps_its_path_and_loses_its_last_slash() -> None:
    assert checked_url("https://example.com/ray/") == "https://example.com/ray"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("10.0.0.1:6379", "expected the address of a dashboard, http://HOST:PORT"),
        ("ftp://head:1", "expected the address of a dashboard"),
        ("http://", "expected the address of a dashboard"),
        ("http://head:8265/?token=s3cret", "no more"),
        ("http://head:8265/a b", "no more"),
        ("http://head:8265\nx: y", "no more"),
    ],
)
def test_what_is_no_url_of_a_dashboard_is_refused(address: str, said: str) -> None:
    with pytest.raises(AddressInvalid, match=said):
        checked_url(address)


@pytest.mark.parametrize("address", ["http://me:s3cret@head:1", "ftp://s3cret@head", "s3cret@h:1"])
def test_a_password_in_an_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(AddressInvalid) as error:
        checked_url(address)
    assert "s3cret" not in str(error.value)
