"""The examples in real pods, two hosts each: code sent by `--code`, and in an image of `image build`."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import image_builds
import pytest
import registries
from testcluster import Cluster, buildah, image, requirements

pytestmark = pytest.mark.skipif(bool(requirements.missing()), reason=requirements.missing())
EXAMPLES = Path(__file__).parents[2] / "examples"
OWN = "--arch shapes.network:convnet --data shapes.data:load --set model.width=8 --steps 40"
TINY = "--arch resnet-tiny --set model.width=8 --steps 40 --set log.wandb=off"
TUNED = f"{TINY} --data pictures:few --set train.init=weights.safetensors"
# folder: flags of its run (PyTorch would make the image gigabytes larger: tests/docs runs that one)
RUNS = {
    "plain-jax": "--env STEPS=40 --command 'python train.py'",
    "own-network": f"{OWN} --set log.wandb=off",
    "fine-tune": TUNED,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, and for the fine-tune a network that was trained elsewhere."""
    folder = tmp_path_factory.mktemp("examples")
    for name in RUNS:
        shutil.copytree(EXAMPLES / name, folder / name)
    tune = folder / "fine-tune"
    launch(f"local --slice cpu-1x1 --name pretrained --code . {TINY} --data pictures:many", tune)
    program = str(Path(sys.executable).with_name("resnet-train"))
    named = ["--from", "torchvision", "--arch", "resnet-tiny", "--image-size", "8", "--set", "model.width=8"]
    for command in (
        ["export", "runs/pretrained", "elsewhere.pth", "--to", "torchvision"],
        ["import", "elsewhere.pth", "weights.safetensors", *named],
    ):
        subprocess.run([program, *command], cwd=tune, env=os.environ | {"PYTHONPATH": "."}, check=True)
    shutil.rmtree(tune / "runs")
    return folder


@pytest.fixture(scope="module")
def built(
    cluster: Cluster, cpu_image: image.Image, folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The image that `image build --add` makes of the examples, pulled by the node."""
    with registries.running(tmp_path_factory.mktemp("registry"), on_disk=True) as registry:
        base = f"{registry.host}/team/cpu:1"
        # Layers as the node has them already: the pull fetches what is new.
        buildah.run("push", "--tls-verify=false", "--disable-compression", cpu_image.name, f"docker://{base}")
        request = image_builds.request(f"{registry.host}/team/examples:1", base, add=folders)
        image_builds.built(request, tmp_path_factory.mktemp("caches") / "image")
        assert cluster.node
        with registries.relayed(registry, cluster.node.plane.wire.host) as seen:
            name = f"{seen}/team/examples:1"
            cluster.node.ctr("images", "pull", "--plain-http", name)
            yield name


def launch(line: str, folder: Path) -> str:
    """Run the launcher in a folder; return its stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "launcher", *shlex.split(line)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def ran(cluster: Cluster, namespace: str, name: str, flags: str, folder: Path) -> None:
    """Submit a run of two pods and wait for its end; its status shows the evaluation."""
    where = f"--kubeconfig {cluster.kubeconfig} --namespace {namespace}"
    launch(f"submit --slice cpu-2x1 --name {name} --cpu 200m --max-restarts 0 {flags} {where}", folder)
    launch(f"wait {name} --timeout 5m {where}", folder)
    run = json.loads(launch(f"status {name} --json {where}", folder))
    assert run["phase"] == "Completed", run
    assert run["evaluation"]["accuracy"] > 0.3, run
    launch(f"delete {name} --yes {where}", folder)


@pytest.mark.parametrize("name", RUNS)
def test_its_code_is_sent(cluster: Cluster, namespace: str, folders: Path, name: str) -> None:
    flags = f"--image localhost/resnet-launch:cpu --code . {RUNS[name]}"
    ran(cluster, namespace, f"{name}-sent", flags, folders / name)


@pytest.mark.parametrize("name", RUNS)
def test_its_code_is_in_an_image(
    cluster: Cluster, namespace: str, folders: Path, built: str, name: str
) -> None:
    flags = f"--image {built} --env PYTHONPATH=/opt/app/{name}:/opt/app {RUNS[name]}"
    flags = flags.replace("train.py", f"/opt/app/{name}/train.py").replace(
        "train.init=", f"train.init=/opt/app/{name}/"
    )
    ran(cluster, namespace, f"{name}-built", flags, folders / name)
