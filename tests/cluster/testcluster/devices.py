"""Devices of the node whose health a test decides: the real kubelet knows them by a real device plugin."""

from testcluster.build import binary
from testcluster.node import Node
from testcluster.objects import eventually

RESOURCE = "example.com/chip"  # what a pod asks for
NAME = "devices"


class Devices:
    """`RESOURCE` on the cluster's node; `set` changes how many there are and what becomes of requests.

    A kubelet reports a change to the API server within ten seconds. Until then the scheduler places pods that
    the kubelet rejects with UnexpectedAdmissionError, as after the repair of a host.
    """

    def __init__(self, node: Node, total: int) -> None:
        self.node = node
        self._file = node.folder / NAME
        self.set(total, total)
        if NAME not in node.sandbox.status():
            node.sandbox.start(NAME, [binary(NAME), RESOURCE, str(self._file)])
        assert eventually(lambda: self.allocatable() == total, 40), f"the node has {self.allocatable()}"

    def set(self, total: int, healthy: int, *, refuse: bool = False, once: bool = False) -> None:
        """Let the plugin report `healthy` of `total` devices, and refuse to hand them out, or do so once."""
        scratch = self._file.with_suffix(".new")
        answer = "refuse" if refuse else "once" if once else "allocate"
        scratch.write_text(f"{total} {healthy} {answer}\n")
        scratch.rename(self._file)

    def allocatable(self) -> int:
        """How many devices the scheduler counts on the node."""
        node = self.node.plane.api.request("GET", f"/api/v1/nodes/{self.node.name}")
        return int(node["status"]["allocatable"].get(RESOURCE, 0))
