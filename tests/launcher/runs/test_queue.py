"""Why a run is still in its queue; the conditions are those of Kueue 0.15."""

import pytest

from launcher.runs import queue


def workload(name, conditions, created="2026-01-01T00:00:00Z", priority=0):
    return {
        "metadata": {
            "name": f"jobset-{name}-12345",
            "uid": name,
            "creationTimestamp": created,
            "ownerReferences": [{"name": name}],
        },
        "spec": {"queueName": "team", "priority": priority},
        "status": {"conditions": conditions},
    }


def test_queued_behind_a_running_and_an_earlier_run():
    pending = "couldn't assign flavors to pod set slice: insufficient unused quota for cpu"
    waiting = [{"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": pending}]
    admitted = [{"type": "QuotaReserved", "status": "True"}, {"type": "Admitted", "status": "True"}]
    own = workload("own", waiting, "2026-01-01T00:00:02Z")
    others = [
        own,
        workload("running", admitted),
        workload("earlier", waiting, "2026-01-01T00:00:01Z"),
        workload("later", waiting, "2026-01-01T00:00:03Z"),
        workload("urgent", waiting, "2026-01-01T00:00:04Z", priority=100),
        workload("done", [*admitted, {"type": "Finished", "status": "True"}]),
    ]
    assert queue.explain_wait(own, others, "own") == [
        "queue team: couldn't assign flavors to pod set slice: insufficient unused quota for cpu",
        "quota is used by running",
        "behind 2 in the queue: earlier, urgent",
    ]


def test_a_run_that_kueue_has_evicted_says_so():
    evicted = {
        "type": "Evicted",
        "status": "True",
        "reason": "Preempted",
        "message": "Preempted to accommodate a workload",
    }
    own = workload("own", [evicted])
    assert queue.explain_wait(own, [own], "own") == [
        "evicted by Kueue (Preempted): Preempted to accommodate a workload"
    ]


def test_a_run_that_kueue_has_not_seen():
    assert queue.explain_wait(None, [], "own") == [
        "Kueue has not seen the run yet: is its JobSet integration enabled?"
    ]


def test_a_run_whose_priority_class_may_not_exist():
    assert queue.explain_wait(None, [], "own", "highest") == [
        "Kueue has not seen the run yet: does priority class 'highest' exist (kubectl get "
        "workloadpriorityclasses), and is its JobSet integration enabled?"
    ]


def test_a_run_that_was_taken_out_of_its_queue():
    own = workload("own", [{"type": "Evicted", "status": "True", "reason": "Deactivated"}])
    own["spec"]["active"] = False
    assert queue.explain_wait(own, [own], "own") == ["it was suspended: resnet-launch resume own"]


RESERVED = {
    "type": "QuotaReserved",
    "status": "True",
    "reason": "QuotaReserved",
    "message": "in ClusterQueue cq",
}
NO_RESERVATION = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "no quota"}


def evicted(reason, message):
    return {"type": "Evicted", "status": "True", "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (
            {"name": "dws", "state": "Pending", "message": "Waiting for resources."},
            "admission check dws (Pending): Waiting for resources.",
        ),
        (
            {
                "name": "dws",
                "state": "Retry",
                "retryCount": 2,
                "requeueAfterSeconds": 60,
                "message": "no node",
            },
            "admission check dws (Retry, tried 2 times, again after 60 s): no node",
        ),
        ({"name": "dws", "state": "Pending", "message": ""}, "admission check dws (Pending)"),
        (
            {"name": "dws", "state": "Ready", "message": "done"},
            "Kueue has reserved its quota and admits it soon",
        ),
    ],
)
def test_admission_checks_are_read(check, expected):
    own = workload("own", [RESERVED])
    own["status"]["admissionChecks"] = [check]
    assert queue.explain_wait(own, [own], "own") == [expected]


