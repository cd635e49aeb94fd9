"""Following a run on a real API server with the real controllers: list, status, wait, suspend, delete.

No node is needed: the ends of pods are written to their status, as a kubelet would.
"""

import json
import re
import threading
import time

import pytest
from commands import Command
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import eventually, pods, queue

from launcher.runs import watch

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

RUN = "submit --arch resnet18 --data digits --bucket b-1 --image r/i:1 --node-selector pool=none"
TWO = f"{RUN} --slice cpu-2x1 --name run"


class Pods:
    """The pods of the namespace, whose states the test sets."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def attempt(self, number: int, count: int = 2) -> list[Object]:
        """Return the pods of an attempt once all of them exist."""
        label = "jobset.sigs.k8s.io/restart-attempt"

        def started() -> list[Object]:
            everything = pods(self.cluster.api, self.namespace)
            return [pod for pod in everything if pod["metadata"]["labels"].get(label) == str(number)]

        assert eventually(lambda: len(started()) == count), f"attempt {number} did not start"
        return sorted(started(), key=lambda pod: pod["metadata"]["name"])

    def end(self, pod: Object, code: int, message: str = "") -> None:
        """End the container of a pod with an exit code and a termination message."""
        times = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}
        state = {"terminated": {"exitCode": code, "reason": "Error", "message": message, **times}}
        container = {"name": "trainer", "image": "i", "imageID": "i", "ready": False, "restartCount": 0}
        phase = "Failed" if code else "Succeeded"
        self.cluster.api.request(
            "PATCH",
            f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status",
            {"status": {"phase": phase, "containerStatuses": [{**container, "state": state}]}},
            "application/merge-patch+json",
        )

    def cannot_pull(self, pod: Object, cause: str) -> None:
        """Let a pod wait for its image as a kubelet before 1.31 says it: the cause is in an event alone."""
        name, folder = pod["metadata"]["name"], f"/api/v1/namespaces/{self.namespace}"
        waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "r/i:1"'}
        container = {"name": "trainer", "image": "r/i:1", "imageID": "", "ready": False, "restartCount": 0}
        status = {"phase": "Pending", "containerStatuses": [container | {"state": {"waiting": waiting}}]}
        merge = "application/merge-patch+json"
        self.cluster.api.request("PATCH", f"{folder}/pods/{name}/status", {"status": status}, merge)
        involved = {"kind": "Pod", "name": name, "uid": pod["metadata"]["uid"], "namespace": self.namespace}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.pull", "namespace": self.namespace},
            "involvedObject": involved,
            "type": "Warning",
            "reason": "Failed",
            "message": f'Failed to pull image "r/i:1": {cause}',
        }
        self.cluster.api.request("POST", f"{folder}/events", event)


@pytest.fixture
def hand(control_plane: Cluster, namespace: str) -> Pods:
    return Pods(control_plane, namespace)


def test_a_pod_without_a_node_says_what_no_node_has(launch: Command, hand: Pods) -> None:
    launch(TWO)
    hand.attempt(0)

    def why() -> list[str]:
        return launch("status run --json").json["why"]

    assert eventually(lambda: why() != [])
    (reason,) = why()
    assert reason.startswith("no node for the pod: ")
    assert reason.endswith(" (2 pods, such as run-slice-0-0-" + reason[-6:])


def test_an_image_that_cannot_be_pulled_ends_the_wait(
    launch: Command, hand: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 1.0)
    launch(TWO)
    for pod in hand.attempt(0):
        hand.cannot_pull(
            pod, "failed to resolve reference: unexpected status: 403 Forbidden: denied: no access"
        )
    result = launch("wait run --timeout 60s")
    cause = "failed to resolve reference: unexpected status: 403 Forbidden: denied: no access"
    assert result.code == 1
    assert result.err.splitlines()[-2:] == [
        f"error: run 'run' cannot start: image r/i:1: {cause}",
        "hint: mend it, or: resnet-launch delete run",
    ]


def test_pods_that_a_quota_keeps_from_being_made_say_so(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    metadata = {"name": "q", "namespace": namespace}
    quota: Object = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
    control_plane.api.apply([{**quota, "spec": {"hard": {"count/pods": "1"}}}])
    assert eventually(lambda: "hard" in control_plane.api.get(quota)["status"])
    assert launch(TWO).code == 0  # one pod fits, and a dry run checks only one
    wanted = (
        "FailedCreate: no pod can be created: exceeded quota: q, requested: count/pods=1, used: "
        "count/pods=1, limited: count/pods=1"
    )
    assert eventually(lambda: wanted in launch("status run --json").json["why"])


def test_a_counted_restart_and_then_the_end(launch: Command, hand: Pods) -> None:
    launch(f"{TWO} --max-restarts 1")
    hand.end(hand.attempt(0)[1], 43, "error: bucket gone")
    hand.attempt(1)
    status = launch("status run --json").json
    assert status["phase"] == "Restarting"
    assert status["restarts"] == {"total": 1, "counted": 1, "max": 1}
    ended = (
        r"Container trainer for pod \S+/run-slice-0-1-\w{5} failed with exit code 43 matching FailJob rule"
    )
    assert re.match(ended, status["last_failure"]["message"])
    second = hand.attempt(1)[1]
    hand.end(second, 45, "error: no step for 300 s\nhint: see above")
    ended = launch("wait run --timeout 30s")
    assert (ended.code, ended.out) == (
        1,
        "run failed: it failed again after 1 of 1 counted restarts (first failed job: run-slice-0)\n",
    )
    status = launch("status run --json").json
    assert status["phase"] == "Failed"
    assert status["failed"] == {
        "pod": second["metadata"]["name"],
        "node": "",
        "container": "trainer",
        "exit_code": 45,
        "meaning": "hung",
        "message": "error: no step for 300 s\nhint: see above",
        "at": "2026-01-01T00:00:01Z",
    }
    page = launch("status run").out.splitlines()
    assert "  restarts      1 (1 of 1 used)" in page
    assert (
        "  why           it failed again after 1 of 1 counted restarts (first failed job: run-slice-0)"
        in page
    )
    assert f"  failed first  {second['metadata']['name']}: exit code 45, hung" in page
    assert "                  error: no step for 300 s" in page


def test_a_run_that_cannot_succeed_says_which_rule_ended_it(launch: Command, hand: Pods) -> None:
    launch(TWO)
    pod = hand.attempt(0)[0]
    hand.end(pod, 44, "error: data: must be a dataset")
    assert launch("wait run --timeout 30s --json").json["phase"] == "Failed"
    why = launch("status run --json").json
    assert why["failed"]["meaning"] == "cannot succeed"
    assert f"{pod['metadata']['name']} failed with exit code 44" in why["last_failure"]["message"]


def test_wait_sees_the_end_as_it_comes(launch: Command, hand: Pods) -> None:
    launch(TWO)
    both = hand.attempt(0)
    assert launch("wait run --timeout 1s").code == 3
    threading.Timer(1.0, lambda: [hand.end(pod, 0) for pod in both]).start()
    begun = time.monotonic()
    ended = launch("wait run --timeout 60s")
    assert (ended.code, ended.out) == (0, "run completed\n")
    assert time.monotonic() - begun < 20
    assert launch("wait run --timeout 0").code == 0  # the run is over, so no time is needed
    assert [row["phase"] for row in launch("list --json").json] == ["Completed"]


def test_watch_tells_why_a_run_waits_its_restarts_and_its_end(launch: Command, hand: Pods) -> None:
    launch(TWO)
    first = hand.attempt(0)[0]

    def go_on() -> None:
        time.sleep(3)  # the scheduler finds no node meanwhile
        hand.end(first, 42, "preempted at step 7, state saved")
        for pod in hand.attempt(1):
            hand.end(pod, 0)

    other = threading.Thread(target=go_on)
    other.start()
    result = launch("watch run --json")
    other.join(30)
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert (result.code, result.err) == (0, "")
    assert [row["phase"] for row in rows][0 :: len(rows) - 1] == ["Pending", "Completed"]
    assert any("no node for the pod: " in text for row in rows for text in row["why"])
    assert rows[-1]["restarts"] == {"total": 1, "counted": 0, "limit": 10, "causes": {"preempted": 1}}


def test_wait_survives_an_api_server_that_restarts(
    control_plane: Cluster, launch: Command, hand: Pods
) -> None:
    launch(TWO)
    both = hand.attempt(0)

    def restart() -> None:
        control_plane.restart_apiserver()
        for pod in both:
            hand.end(pod, 0)

    timer = threading.Timer(1.0, restart)
    timer.start()
    ended = launch("wait run --timeout 90s")
    timer.join()
    assert (ended.code, ended.out) == (0, "run completed\n")


def test_suspend_takes_the_pods_and_resume_brings_them_back(
    control_plane: Cluster, namespace: str, launch: Command, hand: Pods
) -> None:
    launch(TWO)
    hand.attempt(0)
    assert launch("suspend run").out == "run suspended\n"
    assert eventually(lambda: pods(control_plane.api, namespace) == [])
    status = launch("status run --json").json
    assert status["phase"] == "Suspended"
    assert status["why"] == [f"it was suspended by {status['submitted_by']}: resnet-launch resume run"]
    assert launch("suspend run --json").json == {"name": "run", "suspended": True, "changed": False}
    assert launch("resume run").out == "run resumed\n"
    hand.attempt(0)


def test_delete_returns_when_the_last_pod_is_gone(
    control_plane: Cluster, namespace: str, launch: Command, hand: Pods
) -> None:
    launch(TWO)
    hand.attempt(0)
    refused = launch("delete run")
    assert (refused.code, refused.err.splitlines()[0]) == (
        2,
        "error: yes: must be given when stdin is not a terminal",
    )
    deleted = launch("delete run --yes")
    assert (deleted.code, deleted.out) == (0, "run deleted\n")
    assert deleted.err == "its checkpoints and metrics stay in gs://b-1/run\n"
    assert pods(control_plane.api, namespace) == []
    again = launch("delete run --yes")
    assert (again.code, again.err.splitlines()[0]) == (
        1,
        f"error: no run 'run' in namespace {namespace}",
    )


def test_list_shows_every_run_of_every_namespace_that_is_asked_for(
    namespace: str, launch: Command, hand: Pods
) -> None:
    assert launch("list").err == f"no runs in namespace {namespace}\n"
    launch(TWO)
    launch(f"{RUN} --slice cpu-4x1 --num-slices 2 --name wide")
    rows = {row["name"]: row for row in launch("list --json").json}
    assert {name: (row["hosts"], row["slices"], row["phase"]) for name, row in rows.items()} == {
        "run": (2, 1, "Pending"),
        "wide": (8, 2, "Pending"),
    }
    assert "  2 x cpu-4x1  " in launch("list").out
    assert launch("status runn").err.splitlines()[1] == "hint: did you mean run?"


def test_a_queued_run_says_what_it_waits_for_and_starts_when_there_is_room(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    control_plane.api.apply(queue(namespace, namespace, 2))
    launch(f"{RUN} --slice cpu-2x1 --queue {namespace} --cpu 1 --name first")
    assert eventually(lambda: launch("status first --json").json["phase"] == "Pending")
    launch(f"{RUN} --slice cpu-2x1 --queue {namespace} --cpu 1 --name second")

    def why() -> str:
        return " / ".join(launch("status second --json").json["why"])

    assert eventually(lambda: "insufficient unused quota" in why()), why()
    assert "quota is used by first" in why()
    phases = {row["name"]: row["phase"] for row in launch("list --json").json}
    assert phases == {"first": "Pending", "second": "Queued"}
    launch("delete first --yes")
    assert eventually(lambda: launch("status second --json").json["phase"] == "Pending")


def test_a_run_of_a_queue_is_suspended_through_kueue_which_would_start_it_again(
    control_plane: Cluster, namespace: str, launch: Command, hand: Pods
) -> None:
    control_plane.api.apply(queue(namespace, namespace, 2))
    launch(f"{RUN} --slice cpu-2x1 --queue {namespace} --cpu 1 --name run")
    hand.attempt(0)
    assert launch("suspend run").out == "run suspended\n"
    assert eventually(lambda: pods(control_plane.api, namespace) == [])
    status = launch("status run --json").json
    assert status["phase"] == "Suspended"
    assert status["why"] == [f"it was suspended by {status['submitted_by']}: resnet-launch resume run"]
    assert [row["phase"] for row in launch("list --json").json] == ["Suspended"]
    assert launch("suspend run").out == "run was already suspended\n"
    assert launch("resume run").out == "run resumed\n"
    hand.attempt(0)
