"""Rendered manifests on a real API server: fields, JobSet's webhook, Pod Security."""

import json
from typing import Any

import pytest
from testcluster import Cluster
from testcluster.api import Object, Refused

from launcher import TrainingJob, render
from launcher.hardware import catalogue, slices
from launcher.rendering.manifest import to_yaml
from launcher.runs import diff

JOBSETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{}/jobsets"
PODS = "/api/v1/namespaces/{}/pods"
DRY = "?dryRun=All&fieldValidation=Strict"

# name: fields of a request; every option alone, and some together
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two-slices": {"num_slices": 2, "fabric": False},
    "unkept": {"bucket": None},
    "spot": {"spot": True},
    "reservation": {"reservation": "my-capacity"},
    "flex": {"flex": "24h"},
    "queued": {"queue": "team", "priority": "high", "flex": "24h"},
    "topology": {"queue": "team", "topology_required": "cloud.google.com/gce-topology-block"},
    "topology-slices": {
        "queue": "team",
        "topology_required": "cloud.google.com/gce-topology-block",
        "num_slices": 2,
        "fabric": False,
    },
    "network": {"host_network": True},
    "pod": {
        "env": {"A": "b: c\n- d", "EMPTY": ""},
        "secret_env": {"WANDB_API_KEY": "wandb/key"},
        "mount": ["pvc/imagenet:/data:ro", "gcs/my-data:/gcs", "ssd:/fast"],
        "label": {"team": "vision"},
        "annotation": {"example.com/why": 'it\'s "quoted"\nand: long'},
        "service_account": "trainer",
        "cpu": "500m",
        "memory": "16Gi",
        "toleration": ["dedicated=training:NoSchedule", "other"],
        "node_selector": {"disk": "ssd"},
        "grace": "90s",
    },
    "limits": {
        "image_pull_secret": ["registry", "second"],
        "image_pull_policy": "Always",
        "env_file": ["A=1\nB='x y'\n"],
        "cpu": "500m",
        "cpu_limit": "1",
        "memory": "1Gi",
        "memory_limit": "2Gi",
        "ephemeral_storage": "10Gi",
        "shm": "1Gi",
        "priority_class": "pods-of-runs",
        "scheduler": "bin-packing",
        "node_affinity": ["topology.kubernetes.io/zone=us-a|us-b", "gen=1"],
        "patch": [{"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"b": "2"}}}],
    },
    "compute-class": {"compute_class": "reserved-first"},
    "reservation-path": {
        "reservation": "projects/my-p/reservations/r/reservationBlocks/b/reservationSubBlocks/s"
    },
    "lifetime": {"ttl": "7d", "deadline": "2d", "max_restarts": 0},
    "jobset-0.8": {"jobset_version": "0.8"},
    "jobset-0.6": {"jobset_version": "0.6", "deadline": "1h"},
}
OUTSIDE_RESTRICTED = {"network"}  # Pod Security `restricted` forbids the node's network
CPU_TOO = {
    "plain",
    "two-slices",
    "unkept",
    "pod",
    "limits",
    "compute-class",
    "lifetime",
    "jobset-0.8",
    "jobset-0.6",
    "network",
}
SIZES = ["v4-8", "v4-32", "v5e-1", "v5e-8-1", "v5e-256", "v5p-12288", "v6e-8", "tpu7x-2", "tpu7x-64"]
SIZES += ["l4-1", "a100-16", "a100-16-1", "a100-80gb-8", "h100-8", "cpu-1x1", "cpu-2x4", "v4:4x4x16"]
FABRICS = ["h100-16", "h100-mega-16", "h200-16", "b200-16", "gb200-72"]
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/{}/resourceclaimtemplates"
# fields of requests on platforms other than GKE, all of which satisfy Pod Security level restricted
ELSEWHERE: list[dict[str, Any]] = [
    {"fabric": "efa"},
    {"fabric": "ib", "num_slices": 2, "gpu_resource": "amd.com/gpu"},
    {"fabric": "roce", "fabric_resource": {"nvidia.com/rdma": 8, "hugepages-2Mi": "1Gi"}, "memory": "64Gi"},
]


def job(name: str, option: str) -> TrainingJob | None:
    """Return the request of a cell of the grid, or None where the slice refuses the option."""
    shape = slices.parse(name)
    single = shape.kind == "tpu" and shape.hosts == 1 and option in ("two-slices", "topology-slices")
    if (
        single
        or (shape.kind == "cpu" and option not in CPU_TOO)
        or (shape.generation == "v4" and option in ("flex", "queued"))
    ):
        return None
    fields = {"bucket": "my-bucket", **OPTIONS[option]}
    policy = "my-policy" if shape.placement_policy else None
    return TrainingJob(slice=name, arch="resnet50", placement_policy=policy, **fields)


def pod_of(jobset: Object) -> Object:
    template = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        **template,
        "metadata": {**template["metadata"], "name": "pod"},
    }


