"""Both charts on a node: the smoke job of `helm test`, a run installed by Helm, a researcher's two flags."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from charts import PLATFORM, TRAIN, Helm
from commands import Command, command
from releases import Release, kubeconfig_of
from testcluster import Cluster, image
from testcluster.build import binary
from testcluster.objects import eventually, finished, pods

from launcher.cli import main

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

STEPS = ["model.width=8", "log.wandb=off", "log.every_steps=1"]


@pytest.fixture
def release(cluster: Cluster, namespace: str) -> Release:
    return Release(Helm(binary("helm")), cluster, namespace)


@pytest.fixture
def platform(cluster: Cluster, namespace: str, release: Release, cpu_image: image.Image) -> Iterator[Release]:
    """A namespace with the platform, whose defaults name image, bucket and the emulator's environment."""
    values = {
        "researchers": [{"kind": "ServiceAccount", "name": "researcher"}],
        "defaults": {
            "image": cpu_image.name,
            "bucket": cluster.bucket.create(namespace),
            "data": "digits",
            "steps": 4,
            "env": cluster.bucket.environment(),
            "set": STEPS,
        },
        "smokeTest": {"image": cpu_image.name, "deadlineSeconds": 600},
    }
    release("install", "team", str(PLATFORM), "-f", "-", "--wait", stdin=json.dumps(values))
    yield release
    release("uninstall", "team", "--wait")


def test_the_smoke_job_joins_and_trains(cluster: Cluster, namespace: str, platform: Release) -> None:
    result = platform("test", "team", "--timeout", "600s")
    assert "Phase:          Succeeded" in result.out, result.out
    assert "progress step=3" in result.out + result.err, "the log of the pods is printed"
    assert eventually(lambda: pods(cluster.api, namespace) == [], 30), "the hooks are deleted when they pass"


def test_a_smoke_job_past_its_deadline_leaves_its_log(
    cluster: Cluster, namespace: str, platform: Release, cpu_image: image.Image
) -> None:
    values = json.dumps({"smokeTest": {"image": cpu_image.name, "deadlineSeconds": 3}})
    platform("upgrade", "team", str(PLATFORM), "--reuse-values", "-f", "-", stdin=values)
    result = platform("test", "team", "--timeout", "300s", fails=True)
    assert "event name=" in result.err, result


def test_a_run_installed_by_helm_completes_and_is_followed(
    cluster: Cluster,
    namespace: str,
    release: Release,
    cpu_image: image.Image,
    capsys: pytest.CaptureFixture[str],
) -> None:
    launch: Command = command(cluster, namespace, capsys)
    values = {
        "slice": "cpu-2x1",
        "arch": "resnet-tiny",
        "data": "digits",
        "steps": 4,
        "image": cpu_image.name,
        "bucket": cluster.bucket.create(namespace),
        "env": cluster.bucket.environment(),
        "set": STEPS,
    }
    release("install", "run", str(TRAIN), "-f", "-", "--wait", stdin=json.dumps(values))
    manifest = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "run", "namespace": namespace},
    }
    assert eventually(lambda: finished(cluster.api, manifest) != "", 600), launch("status run").out
    assert finished(cluster.api, manifest) == "Completed", launch("logs run").out
    status = launch("status run --json").json
    assert status["phase"] == "Completed"
    lines = launch("logs run").out.splitlines()
    assert any("progress step=4 " in line for line in lines), lines
    release("uninstall", "run", "--wait")
    assert eventually(lambda: pods(cluster.api, namespace) == [], 30)


def test_a_researcher_s_two_flags_train_on_real_pods(
    cluster: Cluster, namespace: str, platform: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account = kubeconfig_of(cluster, namespace, "researcher", tmp_path / "researcher")

    def launch(line: str) -> tuple[int, str]:
        code = main([*line.split(), "--kubeconfig", str(account)])
        return code, capsys.readouterr().out

    name = "resnet-tiny-cpu-2x1"
    assert launch("--slice cpu-2x1 --arch resnet-tiny") == (0, f"{name}\n")
    code, _ = launch(f"wait {name} --timeout 10m")
    assert code == 0, launch(f"status {name}")
    code, lines = launch(f"logs {name}")
    assert code == 0
    assert "progress step=4 " in lines
    assert launch(f"delete {name} --yes")[0] == 0
    assert launch("list") == (0, "")
