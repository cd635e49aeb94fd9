"""The wire between this machine and a sandbox: a pair of virtual interfaces and four addresses of their own.

The addresses come from 198.18.0.0/15 (RFC 2544, set aside for benchmarks inside one lab, never routed). The
sandbox has no default route, so only this machine reaches it. The network ends with the sandbox.
"""

import subprocess
import zlib
from dataclasses import dataclass
from ipaddress import IPv4Address

from testcluster.errors import ClusterError
from testcluster.sandbox import Sandbox

FIRST_ADDRESS = IPv4Address("198.18.0.0")
SLOTS = 8192  # x 4 addresses = a quarter of the /15
TRIES = 64


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One point-to-point network: `host` is this machine's address on it, `node` the cluster's."""

    interface: str
    host: str
    node: str


def wire(slot: int) -> Wire:
    """Return the interface and addresses of a slot: a /30 without its first and last address."""
    first = FIRST_ADDRESS + 4 * slot
    return Wire(interface=f"rnl{slot}", host=str(first + 1), node=str(first + 2))


def connect(sandbox: Sandbox) -> Wire:
    """Connect this machine with the sandbox, through the first slot whose interface does not exist."""
    start = zlib.crc32(sandbox.folder.name.encode())
    for offset in range(TRIES):
        chosen = wire((start + offset) % SLOTS)
        peer = ("peer", "name", "node", "netns", str(sandbox.pid))
        done = _ip("link", "add", chosen.interface, "type", "veth", *peer)
        if done.returncode == 0:
            break
        if "File exists" not in done.stderr:
            raise ClusterError(f"network: {done.stderr.strip()}", hint="the kernel needs the module veth")
    else:
        raise ClusterError(
            f"network: {TRIES} slots in a row are taken", hint="end other clusters: make cluster-down"
        )
    for arguments in (
        ("address", "add", f"{chosen.host}/30", "dev", chosen.interface),
        ("link", "set", chosen.interface, "up"),
    ):
        if (done := _ip(*arguments)).returncode:
            raise ClusterError(f"network: ip {' '.join(arguments)}: {done.stderr.strip()}")
    sandbox.run("ip", "link", "set", "lo", "up")
    sandbox.run("ip", "address", "add", f"{chosen.node}/30", "dev", "node")
    sandbox.run("ip", "link", "set", "node", "up")
    return chosen


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True)
