"""A whole cluster: start it, use it, inject faults, end it."""

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from testcluster import cgroups, controllers, fake, leftovers, mounts, network, places
from testcluster.api import Api, Object
from testcluster.bucket import Bucket
from testcluster.controlplane import ControlPlane
from testcluster.errors import ClusterError
from testcluster.network import Wire
from testcluster.node import Node
from testcluster.sandbox import Sandbox, held

STATE = "state.json"


class Cluster:
    """One running cluster of this checkout, in a sandbox invisible to other clusters and machines.

    kubeconfig    path of an admin's kubeconfig; `api` is the same as an object
    bucket        the Cloud Storage emulator: `url` (for pods and this machine), `environment()`,
                  `create(name)`, `stop()`, `start()`, `refuse()` (answers 503)
    logs          folder with one log for each component, and node/pods/ with the pods' own
    node          the kubelet: `name`, `load(image)`; None while there is only the control plane
    address       the address that stands for the cluster; reachable from this machine and from pods

    Faults: `restart_apiserver()`, `kill(pod)`, `bucket.stop()`, `bucket.refuse()`, and the components
    themselves through `sandbox.stop(name)`.
    """

    def __init__(self, sandbox: Sandbox, wire: Wire) -> None:
        self.sandbox = sandbox
        self.address = wire.node
        self.logs = sandbox.logs
        self.wire = wire
        self.plane = ControlPlane(sandbox, wire)
        self.bucket = Bucket(sandbox, wire)
        self.node: Node | None = None

    @property
    def kubeconfig(self) -> Path:
        """The path of an admin's kubeconfig."""
        return self.plane.kubeconfig

    @property
    def api(self) -> Api:
        """The client of the API server, with an admin's certificate."""
        return self.plane.api

    @classmethod
    def start(cls, name: str, *, owned: bool, empty: bool = False) -> "Cluster":
        """Start the control plane, JobSet, Kueue and the bucket; `add_node` makes it run pods.

        An empty one has neither JobSet nor Kueue, as a new cluster.

        An owned cluster ends with this process, however that ends; any other lives until `end`. Raises
        ClusterError where one of that name runs already, or with the end of the log of the component that
        failed.
        """
        folder = places.cluster_folder(name)
        running = ClusterError(f"cluster {name!r} of this checkout is running", hint="make cluster-down")
        sandbox = leftovers.begin_sandbox(folder, owned, running)
        try:
            wire = network.connect(sandbox)
            mounts.cover(sandbox)
            cluster = cls(sandbox, wire)
            cluster.bucket.start()
            cluster.plane.begin()
            if not empty:
                controllers.begin(cluster.plane)
            cluster._save()
        except BaseException:
            sandbox.end()
            leftovers.clear(folder)
            raise
        return cluster

    @classmethod
    def attach(cls, name: str) -> "Cluster":
        """The running cluster of that name; raises ClusterError where there is none."""
        folder = places.cluster_folder(name)
        if not held(folder):
            raise ClusterError(f"cluster {name!r} of this checkout is not running", hint="make cluster-up")
        if not (folder / STATE).exists():
            raise ClusterError(
                f"cluster {name!r} is still starting, or stuck in it", hint="make cluster-down"
            )
        state = json.loads((folder / STATE).read_text())
        cluster = cls(Sandbox(folder), Wire(**state["wire"]))
        if state["node"]:
            cluster.node = Node(cluster.plane)
        return cluster

    def _save(self) -> None:
        state = {"wire": asdict(self.wire), "node": self.node is not None}
        (self.sandbox.folder / STATE).write_text(json.dumps(state))

    def add_node(self, *images: Path) -> Node:
        """Start containerd with the archives `images`, CoreDNS and a kubelet; the node is then ready for
        pods.
        """
        if not self.node:
            node = Node(self.plane)
            node.begin(*images)
            self.node = node
            self._save()
        return self.node

    def add_fake_nodes(
        self, pool: str, count: int, labels: Mapping[str, str], *, resource: str, devices: int
    ) -> None:
        """Add `count` hosts <pool>-0, <pool>-1, … that only kwok knows, each with `devices` of `resource`.

        They have the labels and the taint of a GKE node pool. Pods placed there "run" until they are deleted.
        """
        if "kwok" not in self.sandbox.status():
            fake.start(self.plane)
        for number in range(count):
            self.api.request("POST", "/api/v1/nodes", fake.node(pool, number, labels, resource, devices))

    def remove_fake_nodes(self, pool: str) -> None:
        """Remove the hosts of a pool."""
        self.api.request("DELETE", f"/api/v1/nodes?labelSelector={fake.POOL}%3D{pool}")

    def stop_apiserver(self) -> None:
        """Kill the API server with SIGKILL, as a crash would."""
        self.sandbox.stop("kube-apiserver", signal.SIGKILL)

    def restart_apiserver(self) -> None:
        """Kill the API server and wait until a new one is ready; the state is etcd's and stays."""
        self.stop_apiserver()
        self.plane.start_apiserver()

    def pod(self, name: str, namespace: str = "default") -> Object:
        """A pod as the API server has it."""
        return self.api.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")

    def processes(self, pod: str, namespace: str = "default") -> list[int]:
        """The processes of a pod's first container, its main one first; ids as seen from this machine."""
        statuses = self.pod(pod, namespace)["status"].get("containerStatuses") or [{}]
        identity = statuses[0].get("containerID", "").removeprefix("containerd://")
        pids = cgroups.processes(identity) if identity else []
        if not pids:
            raise ClusterError(f"pod {namespace}/{pod}: has no running process")
        return sorted(pids, key=_is_main, reverse=True)

    def kill(self, pod: str, namespace: str = "default", number: int = signal.SIGKILL) -> None:
        """Signal the main process of a pod from outside; SIGSTOP makes it hang."""
        os.kill(self.processes(pod, namespace)[0], number)

    def end(self) -> None:
        """End everything and remove everything but the logs; returns when the last process is gone."""
        self.sandbox.end()
        leftovers.clear(self.sandbox.folder)

    @staticmethod
    def end_named(name: str) -> None:
        """End the cluster of that name, even one that is still starting, and clear what ended ones left."""
        folder = places.cluster_folder(name)
        with places.locked(places.cache() / "clusters.lock"):
            if held(folder):
                Sandbox(folder).end()
            leftovers.clear_ended()


def _is_main(process: int) -> bool:
    """Return whether a process is number 1 in its container."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return line.split()[-1] == "1"
    return False
