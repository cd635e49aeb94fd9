"""A node: containerd, CoreDNS and a kubelet, with pods on a bridge that exists in the sandbox only."""

import functools
import json
import shutil
import signal
from pathlib import Path

import yaml

from testcluster import cgroups, containerd, leftovers, mounts, requirements, store
from testcluster.api import Object, Refused
from testcluster.build import binary
from testcluster.controllers import RBAC, binding
from testcluster.controlplane import ControlPlane, healthy
from testcluster.errors import ClusterError

NAME = "node-0"
POD_RANGE = "10.244.0.0/16"
SOCKET = "/run/containerd/containerd.sock"
DOMAIN = "cluster.local"
DNS_USER = "system:serviceaccount:kube-system:coredns"
KUBELET_HEALTH_PORT = 10248
DNS_READY_PORT = 8181
KUBELET_COMMAND = "kubelet.json"


class Node:
    """The one real node of a cluster."""

    name = NAME

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.sandbox = plane.sandbox
        self.folder = plane.sandbox.folder
        self.address = plane.wire.node
        self._loaded = self.folder / "archives"  # their names contain a hash of their content

    def begin(self, *archives: Path) -> None:
        """Start everything, with the images of `archives` in its store, and wait until pods can run."""
        if lacking := requirements.packages():
            raise ClusterError(
                f"a node needs the packages {', '.join(lacking)}", hint="make cluster-packages"
            )
        store.copy(store.prepared(*archives), self.folder / "containerd")
        self._loaded.write_text("".join(f"{archive.name}\n" for archive in archives))
        mounts.cover_for_kubelet(self.sandbox)
        cgroups.create(leftovers.control_group(self.folder))
        self._start_containerd()
        self._start_dns()
        self._start_kubelet()
        check = functools.partial(healthy, f"http://{self.address}:{DNS_READY_PORT}/ready")
        self.sandbox.wait("coredns", check, errors=(OSError,))
        self.sandbox.wait("kubelet", self._ready, errors=(OSError, Refused))

    def _start_containerd(self) -> None:
        network = self.folder / "network"
        network.mkdir()
        (network / "10-bridge.conflist").write_text(json.dumps(_network()))
        path = self.folder / "containerd.toml"
        path.write_text(containerd.config(self.folder / "containerd", "/run/containerd", SOCKET, network))
        self.sandbox.start("containerd", [str(shutil.which("containerd")), f"--config={path}"])
        self.sandbox.wait("containerd", lambda: bool(self.ctr("version")), errors=(ClusterError,))

    def _start_dns(self) -> None:
        self.plane.api.apply(_dns_permissions())
        kubeconfig = self.plane.credentials("coredns", DNS_USER)
        path = self.folder / "Corefile"
        # As in kubeadm's Corefile for this Kubernetes, so that a new pod's name resolves as soon as on a real
        # cluster.
        path.write_text(
            f"""{DOMAIN}:53 in-addr.arpa:53 .:53 {{
    bind {self.address}
    ready {self.address}:{DNS_READY_PORT}
    errors
    cache 30 {{
        disable success {DOMAIN}
        disable denial {DOMAIN}
    }}
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 30
    }}
}}
"""
        )
        self.sandbox.start("coredns", [binary("coredns"), "-conf", str(path)])

    def _start_kubelet(self) -> None:
        authority = self.plane.authority
        serving = authority.issue(
            "kubelet-serving", f"system:node:{NAME}", ["system:nodes"], [NAME, self.address]
        )
        kubeconfig = self.plane.credentials("kubelet", f"system:node:{NAME}", ("system:nodes",))
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.address,
            "healthzBindAddress": self.address,
            "healthzPort": KUBELET_HEALTH_PORT,
            "authentication": {
                "x509": {"clientCAFile": str(authority.pair.certificate)},
                "anonymous": {"enabled": False},
            },
            "tlsCertFile": str(serving.certificate),
            "tlsPrivateKeyFile": str(serving.key),
            "clusterDNS": [self.address],
            "clusterDomain": DOMAIN,
            "resolvConf": "",
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{leftovers.control_group(self.folder)}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "makeIPTablesUtilChains": False,  # no Service addresses here, so no iptables rules
            "volumePluginDir": str(self.folder / "plugins"),
            # The node shares the machine's disk: a full disk must neither evict pods nor collect images.
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        }
        path = self.folder / "kubelet.yaml"
        path.write_text(yaml.safe_dump(config))
        flags = [f"--config={path}", f"--kubeconfig={kubeconfig}", f"--hostname-override={NAME}"]
        command = [binary("kubernetes", "kubelet"), *flags, f"--node-ip={self.address}"]
        (self.folder / KUBELET_COMMAND).write_text(json.dumps(command))
        self.start_kubelet()

    def start_kubelet(self) -> None:
        """Start the kubelet, also after `power_off`."""
        self.sandbox.start("kubelet", json.loads((self.folder / KUBELET_COMMAND).read_text()))

    def power_off(self) -> None:
        """Kill the kubelet and all containers, as a power cut does; the API server is not told of it."""
        self.sandbox.stop("kubelet", signal.SIGKILL)
        for task in self.ctr("tasks", "list", "--quiet").split():
            self.ctr("tasks", "kill", "--all", "--signal", "SIGKILL", task)

    def _ready(self) -> bool:
        """Return whether a pod could start: node ready and untainted, service account created."""
        node = self.plane.api.request("GET", f"/api/v1/nodes/{NAME}")
        self.plane.api.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        conditions = {item["type"]: item["status"] for item in node["status"]["conditions"]}
        return conditions.get("Ready") == "True" and not node["spec"].get("taints")

    def ctr(self, *arguments: str) -> str:
        """Run containerd's own client on the node, in the namespace of the kubelet's containers."""
        return self.sandbox.run(
            "ctr", f"--address={SOCKET}", f"--namespace={containerd.NAMESPACE}", *arguments
        )

    def load(self, archive: Path) -> None:
        """Load the image of a Docker archive; it replaces an older image of the same name."""
        if archive.name not in self._loaded.read_text().split():
            self.ctr("images", "import", str(archive))
            with self._loaded.open("a") as file:
                file.write(f"{archive.name}\n")

    def images(self) -> list[str]:
        """The names of the images on the node."""
        return [
            name for name in self.ctr("images", "list", "--quiet").split() if not name.startswith("sha256:")
        ]


def _network() -> Object:
    """Return a bridge network without masquerade: pods reach each other and the node, nothing else."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": POD_RANGE}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True}
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [bridge | {"ipam": ipam | {"dataDir": "/run/cni"}}],
    }


def _dns_permissions() -> list[Object]:
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    metadata = {"name": "system:coredns"}
    role = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}
    return [role, binding("system:coredns", DNS_USER)]
