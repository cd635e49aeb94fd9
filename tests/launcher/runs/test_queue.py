"""Why a run is still in its queue; the conditions are those of Kueue 0.15."""

import pytest

from launcher.runs import queue as queueing


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
    assert queueing.why(own, others, "own") == [
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
    assert queueing.why(own, [own], "own") == [
        "evicted by Kueue (Preempted): Preempted to accommodate a workload"
    ]


def test_a_run_that_kueue_has_not_seen():
    assert queueing.why(None, [], "own") == ["Kueue has not seen the run yet: is its JobSet integration on?"]


def test_a_run_that_was_taken_out_of_its_queue():
    own = workload("own", [{"type": "Evicted", "status": "True", "reason": "Deactivated"}])
    own["spec"]["active"] = False
    assert queueing.why(own, [own], "own") == ["it was suspended: resnet-launch resume own"]


def cluster_queue(total, used=None, active="True"):
    resources = [{"name": "google.com/tpu", "nominalQuota": total}]
    usage = [{"name": "v4", "resources": [{"name": "google.com/tpu", "total": used or "0"}]}]
    return {
        "metadata": {"name": "shared"},
        "spec": {"resourceGroups": [{"flavors": [{"name": "v4", "resources": resources}]}]},
        "status": {
            "conditions": [{"type": "Active", "status": active, "message": "it has no flavor v4"}],
            "flavorsUsage": usage,
        },
    }


V4 = {"cloud.google.com/gke-tpu-accelerator": "tpu-v4-podslice"}


@pytest.mark.parametrize(
    ("queue", "labels", "level", "text"),
    [
        (cluster_queue("32", "8"), V4, "ok", "ClusterQueue shared has room (v4)"),
        (
            cluster_queue("32", "20"),
            V4,
            "warning",
            "wants 16 google.com/tpu, of which 12 are free: it will wait",
        ),
        (cluster_queue("8"), V4, "error", "wants 16 google.com/tpu and the whole quota is 8"),
        (cluster_queue("1k"), {"zone": "a"}, "ok", "ClusterQueue shared has room (v4)"),
        (
            cluster_queue("32"),
            {"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice"},
            "error",
            "no flavor of ClusterQueue shared has nodes for this slice",
        ),
        (
            cluster_queue("32", active="False"),
            V4,
            "error",
            "ClusterQueue shared is not active: it has no flavor v4",
        ),
    ],
)
def test_whether_a_queue_has_room(queue, labels, level, text):
    found = queueing.room(queue, {"v4": labels}, V4, {"google.com/tpu": 16})
    assert found[:2] == (level, text)


@pytest.mark.parametrize(
    ("text", "number"), [("4", 4), ("500m", 0.5), ("2Gi", 2_147_483_648), ("1k", 1000), (3, 3)]
)
def test_quantities(text, number):
    assert queueing.quantity(text) == number
