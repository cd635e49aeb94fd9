"""The rendered failure policy, carried out by the real Job and JobSet controllers.

No node is needed: the test writes a pod's end to its status, as a kubelet would. The node of other
tests would write it again, so no scheduler places these pods.
"""

from typing import Any

import pytest
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import CONTAINER_SECURITY, eventually, pods

from launcher import TrainingJob, render
from launcher.cluster import api
from launcher.runs.status import status

DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}


class Run:
    """A submitted run of two pods."""

    def __init__(self, cluster: Cluster, namespace: str, **fields: Any) -> None:
        self.cluster, self.namespace = cluster, namespace
        base = {
            "slice": "cpu-2x1",
            "arch": "resnet18",
            "name": "run",
            "bucket": "b-1",
            "namespace": namespace,
            "scheduler": "nobody",
        }
        [self.jobset] = render(TrainingJob(**{**base, **fields}))
        cluster.api.apply([self.jobset])

    def pods_of(self, attempt: int) -> list[Object]:
        label = "jobset.sigs.k8s.io/restart-attempt"
        everything = pods(self.cluster.api, self.namespace)
        return [pod for pod in everything if pod["metadata"]["labels"].get(label) == str(attempt)]

    def end(self, attempt: int, code: int, *conditions: Object, container: str = "trainer") -> None:
        """End the first pod of an attempt with an exit code."""
        assert eventually(lambda: len(self.pods_of(attempt)) == 2), f"attempt {attempt} did not start"
        state = {"terminated": {"exitCode": code, "reason": "Error"}}
        ended = {"name": container, "image": "i", "imageID": "i", "ready": False, "restartCount": 0}
        status = {"phase": "Failed", "containerStatuses": [{**ended, "state": state}]}
        self._write(self.pods_of(attempt)[0], {**status, "conditions": list(conditions)})

    def reject(self, attempt: int, host: int, before: int) -> None:
        """Reject the pod of a host that was rejected `before` times, as a kubelet does."""

        def pods() -> list[Object]:
            index = "batch.kubernetes.io/job-completion-index"
            own = [p for p in self.pods_of(attempt) if p["metadata"]["labels"][index] == str(host)]
            return sorted(own, key=lambda pod: pod["status"]["phase"] == "Failed")

        assert eventually(lambda: len(pods()) == before + 1), f"attempt {attempt} has no pod {before + 1}"
        message = "Pod was rejected: Allocate failed due to no healthy devices"
        rejected = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": message}
        self._write(pods()[0], rejected)

    def _write(self, pod: Object, status: Object) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status"
        self.cluster.api.request("PATCH", path, {"status": status}, "application/merge-patch+json")

    def status(self) -> Object:
        return self.cluster.api.get(self.jobset).get("status", {})

    def failed(self) -> bool:
        return self.status().get("terminalState") == "Failed"

    def restarts(self) -> tuple[int, int]:
        """Return (all restarts, counted restarts)."""
        status = self.status()
        return status.get("restarts", 0), status.get("restartsCountTowardsMax", 0)


def test_44_fails_the_run_at_once(control_plane: Cluster, namespace: str) -> None:
    run = Run(control_plane, namespace)
    run.end(0, 44)
    assert eventually(run.failed)
    assert run.restarts() == (0, 0)


def test_42_and_evictions_restart_without_counting(control_plane: Cluster, namespace: str) -> None:
    run = Run(control_plane, namespace, max_restarts=0)
    run.end(0, 42)
    run.end(1, 42)
    run.end(2, 143, DISRUPTED)
    assert eventually(lambda: len(run.pods_of(3)) == 2)
    assert run.restarts() == (3, 0)
    assert not run.failed()


@pytest.mark.parametrize("code", [43, 45, 137])
def test_other_codes_restart_until_the_budget_is_used(
    control_plane: Cluster, namespace: str, code: int
) -> None:
    run = Run(control_plane, namespace, max_restarts=1)
    run.end(0, code)
    run.end(1, code)
    assert eventually(run.failed)
    assert run.restarts() == (1, 1)


def test_for_an_older_jobset_42_counts_and_44_still_fails(control_plane: Cluster, namespace: str) -> None:
    run = Run(control_plane, namespace, max_restarts=1, jobset_version="0.8")
    run.end(0, 42)
    run.end(1, 44)
    assert eventually(run.failed)
    assert run.restarts() == (1, 1)


PROGRAM = {"arch": None, "command": "python train.py", "num_slices": 1}