@pytest.mark.parametrize(
    "conditions",
    [
        # Kueue 0.15 replaces DeactivationTarget by a reason of Evicted.
        [
            evicted(
                "DeactivatedDueToAdmissionCheck", "The workload is deactivated due to Admission check(s): dws"
            )
        ],
        [evicted("DeactivatedDueToRequeuingLimitExceeded", "The workload is deactivated due to exceeding …")],
        [
            evicted("Deactivated", "The workload is deactivated due to an admission check being rejected"),
            {
                "type": "DeactivationTarget",
                "status": "True",
                "reason": "AdmissionCheck",
                "message": "rejected: dws",
            },
        ],
        [evicted("InactiveWorkloadRequeuingLimitExceeded", "The workload is deactivated by exceeding …")],
        [{"type": "DeactivationTarget", "status": "True", "reason": "MaximumExecutionTimeExceeded"}],
    ],
)
def test_a_run_that_kueue_deactivated_was_not_suspended_by_a_person(conditions):
    own = workload("own", conditions)
    own["spec"]["active"] = False
    [why] = queue.explain_wait(own, [own], "own")
    assert why.startswith("Kueue took it out of its queue: ")
    assert why.endswith("; resnet-launch resume own queues it again")


@pytest.mark.parametrize(
    "conditions",
    [
        [evicted("Deactivated", "The workload is deactivated")],
        [evicted("Preempted", "Preempted to accommodate a workload")],  # suspended while it waited
        [NO_RESERVATION],
        [],
    ],
)
def test_a_run_that_a_person_suspended(conditions):
    own = workload("own", conditions)
    own["spec"]["active"] = False
    assert queue.explain_wait(own, [own], "own") == ["it was suspended: resnet-launch resume own"]


def test_a_run_without_a_queue_that_kueue_holds():
    own = workload(
        "own", [NO_RESERVATION | {"reason": "Inadmissible", "message": "LocalQueue  doesn't exist"}]
    )
    own["spec"]["queueName"] = ""
    assert queue.explain_wait(own, [], "own") == [
        "Kueue holds it because it names no queue: submit it with --queue NAME",
        "queue (none): LocalQueue  doesn't exist",
    ]


def test_a_run_that_kueue_tries_again_later():
    own = workload("own", [evicted("PodsReadyTimeout", "Exceeded the PodsReady timeout")])
    own["status"]["requeueState"] = {"count": 2, "requeueAt": "2026-01-01T00:05:00Z"}
    assert queue.explain_wait(own, [own], "own") == [
        "evicted by Kueue (PodsReadyTimeout): Exceeded the PodsReady timeout",
        "put back into the queue 2 times; Kueue tries again at 2026-01-01T00:05:00Z",
    ]


def test_a_run_that_a_person_suspended_is_ahead_of_nobody():
    own = workload("own", [NO_RESERVATION], "2026-01-01T00:00:02Z")
    inactive = workload("inactive", [NO_RESERVATION], "2026-01-01T00:00:01Z")
    inactive["spec"]["active"] = False
    assert queue.explain_wait(own, [own, inactive], "own") == ["queue team: no quota"]


def test_a_run_of_multikueue_says_where_it_runs():
    local, remote = {"spec": {}}, {"spec": {"managedBy": "kueue.x-k8s.io/multikueue"}}
    assert queue.explain_remote(local, None) == []
    assert queue.explain_remote(remote, {"status": {"clusterName": "worker-1"}}) == [
        "MultiKueue runs it on cluster worker-1: its pods, events and logs are there"
    ]
    checks = [{"name": "mk", "state": "Pending", "message": "no cluster has room"}]
    assert queue.explain_remote(remote, {"status": {"admissionChecks": checks}}) == [
        "MultiKueue runs it on another cluster: its pods, events and logs are there",
        "admission check mk (Pending): no cluster has room",
    ]


@pytest.mark.parametrize(
    "odd", [{}, {"spec": None}, {"status": {"conditions": None, "admissionChecks": [None]}}]
)
def test_an_odd_workload_is_no_traceback(odd):
    assert queue.explain_wait(odd, [odd, {}], "own") != []
