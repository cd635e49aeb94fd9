"""Kinds of capacity, queues and topology."""

import pytest

from launcher import TrainingJob, render
from launcher.errors import RequestError

EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"


def parts(**fields):
    *_, jobset = render(TrainingJob(**{"slice": "v5e-16", "arch": "resnet50", "bucket": "b-1", **fields}))
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    return jobset, job, job["template"]


def test_spot():
    _, _, pod = parts(spot=True)
    assert pod["spec"]["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert {"key": "cloud.google.com/gke-spot", "operator": "Exists", "effect": "NoSchedule"} in pod["spec"][
        "tolerations"
    ]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 25


def test_reservation():
    _, _, pod = parts(reservation="my-capacity")
    assert pod["spec"]["nodeSelector"]["cloud.google.com/reservation-name"] == "my-capacity"
    assert len(pod["spec"]["tolerations"]) == 1


def test_flex_start():
    jobset, job, pod = parts(flex="24h")
    assert pod["spec"]["nodeSelector"]["cloud.google.com/gke-flex-start"] == "true"
    assert job["activeDeadlineSeconds"] == 86400
    assert pod["metadata"]["annotations"] == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    assert "provreq.kueue.x-k8s.io/maxRunDurationSeconds" not in jobset["metadata"]["annotations"]


def test_flex_start_in_a_queue_is_queued_provisioning():
    jobset, job, pod = parts(flex="2d", queue="dws")
    assert jobset["metadata"]["annotations"]["provreq.kueue.x-k8s.io/maxRunDurationSeconds"] == "172800"
    queued = {"key": "cloud.google.com/gke-queued", "operator": "Exists", "effect": "NoSchedule"}
    assert queued in pod["spec"]["tolerations"]  # GKE taints these nodes and does not label them
    assert "cloud.google.com/gke-queued" not in pod["spec"]["nodeSelector"]
    assert "cloud.google.com/gke-flex-start" not in pod["spec"]["nodeSelector"]
    assert "activeDeadlineSeconds" not in job