def test_the_exit_codes_of_a_program_of_the_user_s_own(control_plane: Cluster, namespace: str) -> None:
    codes = "preempted=9,preempted=75,fatal=3,fatal=2"
    run = Run(control_plane, namespace, **PROGRAM, max_restarts=1, exit_codes=codes)
    run.end(0, 9)
    run.end(1, 75)
    run.end(2, 44)  # the trainer's "cannot succeed" means nothing here
    run.end(3, 2)
    assert eventually(run.failed)
    assert run.restarts() == (3, 1)
    launched = api.Cluster(None, namespace, str(control_plane.kubeconfig))
    described = status(launched, "run")
    assert described["command"] == ["python", "train.py"]
    assert described["failed"]["exit_code"] == 2
    assert described["failed"]["meaning"] == "cannot succeed"


def test_a_program_without_hopeless_codes_restarts_until_the_budget_is_used(
    control_plane: Cluster, namespace: str
) -> None:
    run = Run(control_plane, namespace, **PROGRAM, max_restarts=1, exit_codes="retry=1")
    run.end(0, 44)
    run.end(1, 44)
    assert eventually(run.failed)
    assert run.restarts() == (1, 1)


def replacing(times: int) -> dict[str, Any]:
    """Return a patch after which Job replaces a rejected pod that often."""
    group = {"name": "slice", "template": {"spec": {"backoffLimitPerIndex": times}}}
    return {"patch": ({"spec": {"replicatedJobs": [group]}},)}


def test_rejected_pods_restart_all_hosts_without_counting_and_a_failure_after_them_counts(
    control_plane: Cluster, namespace: str
) -> None:
    run = Run(control_plane, namespace, max_restarts=1, **replacing(1))
    run.reject(0, host=1, before=0)
    [first] = [pod for pod in run.pods_of(0) if pod["status"]["phase"] != "Failed"]
    assert eventually(lambda: len(run.pods_of(0)) == 3)  # after 10 s; the other host's pod is still the first
    assert first["metadata"]["uid"] in {pod["metadata"]["uid"] for pod in run.pods_of(0)}
    assert run.restarts() == (0, 0)
    run.reject(0, host=1, before=1)
    assert eventually(lambda: len(run.pods_of(1)) == 2)
    assert run.restarts() == (1, 0)
    launched = api.Cluster(None, namespace, str(control_plane.kubeconfig))
    assert status(launched, "run")["rejected"]["restarts"] == 1
    run.end(1, 43)
    assert eventually(lambda: len(run.pods_of(2)) == 2)
    assert run.restarts() == (2, 1)
    described = status(launched, "run")
    assert described["rejected"] == {"hosts": [], "restarts": 1}
    assert "failed with exit code 43 " in described["last_failure"]["message"]


def test_a_failure_beside_a_rejected_host_counts(control_plane: Cluster, namespace: str) -> None:
    run = Run(control_plane, namespace, max_restarts=1)
    run.reject(0, host=1, before=0)
    run.end(0, 43)
    assert eventually(lambda: len(run.pods_of(1)) == 2)
    assert run.restarts() == (1, 1)


def test_many_rejected_hosts_are_not_added_up(control_plane: Cluster, namespace: str) -> None:
    """Six rejections of six hosts are one for each."""
    run = Run(control_plane, namespace, slice="cpu-6x1", max_restarts=0)
    assert eventually(lambda: len(run.pods_of(0)) == 6)
    for host in range(6):
        run.reject(0, host=host, before=0)
    assert eventually(lambda: len(run.pods_of(0)) == 12)
    assert run.restarts() == (0, 0)


@pytest.mark.parametrize("code", [42, 44])
def test_the_codes_of_another_container_are_not_the_trainers(
    control_plane: Cluster, namespace: str, code: int
) -> None:
    beside = {"name": "beside", "image": "i", "securityContext": CONTAINER_SECURITY}
    pod = {"template": {"spec": {"containers": [beside]}}}
    group = {"name": "slice", "template": {"spec": pod}}
    run = Run(control_plane, namespace, max_restarts=1, patch=({"spec": {"replicatedJobs": [group]}},))
    run.end(0, code, container="beside")
    assert eventually(lambda: len(run.pods_of(1)) == 2)
    assert run.restarts() == (1, 1)
    launched = api.Cluster(None, namespace, str(control_plane.kubeconfig))
    assert status(launched, "run")["last_preemption"] is None
