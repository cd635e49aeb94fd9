"""`resnet-launch init` against a real API server: an empty one, and the same once the pieces are there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from testcluster import Cluster, requirements

FLAGS = "--bucket b-1 --registry localhost:1/team --namespace vision --queue team --service-account trainer"


@pytest.fixture(scope="module")
def empty() -> Iterator[Cluster]:
    """A control plane without JobSet, Kueue and nodes."""
    if reason := requirements.missing():
        pytest.skip(reason)
    cluster = Cluster.start(f"empty-{os.getpid()}", owned=True, empty=True)
    yield cluster
    cluster.end()


def init(cluster: Cluster, folder: Path, flags: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "STORAGE_EMULATOR_HOST": cluster.bucket.url}
    command = [
        sys.executable,
        "-m",
        "launcher",
        "init",
        *flags.split(),
        "--kubeconfig",
        str(cluster.kubeconfig),
    ]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


def titles(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The comments above the printed commands."""
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("# ") for line in done.stdout.splitlines() if line.startswith("# ")]


def test_everything_is_missing_in_an_empty_cluster_and_nothing_is_changed(
    empty: Cluster, tmp_path: Path
) -> None:
    before = empty.api.request("GET", "/api/v1/namespaces")["metadata"]
    done = init(empty, tmp_path / "a", f"{FLAGS} --slice v5e-16")
    assert titles(done) == [
        "a node pool for v5e-16",
        "JobSet",
        "Kueue",
        "the bucket",
        "the image, if it is not there yet, in a checkout",
        "the namespace vision",
        "rights of the pods on the bucket",
        "service account and queue, in a checkout",
    ]
    assert "error    JobSet: is not installed" in done.stderr.splitlines()
    assert "error    namespace: vision does not exist" in done.stderr.splitlines()
    names = [item["metadata"]["name"] for item in empty.api.request("GET", "/api/v1/namespaces")["items"]]
    assert "vision" not in names
    assert before is not None
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True).returncode == 0
    assert yaml.safe_load((tmp_path / "a" / "resnet-launch.yaml").read_text()) == {
        "image": "localhost:1/team/resnet-launch:0.1.0-tpu",
        "bucket": "b-1",
        "namespace": "vision",
        "queue": "team",
        "service-account": "trainer",
    }


def test_what_is_there_is_not_listed_again(control_plane: Cluster, namespace: str, tmp_path: Path) -> None:
    bucket = control_plane.bucket.create(namespace)
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": "trainer",
            "namespace": namespace,
            "annotations": {"iam.gke.io/gcp-service-account": "trainer@p.iam.gserviceaccount.com"},
        },
    }
    control_plane.api.apply([account])
    flags = f"--bucket {bucket} --namespace {namespace} --service-account trainer --yes"
    done = init(control_plane, tmp_path / "b", flags)
    assert titles(done) == []
    assert "ok       JobSet: is installed" in done.stderr.splitlines()
    assert "ok       service account: trainer acts as trainer@p.iam.gserviceaccount.com" in done.stderr
    assert "nothing is missing that could be looked at" in done.stderr
    done = init(control_plane, tmp_path / "c", f"{flags} --queue nobody-s --slice v4-32")
    assert titles(done) == ["a node pool for v4-32", "queue, in a checkout"]
    assert "kueue.localQueue=nobody-s" in done.stdout


def test_a_cluster_that_does_not_answer_is_not_called_empty(control_plane: Cluster, tmp_path: Path) -> None:
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "launcher", "init", "--yes", "--kubeconfig", str(tmp_path / "config")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert titles(done) == []
    assert "\nwarning  cluster: was not checked: " in done.stderr
    assert (tmp_path / "resnet-launch.yaml").exists()
