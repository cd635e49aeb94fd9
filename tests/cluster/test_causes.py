"""What `status` says about states that a real API server holds: ends of pods, missing Jobs, Workloads.

No node is needed: states of pods and Workloads are written as the kubelet and Kueue would write them.
"""

import json
from typing import Any

import pytest
from commands import Command
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import KUEUE, eventually, pods, queue

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

RUN = "submit --slice cpu-2x1 --arch resnet18 --bucket b-1 --image r/i:1 --node-selector pool=none"
MERGE = "application/merge-patch+json"
TIMES = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:09Z"}
CONTAINER = {"image": "r/i:1", "imageID": "i", "ready": False, "restartCount": 0}


def ended(code: int, reason: str = "Error", message: str = "", name: str = "trainer") -> Object:
    state = {"exitCode": code, "reason": reason, "message": message, **TIMES}
    return {**CONTAINER, "name": name, "state": {"terminated": state}}


def disrupted(reason: str, message: str) -> Object:
    moment = "2026-01-01T00:00:05Z"
    kind = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    return {**kind, "lastTransitionTime": moment}


class Hand:
    """Writes the status of a run's pods."""

    def __init__(self, cluster: Cluster, namespace: str, launch: Command) -> None:
        self.cluster, self.namespace, self.launch = cluster, namespace, launch

    def pods(self, run: str = "run") -> list[Object]:
        def own() -> list[Object]:
            everything = pods(self.cluster.api, self.namespace)
            return [p for p in everything if p["metadata"]["labels"]["jobset.sigs.k8s.io/jobset-name"] == run]

        assert eventually(lambda: len(own()) == 2)
        return sorted(own(), key=lambda pod: pod["metadata"]["name"])

    def write(self, pod: Object, **status: Any) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status"
        self.cluster.api.request("PATCH", path, {"status": status}, MERGE)

    def status(self, run: str = "run") -> Any:
        return self.launch(f"status {run} --json").json


@pytest.fixture
def hand(control_plane: Cluster, namespace: str, launch: Command) -> Hand:
    return Hand(control_plane, namespace, launch)


