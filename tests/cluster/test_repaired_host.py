"""A host that is back from a repair before its devices are, with a real kubelet and a real device plugin.

The kubelet reports a change of devices within ten seconds. Until then the scheduler places pods that the
kubelet rejects with UnexpectedAdmissionError.
"""

import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testcluster import Cluster
from testcluster.api import Object
from testcluster.devices import RESOURCE, Devices
from testcluster.objects import eventually, finished, pods

from launcher import TrainingJob, render
from launcher.cluster.api import Cluster as Api
from launcher.runs.status import status

# Each host waits until it reaches the port of the other, or fails with code 43 after a time.
JOIN = """
import os, socket, sys, time
index, run = int(os.environ["JOB_COMPLETION_INDEX"]), os.environ["RESNET_COORDINATOR"].partition(":")[0]
peer = run.replace("-0-0.", f"-0-{1 - index}.", 1)
server = socket.create_server(("", 4000))
print("waits for", peer, flush=True)
for _ in range(int(os.environ["JOIN_SECONDS"]) * 10):
    try:
        socket.create_connection((peer, 4000), 1).close()
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit(43)
print("joined", flush=True)
time.sleep(2)
"""


ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"
NONE = {"hosts": [], "restarts": 0}


def after(stamp: str, seconds: int) -> str:
    moment = datetime.datetime.fromisoformat(stamp) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def devices(cluster: Cluster) -> Devices:
    assert cluster.node
    return Devices(cluster.node, 2)


