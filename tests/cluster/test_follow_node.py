"""Following a run of real pods: logs across a restart, progress, images and volumes that are not there."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Command, command
from testcluster import Cluster, image
from testcluster.objects import eventually, pods

pytestmark = pytest.mark.usefixtures("nobody_s_settings")

FLAGS = "submit --slice cpu-2x1 --arch resnet-tiny --data digits --name run --grace 5"


@pytest.fixture
def launch(cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    run = command(cluster, namespace, capsys)
    yield run
    run("delete run --yes")  # real pods would take the node from the next test


@pytest.fixture
def real(cluster: Cluster, namespace: str, cpu_image: image.Image) -> str:
    """The flags of a run on this node: image, bucket and the emulator's environment."""
    bucket = cluster.bucket.create(namespace)
    environment = " ".join(f"--env {name}={value}" for name, value in cluster.bucket.environment().items())
    return f"{FLAGS} --image {cpu_image.name} --bucket {bucket} {environment} --set log.wandb=off"


def follow(cluster: Cluster, namespace: str, path: Path) -> subprocess.Popen[bytes]:
    """Run `logs -f` of the run, with its output in a file."""
    arguments = ["logs", "-f", "run", "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
    with path.open("wb") as out:
        return subprocess.Popen([sys.executable, "-m", "launcher", *arguments], stdout=out, stderr=out)


def test_a_killed_host_restarts_the_run_and_its_logs_go_on(
    cluster: Cluster, namespace: str, launch: Command, real: str, tmp_path: Path
) -> None:
    assert launch(f"{real} --steps 60 --set model.width=8 --set log.every_steps=1").code == 0
    text = tmp_path / "log"
    follower = follow(cluster, namespace, text)
    try:
        assert eventually(lambda: "slice-0-0 | progress step=" in text.read_text(), 400), (
            text.read_text() + launch("status run").out
        )
        (victim,) = [
            pod["metadata"]["name"]
            for pod in pods(cluster.api, namespace)
            if pod["metadata"]["name"].startswith("run-slice-0-1-")
        ]
        cluster.kill(victim, namespace)
        assert launch("wait run --timeout 8m").out == "run completed\n"
        assert follower.wait(30) == 0
    finally:
        follower.kill()
        follower.wait()
    lines = text.read_text().splitlines()
    assert any(line.startswith("slice-0-0.r1 | event name=end ") for line in lines)
    assert any(line.startswith("slice-0-1.r1 | ") for line in lines)
    assert len({line for line in lines if " | progress step=60 " in line}) == 1
    status = launch("status run --json").json
    assert (status["phase"], status["restarts"]["total"]) == ("Completed", 1)
    assert (status["progress"]["step"], status["progress"]["steps"]) == (60, 60)
    assert 0 <= status["evaluation"]["accuracy"] <= 1
    milestones = ["created", "scheduled", "started", "joined", "compiled", "first_step", "total"]
    assert [name for name in status["startup_seconds"] if name != "restore"] == milestones
    host = launch("logs run --host 0 --tail 1").out.splitlines()
    assert len(host) == 1
    assert host[0].startswith("slice-0-0.r1 | event name=end ")


def test_an_image_that_is_nowhere(launch: Command) -> None:
    launch(f"{FLAGS} --bucket b-1 --image localhost/nothing:1")

    def why() -> str:
        return " ".join(launch("status run --json").json["why"])

    assert eventually(lambda: why().startswith("image localhost/nothing:1: "), 60), why()
    assert eventually(lambda: "(2 pods, such as " in why(), 60), why()


def test_a_volume_that_does_not_exist(launch: Command, cpu_image: image.Image) -> None:
    launch(f"{FLAGS} --bucket b-1 --image {cpu_image.name} --mount pvc/nothing:/data")

    def why() -> str:
        return " ".join(launch("status run --json").json["why"])

    assert eventually(lambda: 'persistentvolumeclaim "nothing" not found' in why(), 60), why()


def test_a_run_that_cannot_succeed_says_why_in_the_trainer_s_own_words(
    launch: Command, real: str, tmp_path: Path
) -> None:
    container = {"name": "trainer", "command": ["python", "-m", "trainer"]}
    pod = {"spec": {"template": {"spec": {"containers": [container]}}}}
    patch = tmp_path / "patch.yaml"
    patch.write_text(json.dumps({"spec": {"replicatedJobs": [{"name": "slice", "template": pod}]}}))
    assert launch(f"{real} --patch {patch}").code == 0
    assert launch("wait run --timeout 2m").code == 1
    status = launch("status run --json").json
    assert (status["restarts"]["total"], status["failed"]["exit_code"]) == (0, 44)
    assert status["failed"]["message"] == ("error: --run-dir: must be given\nhint: python -m trainer --help")
