"""Kueue's placement by topology: four blocks of six simulated TPU hosts, slices of four hosts."""

import json
from collections import defaultdict
from collections.abc import Iterator

import pytest
from charts import PLATFORM, Helm
from commands import Command
from releases import Release
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import eventually, pods

from launcher import TrainingJob, render

pytestmark = pytest.mark.usefixtures("nobody_s_settings", "topology")

BLOCK = "cloud.google.com/gce-topology-block"
BLOCKS, HOSTS = 4, 6  # a slice of 4 fits once into a block, and two hosts of each stay free
LABELS = {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
    "cloud.google.com/gke-tpu-topology": "4x4",
}
REQUIRED = "kueue.x-k8s.io/podset-required-topology"
SLICE_REQUIRED = "kueue.x-k8s.io/podset-slice-required-topology"
SLICE_SIZE = "kueue.x-k8s.io/podset-slice-size"
RUN = "--slice v5e-16 --arch resnet50 --data digits --bucket b-1 --image r/i:1 --queue team --name run"
JOBSETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{}/jobsets/run"


@pytest.fixture
def topology(control_plane: Cluster, namespace: str, helm: Helm) -> Iterator[None]:
    """The platform chart's topology, flavor and queue, and the hosts."""
    release = Release(helm, control_plane, namespace)
    kueue = {
        "enabled": True,
        "localQueue": "team",
        "clusterQueue": f"queue-{namespace}",
        "flavors": {"v5e-16": BLOCKS * HOSTS * 4},
        "topology": [BLOCK, "kubernetes.io/hostname"],
        "topologyFlavors": ["v5e-16"],
        "priorities": {"low": None, "high": None},  # objects of the whole cluster, which other tests make
    }
    release("install", "team", str(PLATFORM), "-f", "-", stdin=json.dumps({"kueue": kueue}))
    pools = [f"{namespace}-{number}" for number in range(BLOCKS)]
    for pool in pools:
        labels = {**LABELS, BLOCK: pool}
        control_plane.add_fake_nodes(pool, HOSTS, labels, resource="google.com/tpu", devices=4)
    yield
    for pool in pools:
        control_plane.remove_fake_nodes(pool)
    release.uninstall_platform("team")


def blocks(cluster: Cluster, namespace: str) -> dict[str, list[str]]:
    """Return slice -> block of each of its running pods."""
    result = defaultdict(list)
    for pod in pods(cluster.api, namespace):
        if pod["status"]["phase"] == "Running":
            index = pod["metadata"]["labels"]["jobset.sigs.k8s.io/job-index"]
            result[index].append(pod["spec"]["nodeName"].rpartition("-")[0])
    return dict(result)


def running(cluster: Cluster, namespace: str, count: int) -> bool:
    return sum(map(len, blocks(cluster, namespace).values())) == count


