"""`check` and `submit --check` ask a real API server, Kueue and a bucket; few rights are no error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import registries
from commands import Command
from people import Person
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import eventually, queue

from launcher.cli import main

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

RUN = "--slice v4-32 --arch resnet50 --data digits --image r/i:1 --name run"
LABELS = {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v4-podslice",
    "cloud.google.com/gke-tpu-topology": "2x2x4",
}


@pytest.fixture
def bucket(control_plane: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", control_plane.bucket.url)
    return control_plane.bucket.create("runs").removeprefix("gs://")


@pytest.fixture
def pool(control_plane: Cluster) -> Iterator[None]:
    control_plane.add_fake_nodes("v4-pool", 4, LABELS, resource="google.com/tpu", devices=4)
    yield
    control_plane.remove_fake_nodes("v4-pool")


def lines(result: Any) -> list[str]:
    return result.out.splitlines()


@pytest.mark.usefixtures("pool")
def test_all_that_a_run_needs_is_there(launch: Command, namespace: str, bucket: str) -> None:
    assert eventually(lambda: "4 of 4 hosts exist" in launch(f"check --no-compile {RUN}").out, 60)
    result = launch(f"check --no-compile {RUN} --bucket {bucket}")
    label = ",".join(f"{key}={value}" for key, value in LABELS.items())
    assert result.code == 0, result.out
    assert lines(result) == [
        f"ok       name: run is free in namespace {namespace}",
        "warning  controllers: no deployment shows the version of JobSet",  # here it is a process
        "ok       server: the server accepts the run's objects and one of its pods: JobSet's fields, "
        "Pod Security, quota",
        "warning  service account: default acts as no Google account: it needs a grant of its own to "
        "write to gs://runs/run",
        "         hint: docs/guides/install-gke.md, Bucket and account",
        f"ok       nodes: 4 of 4 hosts exist and are ready in node pool v4-pool ({label})",
        # The emulator has no testIamPermissions; tests/launcher/check/test_bucket.py has a server that does.
        "warning  bucket: gs://runs exists, but its permissions could not be read",
        "warning  image: r/i:1 was not checked: it names no registry, and nodes may have one configured",
        "         hint: docker manifest inspect r/i:1",
    ]


def test_all_that_is_missing_is_named_at_once_and_submit_refuses(launch: Command, bucket: str) -> None:
    flags = "--slice cpu-2x1 --arch resnet18 --data digits --image r/i:1 --name run --bucket no-such-bucket"
    nowhere = "--service-account nobody --queue nowhere --node-selector no=node"
    result = launch(f"check --no-compile {flags} {nowhere} --json")
    levels = {finding["about"]: finding["level"] for finding in result.json["cluster"]}
    assert result.code == 1
    assert levels == {
        "name": "ok",
        "controllers": "warning",
        "server": "error",  # a pod of an account that does not exist is refused
        "service account": "error",
        "queue": "error",
        "nodes": "warning",
        "bucket": "error",
        "image": "warning",
    }
    refused = launch(f"submit --check {flags}")
    assert refused.code == 1
    assert "error    bucket: gs://no-such-bucket does not exist" in refused.err.splitlines()
    assert refused.err.splitlines()[-1] == (
        "error: the check reports 1 error (bucket): nothing was submitted"
    )
    assert launch("list").out == ""


def test_data_and_bucket_are_looked_at_without_a_cluster(bucket: str, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    flags = "--slice v4-8 --arch resnet50 --image r/i:1 --no-compile --json"
    assert main(f"check {flags} --bucket no-such-bucket --data gs://{bucket}/imagenet".split()) == 1
    findings = {finding["about"]: finding for finding in json.loads(capsys.readouterr().out)["cluster"]}
    assert findings["bucket"]["text"] == "gs://no-such-bucket does not exist"
    assert findings["data"]["text"] == f"gs://{bucket}/imagenet does not exist"
    assert [finding["level"] for finding in findings.values()] == ["error", "error", "warning"]


@pytest.mark.parametrize(
    ("cpus", "flags", "level", "room"),
    [
        (
            ["2", "1"],
            "--cpu 500m",
            "ok",
            "the run needs 4 hosts; 2 ready nodes have room for 6 if nothing else runs there",
        ),
        (
            ["2", "1"],
            "--cpu 1500m",
            "warning",
            "the run needs 4 hosts; 2 ready nodes have room for 1 if nothing else runs there",
        ),
        (
            ["400m", "16"],
            "--cpu 500m --memory 6Gi",
            "warning",
            "the run needs 4 hosts; 2 ready nodes have room for 1 if nothing else runs there",
        ),
    ],
)
def test_cpu_hosts_share_nodes(
    control_plane: Cluster, launch: Command, cpus: list[str], flags: str, level: str, room: str
) -> None:
    names = []
    for number, cpu in enumerate(cpus):
        names.append(f"cpu-node-{number}")
        allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        status = {
            "allocatable": allocatable,
            "capacity": allocatable,
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        metadata = {"name": names[-1], "labels": {"room": "tried"}}  # other tests may have nodes
        node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}
        control_plane.api.request("POST", "/api/v1/nodes", node)
    run = "--slice cpu-4x1 --arch resnet18 --data digits --image r/i:1 --node-selector room=tried"
    result = launch(f"check --no-compile {run} {flags}")
    for name in names:
        control_plane.api.request("DELETE", f"/api/v1/nodes/{name}")
    [line] = [line for line in lines(result) if " nodes: " in line]
    assert line.startswith(f"{level:8} nodes: {room} (each requests ")


def test_a_name_in_use_is_an_error_and_a_full_queue_a_warning(
    control_plane: Cluster, namespace: str, launch: Command
) -> None:
    control_plane.api.apply(queue(namespace, namespace, 1))
    flags = f"--slice cpu-2x1 --arch resnet18 --data digits --image r/i:1 --name run --queue {namespace}"
    assert eventually(lambda: "has room" in launch(f"check --no-compile {flags}").out, 30)
    assert launch(f"submit {flags}").code == 0
    result = launch(f"check --no-compile {flags}")
    assert result.code == 1
    assert lines(result)[0].startswith("error    name: must be new, got 'run', a run that is ")


def test_the_image_is_looked_for_where_it_is_kept(launch: Command, tmp_path: Path) -> None:
    with registries.running(tmp_path) as registry:
        there = registry.push("team/resnet", "1", "amd64")
        other = registry.push("team/resnet", "arm", "arm64")
        flags = RUN.replace("--image r/i:1", "")
        results = {image: launch(f"check --no-compile {flags} --image {image}") for image in (there, other)}
        missing = launch(f"check --no-compile {flags} --image {registry.host}/team/resnet:2")
    assert f"ok       image: {there} exists for linux/amd64" in lines(results[there])
    wrong = f"error    image: {other} is built for linux/arm64, the hosts are linux/amd64"
    assert wrong in lines(results[other])
    assert results[other].code == 1
    assert f"error    image: {registry.host} has no team/resnet 2" in lines(missing)


@pytest.mark.parametrize(
    ("image", "flags", "line"),
    [
        ("r/jobset:v0.12.0", "", "ok       controllers: JobSet v0.12.0"),
        ("r/jobset:v0.8.1", "", "error    controllers: JobSet v0.8.1 lacks fields of 0.10 that the run uses"),
        ("r/jobset:v0.8.1", "--jobset-version 0.8", "ok       controllers: JobSet v0.8.1"),
        ("r/jobset@sha256:0", "", "warning  controllers: no deployment shows the version of JobSet"),
    ],
)
def test_a_jobset_that_is_too_old_is_an_error(
    control_plane: Cluster, namespace: str, launch: Command, image: str, flags: str, line: str
) -> None:
    control_plane.api.apply([_controller(namespace, image)])
    result = launch(f"check --no-compile {RUN} {flags}")
    control_plane.api.request(
        "DELETE", f"/apis/apps/v1/namespaces/{namespace}/deployments/jobset-controller-manager"
    )
    assert line in lines(result)
    assert result.code == int(line.startswith("error"))


def _controller(namespace: str, image: str) -> Object:
    """JobSet's deployment as its release manifest names it; without a pod."""
    name = "jobset-controller-manager"
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "manager", "image": image}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def test_with_few_rights_the_check_names_what_it_could_not_see(
    control_plane: Cluster, namespace: str, tmp_path: Path, capsys: Any
) -> None:
    verbs = ["get", "list", "watch", "create", "patch", "delete"]
    jobsets: Object = {"apiGroups": ["jobset.x-k8s.io"], "resources": ["jobsets"], "verbs": verbs}
    jane = Person(control_plane, namespace, tmp_path, capsys, jobsets)
    result = jane(f"check --no-compile {RUN}")
    who = f"system:serviceaccount:{namespace}:jane"
    assert result.code == 0
    assert lines(result)[0] == f"ok       name: run is free in namespace {namespace}"
    assert f"warning  nodes: cannot be read: {who} may not list nodes at the cluster scope" in lines(result)
    assert "ok       server:" in result.out