def accept(cluster: Cluster, namespace: str, path: str, manifest: Object) -> None:
    try:
        cluster.api.request("POST", path.format(namespace) + DRY, manifest)
    except Refused as error:
        error.add_note(to_yaml([manifest]))
        raise


@pytest.fixture(autouse=True)
def _service_accounts(control_plane: Cluster, namespace: str) -> None:
    """Wait for the service account `default`, which appears a moment after its namespace; add a priority."""
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1}
    control_plane.api.apply([{**priority, "metadata": {"name": "pods-of-runs"}}])
    for name in ("default", "trainer"):
        metadata = {"name": name, "namespace": namespace}
        control_plane.api.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}])


@pytest.mark.parametrize("option", OPTIONS)
def test_grid(control_plane: Cluster, namespace: str, option: str) -> None:
    for request in filter(None, (job(name, option) for name in SIZES)):
        [jobset] = render(request)
        accept(control_plane, namespace, JOBSETS, jobset)
        if option in OUTSIDE_RESTRICTED:
            with pytest.raises(Refused, match="host namespaces"):
                accept(control_plane, namespace, PODS, pod_of(jobset))
        else:
            accept(control_plane, namespace, PODS, pod_of(jobset))


def test_every_slice(control_plane: Cluster, namespace: str) -> None:
    for shape in catalogue.slices():
        *_, jobset = render(
            TrainingJob(
                slice=shape.name,
                arch="resnet50",
                bucket="my-bucket",
                fabric="none",
                placement_policy="my-policy" if shape.placement_policy else None,
            )
        )
        accept(control_plane, namespace, JOBSETS, jobset)
        if shape.hosts == 1 or shape.chips in (8, 64, 128):
            accept(control_plane, namespace, PODS, pod_of(jobset))


CUSTOM = [
    "accelerator=tpu-v9-slice,topology=4x4x8,chips-per-host=4",
    "accelerator=nvidia-b400,chips-per-host=8,hosts=3,machine=a5-highgpu-8g,arch=arm64",
    "accelerator=mi400,chips-per-host=8,resource=amd.com/gpu",
]


@pytest.mark.parametrize("facts", CUSTOM)
def test_slices_that_the_catalogue_lacks(control_plane: Cluster, namespace: str, facts: str) -> None:
    described: Any = facts  # a flag's text is read as a mapping is
    request = TrainingJob(slice="custom", custom_slice=described, arch="resnet50", bucket="my-bucket")
    [rendered] = render(request)
    accept(control_plane, namespace, JOBSETS, rendered)
    accept(control_plane, namespace, PODS, pod_of(rendered))


