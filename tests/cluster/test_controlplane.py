"""What the control plane answers without any node: JobSet's and Kueue's own webhooks and controllers, and
kwok's.
"""

import copy
import time
from collections.abc import Callable

import pytest
from testcluster import Cluster, ClusterError
from testcluster.api import Object

CONTAINER = {
    "name": "work",
    "image": "localhost/none:1",
    "resources": {"requests": {"cpu": "1"}},
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
POD_SECURITY = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}


def jobset(namespace: str, name: str, *, pods: int = 2, **pod: object) -> Object:
    """A JobSet of one job with `pods` pods that pass Pod Security restricted."""
    spec = {
        "restartPolicy": "Never",
        "securityContext": POD_SECURITY,
        "containers": [copy.deepcopy(CONTAINER)],
        **pod,
    }
    template = {
        "spec": {"parallelism": pods, "completions": pods, "backoffLimit": 0, "template": {"spec": spec}}
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicatedJobs": [{"name": "slice", "replicas": 1, "template": template}]},
    }


def eventually(check: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether `check` comes true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def pods(cluster: Cluster, namespace: str) -> list[Object]:
    return cluster.api.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]


def test_the_server_knows_its_version(control_plane: Cluster) -> None:
    assert control_plane.api.request("GET", "/version")["gitVersion"] == "v1.36.3"


def test_jobset_fills_in_what_multi_host_jobs_need(control_plane: Cluster, namespace: str) -> None:
    control_plane.api.apply([jobset(namespace, "pair")])
    found = control_plane.api.get(jobset(namespace, "pair"))
    assert found["spec"]["replicatedJobs"][0]["template"]["spec"]["completionMode"] == "Indexed"
    assert eventually(lambda: len(pods(control_plane, namespace)) == 2)
    assert {pod["spec"]["subdomain"] for pod in pods(control_plane, namespace)} == {"pair"}


def test_jobset_refuses_a_name_too_long_for_its_pods(control_plane: Cluster, namespace: str) -> None:
    with pytest.raises(ClusterError, match=r"pod names generated for this JobSet will exceed 63"):
        control_plane.api.apply([jobset(namespace, "a" * 60)])


def test_a_pod_that_wants_privileges_is_refused(control_plane: Cluster, namespace: str) -> None:
    thing = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": namespace},
        "spec": {"containers": [{"name": "work", "image": "none", "securityContext": {"privileged": True}}]},
    }
    with pytest.raises(ClusterError, match=r"violates PodSecurity \"restricted:latest\": privileged"):
        control_plane.api.apply([thing])


def queue(namespace: str, name: str, cpus: int) -> list[Object]:
    """A Kueue queue `name` in the namespace with a quota of `cpus`."""
    flavor = {"name": name, "resources": [{"name": "cpu", "nominalQuota": str(cpus)}]}
    groups = [{"coveredResources": ["cpu"], "flavors": [flavor]}]
    version = "kueue.x-k8s.io/v1beta1"
    return [
        {"apiVersion": version, "kind": "ResourceFlavor", "metadata": {"name": name}},
        {
            "apiVersion": version,
            "kind": "ClusterQueue",
            "metadata": {"name": name},
            "spec": {"namespaceSelector": {}, "resourceGroups": groups},
        },
        {
            "apiVersion": version,
            "kind": "LocalQueue",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterQueue": name},
        },
    ]


def test_kueue_admits_what_fits_and_says_why_the_rest_waits(control_plane: Cluster, namespace: str) -> None:
    api = control_plane.api
    api.apply(queue(namespace, namespace, 2))
    first, second = jobset(namespace, "first"), jobset(namespace, "second")
    for thing in (first, second):
        thing["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": namespace}
        api.apply([thing])
        if thing is first:
            assert eventually(lambda: api.get(first)["spec"]["suspend"] is False)

    def reason() -> str:
        workloads = api.request("GET", f"/apis/kueue.x-k8s.io/v1beta2/namespaces/{namespace}/workloads")[
            "items"
        ]
        waiting = [item for item in workloads if item["metadata"]["ownerReferences"][0]["name"] == "second"]
        conditions = [
            item for workload in waiting for item in workload.get("status", {}).get("conditions", [])
        ]
        return " ".join(item["message"] for item in conditions if item["type"] == "QuotaReserved")

    assert eventually(lambda: "insufficient unused quota for cpu" in reason()), reason()
    assert api.get(second)["spec"]["suspend"] is True
    api.delete(first)
    assert eventually(lambda: api.get(second)["spec"]["suspend"] is False)


def test_kwok_runs_pods_on_nodes_that_do_not_exist(control_plane: Cluster, namespace: str) -> None:
    api = control_plane.api
    control_plane.add_fake_nodes()
    for number in range(4):
        metadata = {
            "name": f"fake-{number}",
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"cloud.google.com/gke-tpu-topology": "2x2x4"},
        }
        capacity = {"cpu": "240", "memory": "400Gi", "pods": "10", "google.com/tpu": "4"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        api.apply([node])
        api.request(
            "PATCH",
            f"/api/v1/nodes/fake-{number}/status",
            {"status": {"capacity": capacity, "allocatable": capacity}},
            "application/merge-patch+json",
        )
    container = CONTAINER | {"resources": {"limits": {"google.com/tpu": "4"}}}
    selector = {"cloud.google.com/gke-tpu-topology": "2x2x4"}
    api.apply([jobset(namespace, "v4-32", pods=4, nodeSelector=selector, containers=[container])])

    def placed() -> set[str]:
        return {pod["spec"].get("nodeName", "") for pod in pods(control_plane, namespace)}

    assert eventually(lambda: placed() == {"fake-0", "fake-1", "fake-2", "fake-3"}), placed()


def test_the_api_server_comes_back_with_everything(control_plane: Cluster, namespace: str) -> None:
    control_plane.api.apply([jobset(namespace, "before")])
    control_plane.restart_apiserver()
    assert control_plane.api.get(jobset(namespace, "before"))["metadata"]["name"] == "before"
    control_plane.api.apply([jobset(namespace, "after")])
    assert eventually(lambda: len(pods(control_plane, namespace)) == 4)
    assert all(report["exit"] is None for report in control_plane.sandbox.status().values())
