"""The project's Dockerfile, built by a real Docker engine; the engine itself leaves nothing behind."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from testcluster import cgroups, image, leftovers, places
from testcluster.docker import BASE, Engine
from testcluster.objects import eventually
from testcluster.sandbox import held

NAME = "localhost/docker-built:{}"
# Lists what an image runs: path -> length, and of the project's own code the content.
LIST = """
import hashlib, json, os
files = {}
for folder, folders, names in os.walk("/opt"):
    for name in folders + names:
        path = os.path.join(folder, name)
        if os.path.islink(path):
            files[path[1:]] = "link to " + os.readlink(path)
        elif not os.path.isdir(path):
            content = open(path, "rb").read() if path.startswith("/opt/app") else b""
            files[path[1:]] = [os.path.getsize(path), hashlib.sha256(content).hexdigest()]
print(json.dumps(files))
"""
# What differs between two installations of the same packages: times, and where a wheel was read from.
OF_AN_INSTALLATION = ("RECORD", "uv_cache.json", ".pyc")

START = """
import sys, time
from pathlib import Path
from testcluster.docker import Engine
engine = Engine.start(sys.argv[1], Path(sys.argv[2]))
print(engine.wire.interface, engine.sandbox.pid, flush=True)
time.sleep(600)
"""


def build(engine: Engine, target: str) -> str:
    """Build one target of the Dockerfile and return its image's name."""
    name = NAME.format(target)
    flags = (f"--target={target}", f"--tag={name}", f"--build-arg=BASE={engine.base()}")
    proxy = f"--build-arg=HTTPS_PROXY={engine.proxy.url}"
    done = engine.call("docker", "build", *flags, proxy, "--build-arg=VERSION=1", str(places.REPOSITORY))
    assert done.returncode == 0, done.stdout[-3000:]
    return name


def listed(archive: Path) -> dict[str, Any]:
    """Return the files under /opt of a Docker archive, as LIST does."""
    files: dict[str, Any] = {}
    with tarfile.open(archive) as whole:
        manifest = whole.extractfile("manifest.json")
        assert manifest
        for layer in json.load(manifest)[0]["Layers"]:
            content = whole.extractfile(layer)
            assert content
            with tarfile.open(fileobj=content) as tree:
                for entry in tree:
                    path = entry.name.removeprefix("./")
                    if not path.startswith("opt/") or entry.isdir():
                        continue
                    if entry.issym():
                        files[path] = f"link to {entry.linkname}"
                        continue
                    file = tree.extractfile(entry)
                    assert file
                    data = file.read() if path.startswith("opt/app") else b""
                    files[path] = [entry.size, hashlib.sha256(data).hexdigest()]
    return files


def comparable(files: dict[str, Any]) -> dict[str, Any]:
    return {
        path: None if path.endswith(OF_AN_INSTALLATION) and path.startswith("opt/venv") else content
        for path, content in files.items()
    }


def test_it_runs_what_buildah_s_image_runs(docker: Engine) -> None:
    name = build(docker, "cpu")
    built = image.build("cpu")
    inside = json.loads(docker.run("docker", "run", "--rm", name, "python", "-c", LIST))
    expected = comparable(listed(built.archive))
    assert len(expected) > 5000
    assert comparable(inside) == expected
    configuration = json.loads(docker.run("docker", "inspect", name))[0]["Config"]
    other: dict[str, Any] = image.configuration(built.name)
    for key in ("User", "WorkingDir", "Cmd"):
        assert configuration[key] == other[key], key
    assert sorted(configuration["Env"]) == sorted(other["Env"])
    labels = [{key for key in each["Labels"] if "buildah" not in key} for each in (configuration, other)]
    assert labels[0] == labels[1] != set()


@pytest.mark.soak
@pytest.mark.parametrize("target", ["tpu", "gpu"])
def test_the_large_targets_are_built(docker: Engine, target: str) -> None:
    """Gigabytes of packages and minutes; `make soak` runs it."""
    program = "import importlib.metadata as m; print([d.metadata['Name'] for d in m.distributions()])"
    names = docker.run("docker", "run", "--rm", build(docker, target), "python", "-c", program)
    assert {"tpu": "libtpu", "gpu": "jax-cuda"}[target] in names
    docker.run("docker", "rmi", NAME.format(target))
    docker.prune()


def test_a_builder_without_buildkit_says_what_it_needs(docker: Engine) -> None:
    command = ("docker", "build", "--target=cpu", f"--build-arg=BASE={docker.base()}", ".")
    done = docker.call(*command, environment={"DOCKER_BUILDKIT": "0"})
    assert done.returncode == 1
    assert "the --mount option requires BuildKit" in done.stdout


def test_a_privileged_container_gets_every_capability_that_there_is(docker: Engine) -> None:
    status = docker.run("docker", "run", "--rm", "--privileged", docker.base(), "cat", "/proc/self/status")
    inside, here = (bounding(text) for text in (status, Path("/proc/self/status").read_text()))
    known = (1 << 38) - 1  # Docker 20.10 knows none of the capabilities that came after CAP_AUDIT_READ
    assert inside & known == here & known
    assert inside & here == inside


def bounding(status: str) -> int:
    """Return the bounding set in the text of a /proc/PID/status."""
    [mask] = [line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")]
    return int(mask, 16)


def test_a_program_started_in_a_privileged_container_runs(docker: Engine) -> None:
    container = docker.run("docker", "run", "--detach", "--privileged", BASE, "sleep", "60").strip()
    try:
        assert docker.run("docker", "exec", "--privileged", container, "echo", "here") == "here\n"
    finally:
        docker.run("docker", "rm", "--force", container)


def test_images_that_no_engine_can_use_are_replaced(docker: Engine, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    metadata = storage / "buildkit" / "metadata_v2.db"
    metadata.parent.mkdir(parents=True)
    metadata.write_bytes(b"cut off by a kill" * 1000)
    engine = Engine.start(f"docker-damaged-{os.getpid()}", storage)
    try:
        assert engine.run("docker", "images", "--quiet") == ""
        assert not metadata.read_bytes().startswith(b"cut off")
    finally:
        engine.end()


def test_a_killed_engine_leaves_nothing(docker: Engine, tmp_path: Path) -> None:
    name = f"docker-killed-{os.getpid()}"
    folder = places.cluster_folder(name)
    environment = os.environ | {"PYTHONPATH": str(places.PACKAGE.parent)}
    command = [sys.executable, "-c", START, name, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout
        interface, supervisor = owner.stdout.readline().split()
        owner.send_signal(signal.SIGKILL)
    assert eventually(lambda: not Path(f"/proc/{supervisor}").exists(), 20)
    assert eventually(lambda: interface not in os.listdir("/sys/class/net"), 20)
    assert not held(folder)
    for mounted in (folder, tmp_path):
        assert str(mounted) not in Path("/proc/self/mountinfo").read_text()
    with places.locked(places.cache() / "clusters.lock"):
        leftovers.clear_ended()
    group = leftovers.control_group(folder)
    assert not any((tree / group).exists() for tree in cgroups.hierarchies())
    assert [entry.name for entry in folder.iterdir()] == ["logs"]
    leftovers.remove_logs(folder)
