"""Why a run waits or failed. The conditions, events and messages are those of a real cluster (1.36)."""

import pytest

from launcher.runs import diagnosis

UNSCHEDULABLE = (
    "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are "
    "available: 1 No preemption victims found for incoming pod."
)


def jobset(suspend=False, labels=None, status=None, slices=1, hosts=2, **metadata):
    group = {"name": "slice", "replicas": slices, "template": {"spec": {"parallelism": hosts}}}
    return {
        "metadata": {"name": "run", "labels": labels or {}, **metadata},
        "spec": {"suspend": suspend, "replicatedJobs": [group]},
        "status": status or {},
    }


def pod(name="run-slice-0-0-abcde", phase="Pending", conditions=(), **state):
    container = {"name": "trainer", "image": "r/i:1", "state": state}
    status = {"phase": phase, "conditions": list(conditions)}
    return {
        "metadata": {"name": name},
        "status": status | ({"containerStatuses": [container]} if state else {}),
    }


OVER = {"conditions": [{"type": "Completed", "status": "True"}]}
QUEUE = {"kueue.x-k8s.io/queue-name": "team"}


@pytest.mark.parametrize(
    ("run", "pods", "expected"),
    [
        (jobset(), [], "Pending"),
        (jobset(), [pod(phase="Running"), pod()], "Pending"),
        (jobset(), [pod(phase="Running")] * 2, "Running"),
        (jobset(), [pod(phase="Running"), pod(phase="Succeeded")], "Running"),
        (jobset(), [pod(phase="Running"), pod(phase="Failed")], "Restarting"),
        (jobset(status={"restarts": 1}), [pod(phase="Running"), pod()], "Restarting"),
        (jobset(status={"restarts": 1}), [pod(phase="Running")] * 2, "Running"),
        (jobset(status={"replicatedJobsStatus": [{"ready": 1, "succeeded": 0}]}, slices=2), None, "Pending"),
        (jobset(status={"replicatedJobsStatus": [{"ready": 1, "succeeded": 1}]}, slices=2), None, "Running"),
        (jobset(suspend=True), [], "Suspended"),
        (jobset(suspend=True, labels=QUEUE), [], "Queued"),
        (jobset(status=OVER), [], "Completed"),
        (jobset(status=OVER, deletionTimestamp="2026-01-01T00:00:00Z"), [], "Deleting"),
    ],
)
def test_phase(run, pods, expected):
    assert diagnosis.phase(run, pods) == expected


def test_a_condition_that_is_false_is_none():
    assert (
        diagnosis.phase(jobset(status={"conditions": [{"type": "Failed", "status": "False"}]}), [])
        == "Pending"
    )


def test_hosts_are_those_of_all_slices():
    assert diagnosis.hosts(jobset(slices=8, hosts=64)) == 512


def test_the_same_problem_is_reported_once():
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": UNSCHEDULABLE,
    }
    assert diagnosis.start_problems([pod(conditions=[condition])] * 3) == [
        "no node for the pod: 0/1 nodes are available: 1 Insufficient cpu (3 pods)"
    ]


def test_an_image_that_cannot_be_pulled():
    waiting = {"reason": "ErrImagePull", "message": "not found"}
    assert diagnosis.start_problems([pod(waiting=waiting)]) == ["image r/i:1: ErrImagePull: not found"]


def test_a_container_that_is_being_created_is_no_problem():
    assert diagnosis.start_problems([pod(waiting={"reason": "ContainerCreating"})]) == []


def test_pods_that_cannot_be_created_and_volumes_that_do_not_mount():
    def event(reason, message):
        return {"reason": reason, "message": message}

    quota = "exceeded quota: q, requested: count/pods=1, used: count/pods=2, limited: count/pods=2"
    mount = 'MountVolume.SetUp failed for volume "mount-0" : references non-existent secret key: k'
    events = [
        event("FailedCreate", f'Error creating: pods "run-slice-0-1-abcde" is forbidden: {quota}'),
        event("FailedCreate", f'Error creating: pods "run-slice-0-2-fghij" is forbidden: {quota}'),
        event("FailedScheduling", "another reason"),
        event("FailedMount", mount),
    ]
    assert diagnosis.creation_problems(events) == [
        "FailedCreate: no pod can be created: exceeded quota: q, requested: count/pods=1, used: "
        "count/pods=2, limited: count/pods=2",
        'FailedMount: MountVolume.SetUp failed for volume "mount-0" : references non-existent secret key: k',
    ]


def test_the_pod_that_failed_first_is_named_with_its_last_lines():
    def ended(code, at, message=""):
        return {"exitCode": code, "finishedAt": at, "reason": "Error", "message": message}

    pods = [
        pod("run-slice-0-0-aaaaa", "Failed", terminated=ended(134, "2026-01-01T00:00:09Z")),
        pod("run-slice-0-1-bbbbb", "Failed", terminated=ended(45, "2026-01-01T00:00:03Z", "error: hung\n")),
        pod("run-slice-0-2-ccccc", "Succeeded", terminated=ended(0, "2026-01-01T00:00:01Z")),
    ]
    assert diagnosis.first_failure(pods) == {
        "pod": "run-slice-0-1-bbbbb",
        "exit_code": 45,
        "meaning": "hung",
        "message": "error: hung",
    }


def test_a_pod_that_was_evicted_before_its_container_started():
    evicted = pod("run-slice-0-0-aaaaa", "Failed")
    evicted["status"] |= {"reason": "Evicted", "message": "The node was low on resource: memory. "}
    assert diagnosis.first_failure([evicted]) == {
        "pod": "run-slice-0-0-aaaaa",
        "exit_code": None,
        "meaning": "Evicted",
        "message": "The node was low on resource: memory.",
    }


def test_no_failure():
    assert (
        diagnosis.first_failure([pod(phase="Running", running={"startedAt": "2026-01-01T00:00:00Z"})]) is None
    )


def test_the_last_failure_is_the_newest_of_the_jobs():
    def event(kind, reason, at, message):
        involved = {"kind": kind, "name": "run-slice-0"}
        return {"involvedObject": involved, "reason": reason, "lastTimestamp": at, "message": message}

    events = [
        event("Job", "PodFailurePolicy", "2026-01-01T00:00:09Z", "failed with exit code 42"),
        event("Job", "BackoffLimitExceeded", "2026-01-01T00:00:01Z", "older"),
        event("Pod", "FailedScheduling", "2026-01-01T00:00:11Z", "of a pod"),
    ]
    assert diagnosis.last_failure(events) == {
        "at": "2026-01-01T00:00:09Z",
        "message": "failed with exit code 42",
    }
    assert diagnosis.last_failure(events[2:]) is None
