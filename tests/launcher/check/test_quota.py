"""Whether a ClusterQueue has room for a run."""

import pytest

from launcher.check import quota


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
            "the run requests 16 google.com/tpu, and 12 are free: it will wait",
        ),
        (cluster_queue("8"), V4, "error", "the run requests 16 google.com/tpu, and the whole quota is 8"),
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
    result = quota.room(queue, {"v4": labels}, V4, {"google.com/tpu": 16})
    assert result[:2] == (level, text)


@pytest.mark.parametrize(
    ("text", "number"), [("4", 4), ("500m", 0.5), ("2Gi", 2_147_483_648), ("1k", 1000), (3, 3)]
)
def test_quantities(text, number):
    assert quota.quantity(text) == number
