"""Promises of the image: no root, nothing writable, no compiler, no TensorFlow, packages as pinned."""

import json
import os
import re
import subprocess
import sys

import pytest
from testcluster import Cluster, image, places
from testcluster.objects import eventually, finished, jobset, log, pods

REPORT = r"""
import importlib.metadata as metadata, json, os, re, shutil, sys
import jax, cv2, sklearn, orbax.checkpoint, wandb, grain
print(json.dumps({
    "packages": {
        re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(): d.version for d in metadata.distributions()
    },
    "commands": [c for c in ("gcc", "cc", "g++", "make", "pip", "uv", "git") if shutil.which(c)],
    "python": list(sys.version_info[:2]),
    "user": [os.getuid(), os.getgid()],
    "compiled": jax.__spec__.cached,
    "written": os.access("/opt/venv", os.W_OK) or os.access("/opt/app", os.W_OK),
    "modules": sorted({name.split(".")[0] for name in sys.modules} & {"tensorflow", "kubernetes",
    "launcher"}),
}))
"""


@pytest.fixture(scope="module")
def report(cluster: Cluster, cpu_image: image.Image) -> dict:
    """The report of the image's own Python, from a pod with a read-only root and another user id."""
    name = f"report-{os.getpid()}"
    manifest = jobset("default", name, count=1, image=cpu_image.name, command=["python", "-c", REPORT])
    cluster.api.apply([manifest])
    assert eventually(lambda: finished(cluster.api, manifest) != "", 90)
    names = [pod["metadata"]["name"] for pod in pods(cluster.api, "default")]
    (pod,) = [pod for pod in names if pod.startswith(name)]
    output = log(cluster.api, "default", pod)
    cluster.api.delete(manifest)
    return json.loads(output.splitlines()[-1])


def test_it_names_itself_and_runs_as_nobody(cpu_image: image.Image) -> None:
    configuration = image.configuration(cpu_image.name)
    assert configuration["User"] == "65532:65532"
    labels = configuration["Labels"]
    assert isinstance(labels, dict)
    assert labels["org.opencontainers.image.title"] == "resnet-launch trainer (cpu)"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", labels["org.opencontainers.image.version"])


def test_it_runs_read_only_as_any_user(report: dict) -> None:
    assert report["user"] == [1000, 1000]
    assert report["written"] is False
    assert report["python"] == [3, 13]
    assert report["compiled"].endswith(".cpython-313.pyc")


def test_it_holds_no_tools_and_no_tensorflow(report: dict) -> None:
    assert report["commands"] == []
    assert report["modules"] == []
    unwanted = ("tensorflow", "torch", "pytest", "ruff", "pyright", "kubernetes", "pip", "uv")
    assert [name for name in unwanted if name in report["packages"]] == []


def test_every_package_is_the_pinned_one(report: dict) -> None:
    pins: dict[str, set[str]] = {}
    for line in (places.REPOSITORY / "constraints.txt").read_text().splitlines():
        if match := re.match(r"([a-z0-9._-]+)==([^ ;]+)", line):
            pins.setdefault(match[1], set()).add(match[2])
    assert "jax" in report["packages"]
    wrong = {name: v for name, v in report["packages"].items() if v not in pins.get(name, ())}
    assert wrong == {}


def test_its_builder_refuses_an_unknown_target() -> None:
    command = [sys.executable, "-m", "testcluster", "up", "--image", "abacus"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=places.PACKAGE.parent)
    assert done.returncode == 2
    assert "invalid choice: 'abacus'" in done.stderr