def test_four_slices_are_admitted_each_in_a_block_of_its_own(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    result = launch(f"submit {RUN} --num-slices 4 --topology-required {BLOCK}")
    assert result.code == 0, result.err
    assert eventually(lambda: running(control_plane, namespace, 16), 90), launch("status run").out
    placed = blocks(control_plane, namespace)
    assert {index: len(set(names)) for index, names in placed.items()} == dict.fromkeys("0123", 1), placed
    assert len({names[0] for names in placed.values()}) == BLOCKS, placed
    assert launch("delete run --yes").code == 0


def test_one_slice_is_placed_in_one_block(control_plane: Cluster, namespace: str, launch: Command) -> None:
    for flag in ("required", "preferred"):
        assert launch(f"submit {RUN} --topology-{flag} {BLOCK}").code == 0
        assert eventually(lambda: running(control_plane, namespace, 4), 90), launch("status run").out
        assert len(set(blocks(control_plane, namespace)["0"])) == 1
        assert launch("delete run --yes").code == 0


def old(manifest: Object) -> None:
    """Ask for one domain for all pods, as a renderer that does not know of slices does."""
    annotations = pod_annotations(manifest)
    del annotations[SLICE_SIZE]
    annotations[REQUIRED] = annotations.pop(SLICE_REQUIRED)


def none(manifest: Object) -> None:
    """Leave the placement to Kueue, which fills one block after the other."""
    for key in (SLICE_SIZE, SLICE_REQUIRED):
        del pod_annotations(manifest)[key]


def pod_annotations(manifest: Object) -> dict[str, str]:
    metadata = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["metadata"]
    return metadata["annotations"]


def four_slices(namespace: str) -> Object:
    [manifest] = render(
        TrainingJob(
            slice="v5e-16",
            num_slices=4,
            arch="resnet50",
            bucket="b-1",
            image="r/i:1",
            name="run",
            namespace=namespace,
            queue="team",
            topology_required=BLOCK,
        )
    )
    return json.loads(json.dumps(manifest))


def test_with_the_annotation_for_one_slice_four_are_never_admitted(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    manifest = four_slices(namespace)
    old(manifest)
    control_plane.api.apply([manifest])
    expected = "allows to fit only 6 out of 16 pod(s)"
    assert eventually(lambda: expected in launch("status run").out, 60), launch("status run").out
    assert control_plane.api.request("GET", JOBSETS.format(namespace))["spec"]["suspend"] is True
    assert pods(control_plane.api, namespace) == []
    control_plane.api.delete(manifest)


def test_without_topology_a_slice_would_lie_in_two_blocks(control_plane: Cluster, namespace: str) -> None:
    """The blocks are larger than a slice, so that the placement of the other tests is no accident."""
    manifest = four_slices(namespace)
    none(manifest)
    control_plane.api.apply([manifest])
    assert eventually(lambda: running(control_plane, namespace, 16), 90)
    placed = blocks(control_plane, namespace)
    assert max(len(set(names)) for names in placed.values()) > 1, placed
    control_plane.api.delete(manifest)


def test_more_slices_than_blocks_wait_and_status_says_why(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    assert launch(f"submit {RUN} --num-slices 5 --topology-required {BLOCK}").code == 0
    expected = "allows to fit only 4 out of 5 slice(s)"
    assert eventually(lambda: expected in launch("status run").out, 60), launch("status run").out
    assert launch("status run --json").json["phase"] == "Queued"
    assert launch("delete run --yes").code == 0


@pytest.mark.parametrize(
    ("image", "flags", "problem"),
    [
        ("r/kueue:v0.12.4", "--num-slices 4", "Kueue 0.13 or newer for 4 slices, got v0.12.4"),
        ("r/kueue:v0.8.1", "", "Kueue 0.9 or newer, got v0.8.1"),
        ("r/kueue:v0.13.2", "--num-slices 4", ""),
        ("r/kueue:v0.12.4", "--num-slices 4 --kueue-version 0.19", ""),
    ],
)
def test_a_kueue_that_is_too_old_is_named_before_anything_is_sent(
    control_plane: Cluster, namespace: str, launch: Command, image: str, flags: str, problem: str
) -> None:
    metadata = {"name": "kueue-controller-manager", "namespace": namespace}
    labels = {"app": "kueue"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "manager", "image": image}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    deployment: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    control_plane.api.apply([deployment])
    submitted = launch(f"submit {RUN} {flags} --topology-required {BLOCK}")
    checked = launch(
        f"check --no-compile {RUN} {flags} --topology-required {BLOCK}".replace(" --name run", "")
    )
    control_plane.api.delete(deployment)
    assert submitted.code == (2 if problem else 0), submitted.err
    if problem:
        assert f"topology-required: must be used with {problem} in this cluster" in submitted.err
        assert f"error    controllers: topology-required: must be used with {problem}\n" in checked.out
        assert launch("list").out.count("run") == 0
    else:
        assert f"ok       controllers: Kueue {image.rpartition(':')[2]}\n" in checked.out
        assert launch("delete run --yes").code == 0
