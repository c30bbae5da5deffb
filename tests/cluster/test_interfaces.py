"""Which interface gloo is told to use."""

import os
import socket

import psutil
import pytest

from unfreeze.cluster.interfaces import (
    GLOO_INTERFACE,
    interface_with,
    use_interface_with,
)

INTERFACES = {
    "lo": ["127.0.0.1", "::1"],
    "eth0": ["192.0.2.7", "fe80::1%eth0"],
    "ib0": ["198.51.100.7", "2001:db8::7"],
}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1", "lo"),
        ("192.0.2.7", "eth0"),
        ("198.51.100.7", "ib0"),
        ("2001:db8:0:0::7", "ib0"),
        ("fe80::1", "eth0"),
        ("203.0.113.7", None),
    ],
)
def test_the_interface_is_the_one_that_has_the_address(address: str, name: str | None) -> None:
    assert interface_with(address, INTERFACES) == name


def test_gloo_is_told_the_interface_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GLOO_INTERFACE, "")
    monkeypatch.delenv(GLOO_INTERFACE)  # put back at the end, whatever was set meanwhile
    use_interface_with("203.0.113.7")
    assert GLOO_INTERFACE not in os.environ, "an address that no interface has"
    use_interface_with("127.0.0.1")
    entries = psutil.net_if_addrs()[os.environ[GLOO_INTERFACE]]
    assert "127.0.0.1" in [entry.address for entry in entries if entry.family == socket.AF_INET]


def test_an_interface_that_a_node_has_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GLOO_INTERFACE, "ib0")
    use_interface_with("127.0.0.1")
    assert os.environ[GLOO_INTERFACE] == "ib0"