ENDS = {
    "evicted": (
        {
            "reason": "Evicted",
            "message": "The node was low on resource: memory.",
            "containerStatuses": [ended(137)],
        },
        "evicted by its node, which lacked a resource",
    ),
    "preempted": (
        {
            "conditions": [disrupted("PreemptionByScheduler", "preempted by q")],
            "containerStatuses": [ended(137)],
        },
        "preempted by the scheduler for a pod of higher priority: preempted by q",
    ),
    "node gone": (
        {"conditions": [disrupted("DeletionByPodGC", "PodGC: node no longer exists")]},
        "removed because its node is gone: PodGC: node no longer exists",
    ),
    "out of memory": (
        {"containerStatuses": [ended(137, "OOMKilled")]},
        "out of memory: a process used more than its limit or its node had",
    ),
    "killed": (
        {"containerStatuses": [ended(137)]},
        "killed by SIGKILL; the cluster reports neither a lack of memory nor an eviction",
    ),
    "unknown": (
        {"containerStatuses": [ended(137, "ContainerStatusUnknown")]},
        "lost: its node could not say how it ended",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_cause_of_death_is_the_one_that_the_api_gives(hand: Hand, end: str) -> None:
    status, meaning = ENDS[end]
    hand.launch(f"{RUN} --name run --max-restarts 0")
    first = hand.pods()[1]
    hand.write(first, phase="Failed", **status)
    failed = hand.status()["failed"]
    assert (failed["pod"], failed["meaning"]) == (first["metadata"]["name"], meaning)


def test_a_saved_preemption_is_no_failure(hand: Hand) -> None:
    hand.launch(f"{RUN} --name run")
    before = {pod["metadata"]["name"] for pod in hand.pods()}
    hand.write(hand.pods()[0], phase="Failed", containerStatuses=[ended(42)])
    assert eventually(
        lambda: not before & {p["metadata"]["name"] for p in pods(hand.cluster.api, hand.namespace)}
    )
    assert eventually(lambda: hand.status()["last_preemption"] is not None)
    status = hand.status()
    assert status["last_preemption"]["message"].endswith(" had saved its state")
    assert (status["failed"], status["last_failure"]) == (None, None)
    assert status["restarts"] == {"total": 1, "counted": 0, "max": 10}
    assert "  restarts      1 (0 of 10 used)" in hand.launch("status run").out.splitlines()


def test_a_container_that_outlives_the_trainer_is_named(hand: Hand) -> None:
    hand.launch(f"{RUN} --name run")
    running = {**CONTAINER, "name": "proxy", "state": {"running": {"startedAt": TIMES["startedAt"]}}}
    for pod in hand.pods():
        hand.write(pod, phase="Running", containerStatuses=[ended(0, "Completed"), running])
    status = hand.status()
    assert status["phase"] == "Running"
    [why] = status["why"]
    assert why.startswith("container proxy still runs although the trainer has ended with exit code 0")


def test_jobs_that_a_quota_forbids_are_a_reason(control_plane: Cluster, namespace: str, hand: Hand) -> None:
    metadata = {"name": "q", "namespace": namespace}
    quota: Object = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
    control_plane.api.apply([{**quota, "spec": {"hard": {"count/jobs.batch": "0"}}}])
    assert eventually(lambda: "hard" in control_plane.api.get(quota)["status"])
    hand.launch(f"{RUN} --name run")
    hand.launch(f"{RUN} --name run-2")
    assert eventually(lambda: bool(hand.status()["why"]), 30)
    [why] = hand.status()["why"]
    assert why.startswith("JobCreationFailed: ")
    assert 'jobs.batch "run-slice-0" is forbidden: exceeded quota: q' in why
    assert "run-2-slice-0" not in why


def test_events_of_a_run_with_a_longer_name_are_not_shown(
    control_plane: Cluster, namespace: str, hand: Hand
) -> None:
    hand.launch(f"{RUN} --name exp")
    hand.pods("exp")
    metadata = {"name": "q", "namespace": namespace}
    quota: Object = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
    control_plane.api.apply([{**quota, "spec": {"hard": {"count/pods": "3"}}}])
    assert eventually(lambda: "hard" in control_plane.api.get(quota)["status"])
    hand.launch(f"{RUN} --name exp-2")
    assert eventually(lambda: "FailedCreate" in json.dumps(hand.status("exp-2")["why"]))
    assert "FailedCreate" not in json.dumps(hand.status("exp")["why"])


def test_a_suspended_run_keeps_its_phase_in_status_and_list(hand: Hand) -> None:
    hand.launch(f"{RUN} --name run")
    hand.pods()
    hand.launch("suspend run")
    [row] = hand.launch("list --json").json
    assert row["phase"] == "Suspended"
    assert row["reason"].startswith("suspended by ")
    assert hand.status()["failed"] is None


class Workload:
    """Kueue's Workload of a run, whose status the test writes."""

    def __init__(self, cluster: Cluster, namespace: str, run: str) -> None:
        self.cluster, self.path = cluster, f"/apis/{KUEUE}/namespaces/{namespace}/workloads"
        self.run = run
        assert eventually(lambda: self.read() is not None)

    def read(self) -> Object | None:
        for item in self.cluster.api.request("GET", self.path)["items"]:
            if any(owner["name"] == self.run for owner in item["metadata"].get("ownerReferences", [])):
                return item
        return None

    def write(self, change: Object, subresource: str = "") -> None:
        workload = self.read()
        assert workload is not None
        path = f"{self.path}/{workload['metadata']['name']}{subresource}"
        self.cluster.api.request("PATCH", path, change, MERGE)


def test_a_run_that_kueue_deactivated_says_so_and_is_resumed(
    control_plane: Cluster, namespace: str, hand: Hand
) -> None:
    control_plane.api.apply(queue(namespace, namespace, cpus=0))
    hand.launch(f"{RUN} --name run --queue {namespace} --cpu 1")
    workload = Workload(control_plane, namespace, "run")
    waits = "error: run 'run' is not suspended, it waits for Kueue: queue "
    assert eventually(lambda: hand.launch("resume run").err.startswith(waits))  # once Kueue has looked at it
    refused = hand.launch("resume run")
    assert (refused.code, refused.out) == (1, "")
    # As Kueue does when an admission check rejects: a target, then `active`. Kueue itself adds Evicted.
    reason = {"reason": "AdmissionCheck", "message": "Admission check(s): dws, were rejected"}
    target = {
        "type": "DeactivationTarget",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        **reason,
    }
    conditions = (workload.read() or {}).get("status", {}).get("conditions", [])
    workload.write({"status": {"conditions": [*conditions, target]}}, "/status")
    workload.write({"spec": {"active": False}})

    def why() -> str:
        return " / ".join(hand.status()["why"])

    assert eventually(lambda: "Admission check(s): dws, were rejected" in why()), why()
    assert why().startswith("Kueue took it out of its queue: ")
    assert hand.status()["phase"] == "Suspended"
    # Kueue removes its own target; this one, of another field manager, it cannot.
    conditions = (workload.read() or {}).get("status", {}).get("conditions", [])
    left = [entry for entry in conditions if entry["type"] != "DeactivationTarget"]
    assert [entry["reason"] for entry in left if entry["type"] == "Evicted"] == [
        "DeactivatedDueToAdmissionCheck"
    ]
    workload.write({"status": {"conditions": left}}, "/status")
    assert why().startswith(
        "Kueue took it out of its queue: The workload is deactivated due to Admission check"
    )
    assert hand.launch("resume run").out == "run resumed\n"
    assert eventually(lambda: hand.status()["phase"] == "Queued")


def test_the_queue_is_left_by_suspend_whoever_may_patch_workloads(
    control_plane: Cluster, namespace: str, hand: Hand
) -> None:
    control_plane.api.apply(queue(namespace, namespace, cpus=0))
    hand.launch(f"{RUN} --name run --queue {namespace} --cpu 1")
    Workload(control_plane, namespace, "run")
    assert hand.launch("suspend run").out == "run suspended\n"
    assert [row["phase"] for row in hand.launch("list --json").json] == ["Suspended"]
    resumed = hand.launch("resume run")
    assert (resumed.out, resumed.err) == (
        "run resumed\n",
        f"it waits in queue {namespace} until there is room\n",
    )
