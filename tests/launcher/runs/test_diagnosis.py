"""The phase of a run. The conditions are those of a real cluster (1.36)."""

import pytest

from launcher.runs import diagnosis


def jobset(suspend=False, labels=None, status=None, slices=1, hosts=2, **metadata):
    group = {"name": "slice", "replicas": slices, "template": {"spec": {"parallelism": hosts}}}
    return {
        "metadata": {"name": "run", "labels": labels or {}, **metadata},
        "spec": {"suspend": suspend, "replicatedJobs": [group]},
        "status": status or {},
    }


def pod(phase="Pending", **metadata):
    return {"metadata": {"name": "run-slice-0-0-abcde", **metadata}, "status": {"phase": phase}}


LEAVING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
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
        (jobset(), [pod(phase="Running"), pod(phase="Running", **LEAVING)], "Restarting"),
        (jobset(), [pod(phase="Running"), pod(phase="Unknown")], "Restarting"),
        (jobset(), [*[pod(phase="Running")] * 2, pod(phase="Failed", **LEAVING)], "Running"),
        (jobset(), [{"metadata": {}, "status": None}, pod(phase="Running")], "Pending"),
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


def workload(active=None):
    return {"metadata": {"name": "jobset-run-12345"}, "spec": {} if active is None else {"active": active}}


@pytest.mark.parametrize(
    ("run", "workload", "expected"),
    [
        (jobset(suspend=True, labels=QUEUE), workload(), "Queued"),
        (jobset(suspend=True, labels=QUEUE), workload(True), "Queued"),
        (jobset(suspend=True, labels=QUEUE), workload(False), "Suspended"),
        (jobset(suspend=True), workload(), "Queued"),  # Kueue manages JobSets without a queue too
        (
            jobset(suspend=True, labels=QUEUE, annotations={"resnet-launch/suspended": "{}"}),
            None,
            "Suspended",
        ),
        (jobset(suspend=True, annotations={"resnet-launch/suspended": "{}"}), workload(True), "Queued"),
    ],
)
def test_a_run_that_is_held_waits_for_kueue_or_for_a_person(run, workload, expected):
    assert diagnosis.phase(run, [], workload) == expected


def test_a_run_of_multikueue_runs_although_its_pods_are_elsewhere():
    run = jobset(status={"replicatedJobsStatus": [{"ready": 1, "succeeded": 0}]})
    assert diagnosis.phase(run, []) == "Pending"
    run["spec"]["managedBy"] = "kueue.x-k8s.io/multikueue"
    assert diagnosis.phase(run, []) == "Running"


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        (
            "FailJobSetFailurePolicyAction",
            "applying FailJobSet failure policy action (first failed job: run-slice-0)",
            "it ended in a way that no restart can mend (first failed job: run-slice-0)",
        ),
        (
            "ReachedMaxRestarts",
            "jobset failed due to reaching max number of restarts (first failed job: run-slice-1)",
            "it failed again after 3 of 3 counted restarts (first failed job: run-slice-1)",
        ),
        ("FailedJobs", "jobset failed due to one or more job failures", "a Job of it failed"),
        ("Other", "words of a newer JobSet", "words of a newer JobSet"),
        ("Other", None, "Other"),
    ],
)
def test_a_failure_is_told_without_the_names_of_jobset_s_actions(reason, message, expected):
    failed = {"type": "Failed", "status": "True", "reason": reason, "message": message}
    run = jobset(status={"conditions": [failed]})
    run["spec"]["failurePolicy"] = {"maxRestarts": 3}
    assert diagnosis.failure(run) == expected
