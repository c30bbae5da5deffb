"""Hosts with network addresses of their own on one machine, and a Ray over them.

A host is a network namespace with one end of a veth pair, the other end is in a bridge: cutting it
off is taking that end down. It has a /tmp of its own, and so none of the tests' files. All other
files, the processes and the clock are this machine's. Needs root and `ip`.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Network, ip_interface
from pathlib import Path

from ray_cluster import Node, ray_head

OWN_TMP = 'mount -t tmpfs none /tmp && exec "$@"'
LISTEN = """import socket, sys
server = socket.create_server((sys.argv[1], 0))
print(server.getsockname()[1], flush=True)
server.accept()"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"


class NoNetwork(Exception):
    """This machine does not let us make namespaces; the text says why."""


class Host:
    """A network namespace with an address of its own."""

    def __init__(self, name: str, link: str, address: str) -> None:
        """`link`: the end of its cable that is in the bridge."""
        self.name, self.address, self._link = name, address, link

    @property
    def within(self) -> list[str]:
        """What makes a command run on it, with an empty /tmp."""
        return ["ip", "netns", "exec", self.name, "sh", "-c", OWN_TMP, "sh"]

    def cut_off(self) -> None:
        """Pulls its cable: what is sent is lost, and nobody is told."""
        _ip("link", "set", self._link, "down")

    def reconnect(self) -> None:
        _ip("link", "set", self._link, "up")


class Network:
    """A bridge, and the hosts on it. This machine is on it, too."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._id = f"uf{random.randrange(16**6):06x}"
        self._addresses = _free_network().hosts()
        self._hosts = 0
        self.address = str(next(self._addresses))
        _ip("link", "add", self._id, "type", "bridge")
        stack.callback(_ip, "link", "del", self._id)
        _ip("addr", "add", f"{self.address}/24", "dev", self._id)
        _ip("link", "set", self._id, "up")

    def add_host(self) -> Host:
        """A new host; this machine is its way to all others."""
        self._hosts += 1
        name, address = f"{self._id}-{self._hosts}", str(next(self._addresses))
        link, inner = f"{name}a", f"{name}b"
        _ip("netns", "add", name)
        self._stack.callback(_ip, "netns", "del", name)
        _ip("link", "add", link, "type", "veth", "peer", "name", inner)
        self._stack.callback(_ip, "link", "del", link)  # takes the other end with it
        _ip("link", "set", link, "master", self._id, "up")
        _ip("link", "set", inner, "netns", name)
        for words in (
            ("link", "set", "lo", "up"),
            ("link", "set", inner, "name", "eth0"),
            ("addr", "add", f"{address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", self.address),
        ):
            _ip("-netns", name, *words)
        return Host(name, link, address)


@contextmanager
def network() -> Iterator[Network]:
    """A network that is there as long as the block, whatever happens in it. Raises NoNetwork."""
    if why := _why_not():
        raise NoNetwork(why)
    with ExitStack() as stack:
        try:
            net = Network(stack)
            passes = _passes(net.add_host(), net.add_host())
        except subprocess.CalledProcessError as error:
            raise NoNetwork(f"`{' '.join(error.cmd)}`: {error.stderr.strip()}") from error
        if not passes:
            raise NoNetwork("this machine's firewall stops what goes through a bridge")
        yield net


class Machine:
    """A host with a Ray node on it."""

    def __init__(self, host: Host, node: Node) -> None:
        self.host, self.node = host, node


class Cluster:
    """A head on this machine, without CPUs, and machines with one CPU each."""

    def __init__(self, stack: ExitStack, folder: Path, net: Network, address: str) -> None:
        self._stack, self._folder, self._net = stack, folder, net
        self.address = address
        """As `ray.init` takes it."""
        self.machines: list[Machine] = []
        """Those that were not killed, oldest first."""

    def join(self, count: int = 1) -> None:
        """So many new machines. Returns when Ray has them."""
        hosts = [self._net.add_host() for _ in range(count)]
        new = [Machine(host, self._start_node(host)) for host in hosts]
        self.machines += new
        deadline = time.monotonic() + 300
        while not self._has(new):
            assert time.monotonic() < deadline, "a machine did not join"
            for machine in new:
                # Ray ends a node whose agents take longer than half a minute to start.
                if machine.node.has_ended():
                    machine.node = self._start_node(machine.host)
            time.sleep(0.3)

    def _has(self, machines: list[Machine]) -> bool:
        from ray.exceptions import RpcError

        try:
            return {machine.host.address for machine in machines} <= self.nodes()
        except RpcError:  # a head that has just started, on a busy machine
            return False

    def _start_node(self, host: Host) -> Node:
        node = Node(
            self._folder,
            *(f"--address={self.address}", "--num-cpus=1", "--object-store-memory=100000000"),
            address=host.address,
            within=host.within,
        )
        self._stack.callback(node.kill)  # asked to end, it would wait for a head it cannot reach
        return node

    def kill(self, machine: Machine) -> None:
        """All its processes, at once."""
        machine.node.kill()
        self.machines.remove(machine)

    def nodes(self) -> set[str]:
        """The addresses of the nodes that Ray takes for alive."""
        from ray._raylet import GcsClient
        from ray.core.generated.gcs_pb2 import GcsNodeInfo

        nodes = GcsClient(address=self.address).get_all_node_info(timeout=60).values()
        return {node.node_manager_address for node in nodes if node.state == GcsNodeInfo.ALIVE}

    def workers(self) -> list[int]:
        """How many workers of Ray Train each machine has now."""
        return [len(machine.node.train_workers()) for machine in self.machines]


@contextmanager
def ray_on(net: Network, machines: int) -> Iterator[Cluster]:
    """A Ray of a head and so many machines, with the tests' token."""
    # Ray's sockets lie below it, and the paths of sockets may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="uf-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        head = ray_head(folder, 0, f"--temp-dir={folder}", address=net.address)
        with head as (_, address), ExitStack() as stack:
            cluster = Cluster(stack, folder, net, address)
            cluster.join(machines)
            yield cluster


def _why_not() -> str | None:
    if not shutil.which("ip"):
        return "there is no `ip` (iproute2)"
    if os.geteuid():
        return "network namespaces need root"
    return None


def _passes(one: Host, other: Host) -> bool:
    """Whether a connection from one to the other comes about."""
    listen = [*one.within, sys.executable, "-c", LISTEN, one.address]
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        connect = [*other.within, sys.executable, "-c", CONNECT, one.address, port]
        done = subprocess.run(connect, capture_output=True)
        server.kill()
    return done.returncode == 0


def _free_network() -> IPv4Network:
    """One of the networks that are for benchmarks (RFC 2544), and that this machine is not in."""
    taken = [
        ip_interface(f"{entry['local']}/{entry['prefixlen']}").network
        for link in json.loads(_ip("-json", "-4", "addr"))
        for entry in link.get("addr_info", [])
    ]
    every = list(IPv4Network("198.18.0.0/15").subnets(new_prefix=24))
    return random.choice([network for network in every if not any(map(network.overlaps, taken))])


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
