"""Kubernetes objects that tests of the cluster submit, and functions that wait for their state."""

import time
from collections.abc import Callable, Sequence

from testcluster.api import Api, Object

# What Pod Security `restricted` asks of a pod and of a container.
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
KUEUE = "kueue.x-k8s.io/v1beta2"


def jobset(
    namespace: str,
    name: str,
    *,
    count: int = 2,
    image: str = "localhost/none:1",
    command: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    resources: Object | None = None,
) -> Object:
    """Return a JobSet of one job with `count` pods, each with one container and a writable /tmp."""
    container = {
        "name": "work",
        "image": image,
        "command": list(command),
        "env": [{"name": key, "value": value} for key, value in (environment or {}).items()],
        "resources": resources or {"requests": {"cpu": "1"}},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": POD_SECURITY,
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    job = {"parallelism": count, "completions": count, "backoffLimit": 0, "template": {"spec": pod}}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicatedJobs": [{"name": "slice", "replicas": 1, "template": {"spec": job}}]},
    }


def queue(namespace: str, name: str, cpus: int) -> list[Object]:
    """Return a Kueue LocalQueue `name` and its ClusterQueue with a quota of `cpus`."""
    flavor = {"name": name, "resources": [{"name": "cpu", "nominalQuota": str(cpus)}]}
    groups = [{"coveredResources": ["cpu"], "flavors": [flavor]}]
    return [
        {"apiVersion": KUEUE, "kind": "ResourceFlavor", "metadata": {"name": name}},
        {
            "apiVersion": KUEUE,
            "kind": "ClusterQueue",
            "metadata": {"name": name},
            "spec": {"namespaceSelector": {}, "resourceGroups": groups},
        },
        {
            "apiVersion": KUEUE,
            "kind": "LocalQueue",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterQueue": name},
        },
    ]


def pods(api: Api, namespace: str) -> list[Object]:
    """Return the pods of a namespace."""
    return api.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]


def log(api: Api, namespace: str, pod: str) -> str:
    """Return the log of a pod's container so far."""
    return api.text(f"/api/v1/namespaces/{namespace}/pods/{pod}/log")


def finished(api: Api, manifest: Object) -> str:
    """Return `Completed` or `Failed` when a JobSet is over, otherwise an empty string."""
    conditions = api.get(manifest).get("status", {}).get("conditions", [])
    return "".join(
        item["type"]
        for item in conditions
        if item["type"] in ("Completed", "Failed") and item["status"] == "True"
    )


def eventually(check: Callable[[], bool], seconds: float = 30) -> bool:
    """Return whether `check` becomes true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