def test_queue():
    jobset, _, _ = parts(queue="team", priority="high")
    assert jobset["spec"]["suspend"] is True
    assert jobset["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert jobset["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "high"
    assert EXCLUSIVE in jobset["metadata"]["annotations"]
    assert "suspend" not in parts()[0]["spec"]


@pytest.mark.parametrize("kind", ["required", "preferred"])
def test_topology_replaces_exclusive_placement(kind):
    jobset, _, pod = parts(queue="team", **{f"topology_{kind}": "cloud.google.com/gce-topology-block"})
    key = f"kueue.x-k8s.io/podset-{kind}-topology"
    assert pod["metadata"]["annotations"][key] == "cloud.google.com/gce-topology-block"
    assert EXCLUSIVE not in jobset["metadata"]["annotations"]


BLOCK = "cloud.google.com/gce-topology-block"
KUEUE = "kueue.x-k8s.io/podset-"


@pytest.mark.parametrize(
    ("slice", "num_slices", "topology"),
    [
        ("v5e-16", 1, {"required-topology": BLOCK}),
        ("v5e-16", 4, {"slice-required-topology": BLOCK, "slice-size": "4"}),
        ("v4-32", 2, {"slice-required-topology": BLOCK, "slice-size": "4"}),
        ("h100-32", 3, {"slice-required-topology": BLOCK, "slice-size": "4"}),
        ("gb200-72", 2, {"slice-required-topology": BLOCK, "slice-size": "18"}),
        ("l4-1", 2, {"slice-required-topology": BLOCK, "slice-size": "1"}),
        ("cpu-3x1", 2, {"slice-required-topology": BLOCK, "slice-size": "3"}),
    ],
)
def test_kueue_is_told_which_pods_form_a_slice(slice, num_slices, topology):
    jobset, _, pod = parts(slice=slice, num_slices=num_slices, queue="team", topology_required=BLOCK)
    annotations = {
        key.removeprefix(KUEUE): value
        for key, value in pod["metadata"]["annotations"].items()
        if key.startswith(KUEUE)
    }
    assert annotations == topology
    assert EXCLUSIVE not in jobset["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("version", "num_slices", "kind"),
    [("0.13", 4, "required"), ("v0.12.9", 1, "required"), ("0.9", 1, "preferred"), ("1.0", 2, "required")],
)
def test_a_kueue_that_is_new_enough(version, num_slices, kind):
    fields = {"queue": "team", f"topology_{kind}": BLOCK, "num_slices": num_slices}
    assert parts(**fields, kueue_version=version) == parts(**fields)


def test_a_version_of_kueue_may_stand_without_a_queue():
    assert parts(kueue_version="0.5") == parts()


def test_placement_policy():
    _, _, pod = parts(slice="tpu7x-16", placement_policy="p-1")
    assert pod["spec"]["nodeSelector"]["cloud.google.com/placement-policy-name"] == "p-1"


def test_mounts_that_need_a_special_node():
    _, _, pod = parts(mount=["ssd:/fast", "gcs/data:/data"])
    assert pod["spec"]["nodeSelector"]["cloud.google.com/gke-ephemeral-storage-local-ssd"] == "true"
    assert pod["metadata"]["annotations"] == {"gke-gcsfuse/volumes": "true"}


def test_deadline_fails_the_run():
    jobset, job, _ = parts(deadline="2h")
    assert job["activeDeadlineSeconds"] == 7200
    assert jobset["spec"]["failurePolicy"]["rules"][-1] == {
        "name": "outOfTime",
        "action": "FailJobSet",
        "onJobFailureReasons": ["DeadlineExceeded"],
    }


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        (
            {"spot": True, "reservation": "r"},
            "reservation",
            "only kind of capacity, got spot and reservation",
        ),
        ({"flex": "8d"}, "flex", "must be above 0 and at most 7d"),
        ({"flex": "1h", "slice": "v4-32"}, "flex", "no flex-start"),
        ({"spot": True, "slice": "cpu-2x1"}, "spot", "must be left out for CPU slices"),
        ({"spot": True, "slice": "a100-8", "platform": "generic"}, "spot", "only GKE has such nodes"),
        ({"platform": "generic"}, "platform", "must be gke for v5e-16"),
        ({"slice": "tpu7x-16"}, "placement-policy", "must be given for tpu7x-16"),
        ({"priority": "high"}, "priority", "must be used with --queue"),
        ({"topology_required": "a"}, "topology-required", "must be used with --queue"),
        (
            {"queue": "q", "topology_required": "a", "topology_preferred": "a"},
            "topology-preferred",
            "left out",
        ),
        (
            {"queue": "q", "topology_preferred": "a", "num_slices": 2},
            "topology-preferred",
            "must be left out for 2 slices, got 'a': Kueue has no preferred placement of each slice",
        ),
        (
            {"queue": "q", "topology_required": "a", "num_slices": 2, "kueue_version": "0.12"},
            "topology-required",
            "must be used with Kueue 0.13 or newer for 2 slices, got 0.12",
        ),
        (
            {"queue": "q", "topology_required": "a", "kueue_version": "0.8"},
            "topology-required",
            "must be used with Kueue 0.9 or newer, got 0.8",
        ),
        (
            {"queue": "q", "topology_preferred": "a", "kueue_version": "v0.8.4"},
            "topology-preferred",
            "must be used with Kueue 0.9 or newer, got 0.8",
        ),
        ({"gpu_resource": "amd.com/gpu"}, "gpu-resource", "--platform generic"),
        ({"patch": {"kind": "Job"}}, "patch", "must hold only metadata and spec of the JobSet, got 'kind'"),
        ({"patch": {"metadata": {"name": "x"}}}, "patch", "must not rename the run"),
    ],
)
def test_refused(fields, field, message):
    with pytest.raises(RequestError) as caught:
        parts(**fields)
    assert [problem.field for problem in caught.value.problems] == [field]
    assert message in str(caught.value)
