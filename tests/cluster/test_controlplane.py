"""The control plane without nodes: webhooks and controllers of JobSet and Kueue, and kwok."""

import pytest
from testcluster import Cluster, ClusterError
from testcluster.objects import eventually, jobset, pods, queue


def test_the_server_knows_its_version(control_plane: Cluster) -> None:
    assert control_plane.api.request("GET", "/version")["gitVersion"] == "v1.36.3"


def test_jobset_fills_in_what_multi_host_jobs_need(control_plane: Cluster, namespace: str) -> None:
    control_plane.api.apply([jobset(namespace, "pair")])
    stored = control_plane.api.get(jobset(namespace, "pair"))
    assert stored["spec"]["replicatedJobs"][0]["template"]["spec"]["completionMode"] == "Indexed"
    assert eventually(lambda: len(pods(control_plane.api, namespace)) == 2)
    assert {pod["spec"]["subdomain"] for pod in pods(control_plane.api, namespace)} == {"pair"}


def test_jobset_refuses_a_name_too_long_for_its_pods(control_plane: Cluster, namespace: str) -> None:
    with pytest.raises(ClusterError, match=r"pod names generated for this JobSet will exceed 63"):
        control_plane.api.apply([jobset(namespace, "a" * 60)])


def test_a_pod_that_wants_privileges_is_refused(control_plane: Cluster, namespace: str) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": namespace},
        "spec": {"containers": [{"name": "work", "image": "none", "securityContext": {"privileged": True}}]},
    }
    with pytest.raises(ClusterError, match=r"violates PodSecurity \"restricted:latest\": privileged"):
        control_plane.api.apply([manifest])


def test_kueue_admits_what_fits_and_says_why_the_others_wait(control_plane: Cluster, namespace: str) -> None:
    api = control_plane.api
    api.apply(queue(namespace, namespace, 2))
    first, second = jobset(namespace, "first"), jobset(namespace, "second")
    for manifest in (first, second):
        manifest["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": namespace}
        api.apply([manifest])
        if manifest is first:
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
    assert eventually(lambda: api.get(second)["spec"]["suspend"] is False, 60)


def test_kwok_runs_pods_on_nodes_that_do_not_exist(control_plane: Cluster, namespace: str) -> None:
    labels = {"cloud.google.com/gke-tpu-topology": "2x2x4"}
    control_plane.add_fake_nodes(namespace, 4, labels, resource="google.com/tpu", devices=4)
    manifest = jobset(namespace, "v4-32", count=4, resources={"limits": {"google.com/tpu": "4"}})
    pod = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    pod["nodeSelector"] = labels
    pod["tolerations"] = [{"key": "google.com/tpu", "operator": "Exists"}]
    control_plane.api.apply([manifest])

    def running() -> set[str]:
        everything = pods(control_plane.api, namespace)
        return {pod["spec"]["nodeName"] for pod in everything if pod["status"]["phase"] == "Running"}

    try:
        assert eventually(lambda: running() == {f"{namespace}-{number}" for number in range(4)})
    finally:
        control_plane.remove_fake_nodes(namespace)


def test_the_api_server_comes_back_with_everything(control_plane: Cluster, namespace: str) -> None:
    control_plane.api.apply([jobset(namespace, "before")])
    control_plane.restart_apiserver()
    assert control_plane.api.get(jobset(namespace, "before"))["metadata"]["name"] == "before"
    control_plane.api.apply([jobset(namespace, "after")])
    assert eventually(lambda: len(pods(control_plane.api, namespace)) == 4)
    running = {name for name, report in control_plane.sandbox.status().items() if report["exit"] is None}
    assert running >= {"kube-controller-manager", "kube-scheduler", "jobset", "kueue", "etcd"}
