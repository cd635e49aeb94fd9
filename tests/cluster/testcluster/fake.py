"""Simulated nodes: kwok acts as their kubelet, so a scheduler can place pods on a thousand hosts.

They look like an accelerator pool of GKE: labels, capacity, and the taint that keeps every other pod away.
"""

import functools
from collections.abc import Mapping

from testcluster.api import Object
from testcluster.build import binary, build
from testcluster.controllers import binding, documents
from testcluster.controlplane import ControlPlane, healthy

PORT = 10247
USER = "system:serviceaccount:kube-system:kwok-controller"
ANNOTATION = "kwok.x-k8s.io/node"
POOL = "cloud.google.com/gke-nodepool"
# pod/fast/pod-complete is left out because it ends the pods of a Job at once.
STAGES = (
    "node/fast/node-initialize",
    "node/heartbeat-with-lease/node-heartbeat-with-lease",
    "pod/fast/pod-ready",
    "pod/fast/pod-delete",
)


def start(plane: ControlPlane) -> None:
    """Start kwok: it is the kubelet of every node that carries its annotation."""
    folder = build("kwok") / "manifests"
    plane.api.apply([*documents(folder / "rbac" / "role.yaml"), binding("kwok-controller", USER)])
    flags = [
        f"--kubeconfig={plane.credentials('kwok', USER)}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake",
        "--node-lease-duration-seconds=40",
        f"--server-address={plane.wire.node}:{PORT}",
        *(f"--config={folder / 'stage' / stage}.yaml" for stage in STAGES),
    ]
    plane.sandbox.start("kwok", [binary("kwok"), *flags])
    check = functools.partial(healthy, f"http://{plane.wire.node}:{PORT}/healthz")
    plane.sandbox.wait("kwok", check, errors=(OSError,))


def node(pool: str, number: int, labels: Mapping[str, str], resource: str, devices: int) -> Object:
    """One host of a pool with `devices` of `resource`, which a pod has to tolerate as on GKE."""
    name = f"{pool}-{number}"
    system = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name,
    }
    capacity = {"cpu": "240", "memory": "400Gi", "pods": "20", resource: str(devices)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: "fake"},
            "labels": {**system, POOL: pool, **labels},
        },
        "spec": {"taints": [{"key": resource, "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": capacity, "allocatable": capacity},
    }
