"""Which network interface has a node's address, and that gloo's process groups use that one.

gloo listens where the host's own name leads. On many hosts that is a loopback (Debian and Ubuntu
write `127.0.1.1 NAME` into /etc/hosts, containers their own entries), or the wrong one of several
networks: then the workers of other nodes cannot reach it. Ray knows each node's address.
"""

import os
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
"""The variable that gloo reads when a process group is made."""


def interface_with(address: str, interfaces: Mapping[str, Iterable[str]]) -> str | None:
    """The interface that has `address`, of name -> addresses; None if none has it.

    None has it where nodes are behind an address translation. An IPv6 address may carry its zone.
    """
    wanted = ip_address(address)
    for name, addresses in interfaces.items():
        if any(ip_address(found.partition("%")[0]) == wanted for found in addresses):
            return name
    return None


def use_interface_with(address: str) -> None:
    """Makes the gloo groups that this process makes from now on listen at that address.

    A node whose environment names an interface keeps it.
    """
    if GLOO_INTERFACE in os.environ:
        return
    if interface := interface_with(address, _interfaces()):
        os.environ[GLOO_INTERFACE] = interface


def use_interface_of_node() -> None:
    """`use_interface_with` this node's address, as Ray knows it. For a process of Ray's."""
    import ray

    use_interface_with(ray.util.get_node_ip_address())


def _interfaces() -> dict[str, list[str]]:
    import socket

    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    return {
        name: [entry.address for entry in entries if entry.family in families]
        for name, entries in psutil.net_if_addrs().items()
    }
