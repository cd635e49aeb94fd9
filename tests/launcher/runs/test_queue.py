"""Why a run is still in its queue; the conditions are those of Kueue 0.15."""

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


def test_a_run_that_was_taken_out_of_its_queue():
    own = workload("own", [{"type": "Evicted", "status": "True", "reason": "Deactivated"}])
    own["spec"]["active"] = False
    assert queue.explain_wait(own, [own], "own") == ["it was suspended: resnet-launch resume own"]