class Run:
    """A run of two hosts with a device each."""

    def __init__(self, cluster: Cluster, namespace: str, program: str, seconds: int, **more: Any) -> None:
        self.cluster, self.namespace = cluster, namespace
        limits = {"resources": {"limits": {RESOURCE: "1"}}}
        patch = _patched({"template": {"spec": {"containers": [{"name": "trainer", **limits}]}}})
        job = TrainingJob(
            slice="cpu-2x1",
            name="run",
            namespace=namespace,
            image="localhost/resnet-launch:cpu",
            command=("python", "-c", program),
            exit_codes={"retry": (43,)},
            env={"JOIN_SECONDS": str(seconds)},
            cpu="100m",
            memory="128Mi",
            grace=1,
            patch=(patch, *more.pop("patch", ())),
            **more,
        )
        [self.jobset] = render(job)
        cluster.api.apply([self.jobset])

    def status(self) -> Any:
        return status(Api(None, self.namespace, str(self.cluster.kubeconfig)), "run")

    def pods(self, host: int) -> list[Object]:
        """Return the pods of a host, the oldest first."""
        index = "batch.kubernetes.io/job-completion-index"
        own = [
            p for p in pods(self.cluster.api, self.namespace) if p["metadata"]["labels"][index] == str(host)
        ]
        return sorted(own, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def rejected(self, host: int) -> int:
        reasons = [pod["status"].get("reason") for pod in self.pods(host)]
        return reasons.count("UnexpectedAdmissionError")

    def end(self, seconds: float = 90) -> str:
        assert eventually(lambda: finished(self.cluster.api, self.jobset) != "", seconds), self.status()
        return finished(self.cluster.api, self.jobset)

    def restarts(self) -> tuple[int, int]:
        restarts = self.status()["restarts"]
        return restarts["total"], restarts["counted"]


def _patched(job: Object) -> Object:
    return {"spec": {"replicatedJobs": [{"name": "slice", "template": {"spec": job}}]}}


@pytest.fixture
def start(cluster: Cluster, namespace: str, devices: Devices) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(program: str = JOIN, seconds: int = 60, **more: Any) -> Run:
        runs.append(Run(cluster, namespace, program, seconds, **more))
        return runs[-1]

    yield begin
    for run in runs:
        cluster.api.delete(run.jobset)
    assert eventually(lambda: pods(cluster.api, namespace) == [], 60)
    devices.set(2, 2)


def test_a_rejected_slice_waits_with_growing_pauses_and_uses_no_restart(
    start: Callable[..., Run], devices: Devices
) -> None:
    devices.set(2, 2, refuse=True)
    run = start(max_restarts=0)
    assert eventually(lambda: run.rejected(0) == run.rejected(1) == 2, 60)
    described = run.status()
    assert (described["phase"], described["pods"], described["failed"]) == ("Pending", {}, None)
    assert [(row["host"], row["pods"], row["left"]) for row in described["rejected"]["hosts"]] == [
        (0, 2, 3),
        (1, 2, 3),
    ]
    second = run.pods(1)[1]["metadata"]["creationTimestamp"]
    assert described["rejected"]["hosts"][1]["next"] == after(second, 20)
    assert described["why"][1].startswith("node node-0 rejected the pod of slice 0 host 1, 2 times since ")
    assert "(UnexpectedAdmissionError: Allocate failed due to " in described["why"][1]
    devices.set(2, 2)
    assert run.end() == "Completed"
    assert run.restarts() == (0, 0)
    described = run.status()
    assert (described["pods"], described["rejected"], described["why"]) == ({"Succeeded": 2}, NONE, [])


def test_the_other_host_meets_the_new_pod_of_the_same_attempt(
    start: Callable[..., Run], devices: Devices
) -> None:
    devices.set(2, 2, once=True)
    run = start(max_restarts=0)
    assert eventually(lambda: run.rejected(0) + run.rejected(1) == 1)
    devices.set(2, 2)
    assert run.end() == "Completed"
    assert run.restarts() == (0, 0)
    assert {pod["metadata"]["labels"][ATTEMPT] for pod in run.pods(0) + run.pods(1)} == {"0"}


def test_a_real_failure_beside_a_rejected_host_counts(start: Callable[..., Run], devices: Devices) -> None:
    devices.set(2, 2, once=True)
    run = start(seconds=4, max_restarts=1)
    assert eventually(lambda: run.rejected(0) + run.rejected(1) == 1)
    assert eventually(lambda: run.restarts() == (1, 1), 60)
    devices.set(2, 2)
    assert "failed with exit code 43 " in run.status()["last_failure"]["message"]


def test_with_exclusive_placement_a_replaced_first_pod_holds_the_others_back(
    start: Callable[..., Run], devices: Devices
) -> None:
    """As on TPU slices: https://github.com/kubernetes-sigs/jobset/pull/1276."""
    devices.set(2, 2, refuse=True)
    exclusive = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "kubernetes.io/hostname"}
    run = start(patch=({"metadata": {"annotations": exclusive}},), max_restarts=0)
    assert eventually(lambda: run.rejected(0) == 1 and run.rejected(1) == 1)
    devices.set(2, 2)
    assert eventually(lambda: len(run.pods(0)) == 2)
    rejected, second = run.pods(0)
    assert eventually(lambda: run.pods(0)[1]["status"]["phase"] == "Running")
    time.sleep(3)  # Job would have made the other pod by now
    assert len(run.pods(1)) == 1
    command = f"kubectl delete pod --namespace {run.namespace} {rejected['metadata']['name']}"
    sentence = "JobSet up to 0.12 makes no other pod of a slice whose first pod failed and has a new one: "
    assert run.status()["why"][2:] == [sentence + command]
    run.cluster.api.request(
        "DELETE", f"/api/v1/namespaces/{run.namespace}/pods/{rejected['metadata']['name']}"
    )
    assert run.end() == "Completed"
    assert run.restarts() == (0, 0)
    assert second["metadata"]["name"] in {pod["metadata"]["name"] for pod in run.pods(0)}


def test_a_host_whose_power_was_cut_costs_one_restart_and_its_devices_none(
    start: Callable[..., Run], devices: Devices
) -> None:
    """The pods that ran are lost, which counts. Those of the next attempt wait for the devices."""
    run = start(JOIN.replace("time.sleep(2)", "time.sleep(5)"), max_restarts=1)
    assert eventually(lambda: run.status()["phase"] == "Running", 60)
    devices.set(2, 2, refuse=True)
    devices.node.power_off()
    devices.node.start_kubelet()
    assert eventually(lambda: run.rejected(0) > 0 and run.rejected(1) > 0, 90)
    assert {pod["metadata"]["labels"][ATTEMPT] for pod in run.pods(0) + run.pods(1)} == {"1"}
    devices.set(2, 2)
    assert run.end() == "Completed"
    assert run.restarts() == (1, 1)