@pytest.mark.parametrize("name", FABRICS)
def test_a_fabric_needs_more_than_restricted_and_only_what_is_documented(
    control_plane: Cluster, namespace: str, name: str
) -> None:
    *_, jobset = render(TrainingJob(slice=name, arch="resnet50", bucket="my-bucket"))
    accept(control_plane, namespace, JOBSETS, jobset)
    accept(control_plane, "default", PODS, pod_of(jobset))  # a namespace without a Pod Security level
    with pytest.raises(Refused) as caught:
        accept(control_plane, namespace, PODS, pod_of(jobset))
    reasons = str(caught.value)
    assert "restricted volume types" in reasons  # the driver's folders of the node
    root = name.startswith("h100")
    assert ("unrestricted capabilities" in reasons) == root  # NET_ADMIN of the daemons
    assert "privileged" not in reasons
    assert "host namespaces" not in reasons
    assert ("runAsNonRoot != true" in reasons) == root


@pytest.mark.parametrize("name", ["h200-16", "gb200-72"])
def test_cards_as_devices(control_plane: Cluster, namespace: str, name: str) -> None:
    request = TrainingJob(slice=name, arch="resnet50", bucket="b-1", fabric="dranet", num_slices=2)
    *_, template, jobset = render(request)
    assert template["kind"] == "ResourceClaimTemplate"
    accept(control_plane, namespace, CLAIMS, template)
    accept(control_plane, namespace, JOBSETS, jobset)
    accept(control_plane, "default", PODS, pod_of(jobset))


@pytest.mark.parametrize("fields", ELSEWHERE, ids=lambda fields: fields["fabric"])
def test_fabrics_of_other_platforms(control_plane: Cluster, namespace: str, fields: dict[str, Any]) -> None:
    """Kubernetes grants huge pages beside CPU or memory only, and counts devices in whole numbers."""
    request = {"slice": "h100-16", "arch": "resnet50", "platform": "generic", "bucket": "b-1", **fields}
    [jobset] = render(TrainingJob(**request))
    accept(control_plane, namespace, JOBSETS, jobset)
    accept(control_plane, namespace, PODS, pod_of(jobset))


def test_tuning_needs_the_node_s_network(control_plane: Cluster, namespace: str) -> None:
    job = TrainingJob(slice="v6e-16", arch="resnet50", num_slices=2, tuning="published", bucket="b-1")
    [jobset] = render(job)
    accept(control_plane, namespace, JOBSETS, jobset)
    accept(control_plane, "default", PODS, pod_of(jobset))
    with pytest.raises(Refused, match="host namespaces"):
        accept(control_plane, namespace, PODS, pod_of(jobset))


def test_what_is_stored_is_what_was_rendered(control_plane: Cluster, namespace: str) -> None:
    """Applied for real: the server adds defaults and changes nothing that was rendered."""
    [jobset] = render(
        TrainingJob(slice="cpu-2x1", arch="resnet18", bucket="b-1", namespace=namespace, queue="q")
    )
    control_plane.api.apply([jobset])
    stored = control_plane.api.get(jobset)
    assert contains(stored, json.loads(json.dumps(jobset))), to_yaml([stored])
    control_plane.api.delete(jobset)


def contains(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(k in whole and contains(whole[k], v) for k, v in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part


def test_a_difference_is_what_would_change(control_plane: Cluster, namespace: str) -> None:
    """Compare with the object that the server stores, including all its defaults."""

    def rendered(**fields: Any) -> Object:
        base = {"slice": "cpu-2x1", "arch": "resnet18", "bucket": "b-1", "namespace": namespace, "queue": "q"}
        [jobset] = render(TrainingJob(**{**base, "env": {"A": "1", "B": "2"}, **fields}))
        return jobset

    control_plane.api.apply([rendered()])
    stored = control_plane.api.get(rendered())
    assert diff.unified(stored, rendered(), "test-cluster") == ""
    changed = diff.unified(stored, rendered(env={"A": "1", "C": "3"}, max_restarts=3), "test-cluster")
    lines = [line[1:].strip() for line in changed.splitlines()[2:] if line[0] in "+-"]
    assert lines == [
        "maxRestarts: 10",
        "maxRestarts: 3",
        "- name: B",
        "value: '2'",
        "- name: C",
        "value: '3'",
    ]
    control_plane.api.delete(rendered())
