"""tests/kind.sh, which the workflow calls, with a real kind on a real Docker engine; and what it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from testcluster import ClusterError, kind, kind_node, places
from testcluster.build import binary
from testcluster.docker import Engine

SCRIPT = "tests/kind.sh"
KUBECTL = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
LAUNCH = f"{sys.executable} -m launcher"
CLUSTER = "resnet-smoke"


def environment(engine: Engine) -> dict[str, str]:
    """The variables of a user who has kind, helm and the launcher, behind a proxy."""
    path = [str(Path(binary(tool)).parent) for tool in ("kind", "helm")]
    return {
        "PATH": os.pathsep.join([*path, engine.environment()["PATH"]]),
        "RESNET_LAUNCH": LAUNCH,
        "HTTPS_PROXY": engine.proxy.url,
        "NO_PROXY": "127.0.0.1,localhost,10.0.0.0/8,198.18.0.0/15",
    }


@pytest.fixture(scope="module")
def jobset(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables that name JobSet's manifests and the archive of its manager's image."""
    folder = tmp_path_factory.mktemp("jobset")
    kind.write_manager(folder)
    archive, manifests = folder / "manager.tar", folder / "jobset.yaml"
    docker.run("docker", "build", "--tag", kind.JOBSET_IMAGE, str(folder))
    docker.run("docker", "save", "--output", str(archive), kind.JOBSET_IMAGE)
    manifests.write_text(yaml.safe_dump_all(kind.jobset_manifests()))
    return {"RESNET_LOAD": str(archive), "RESNET_JOBSET": str(manifests)}


@pytest.mark.soak
@KUBECTL
def test_from_nothing_to_a_smoke_job(docker: Engine, jobset: dict[str, str], tmp_path: Path) -> None:
    variables = environment(docker) | jobset
    variables |= {
        "RESNET_KIND_NODE": kind_node.make(docker),
        "RESNET_BUILD_FLAGS": f"--build-arg=BASE={docker.base()}",
    }
    done = docker.call(SCRIPT, str(tmp_path), environment=variables)
    assert done.returncode == 0, done.stdout[-6000:]
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["phase"], status["pods"]) == ("Completed", {"Succeeded": 2})
    assert 0.7 <= status["evaluation"]["accuracy"] <= 1
    assert "slice-0-1 | " in (tmp_path / "pods.log").read_text()
    _, _, tested = done.stdout.partition("== helm test")
    assert "Phase:          Succeeded" in tested, done.stdout[-3000:]
    assert docker.run("docker", "ps", "--all", "--quiet") == "", "the node is deleted"


def refused(done: subprocess.CompletedProcess[str], folder: Path, error: str, hint: str) -> None:
    """Check that the script ends with one error and its hint, before it makes anything."""
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stdout
    assert re.fullmatch(f"error: {error}", lines[0]), lines[0]
    assert lines[1] == f"hint: {hint}"
    assert list(folder.iterdir()) == []


def script(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script outside the engine's sandbox."""
    return subprocess.run(
        [str(places.REPOSITORY / SCRIPT), str(folder)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_missing_programs_are_named(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for program in ("bash", "mkdir", "dirname", "helm"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or "/bin/true")
    (tmp_path / "out").mkdir()
    done = script(tmp_path / "out", PATH=str(tmp_path / "bin"), RESNET_LAUNCH="no-launcher")
    hint = (
        "see docs/guides/install-kind.md; without Docker, make cluster-up starts a Kubernetes on one machine"
    )
    refused(done, tmp_path / "out", "missing on PATH: docker kind kubectl no-launcher", hint)


@KUBECTL
def test_an_engine_that_does_not_run_is_said(docker: Engine, tmp_path: Path) -> None:
    variables = environment(docker) | {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    (tmp_path / "out").mkdir()
    done = docker.call(SCRIPT, str(tmp_path / "out"), environment=variables)
    error = r"docker: an engine must run, got: .*Cannot connect to the Docker daemon.*"
    refused(done, tmp_path / "out", error, "sudo systemctl start docker, or set DOCKER_HOST")


@KUBECTL
def test_make_cluster_up_says_so_too(docker: Engine, tmp_path: Path) -> None:
    variables = environment(docker) | {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    variables |= {"PYTHONPATH": str(places.PACKAGE.parent)}
    command = (sys.executable, "-m", "testcluster", "up", "--cluster", "kind")
    done = docker.call(*command, environment=variables)
    error, hint = done.stdout.splitlines()
    assert done.returncode == 1
    assert error.startswith("error: docker: an engine must run, got: ")
    assert hint == "hint: sudo systemctl start docker, or set DOCKER_HOST"


@KUBECTL
def test_a_user_without_rights_is_told_the_group(docker: Engine, tmp_path: Path) -> None:
    """The engine's socket belongs to root; the script runs as nobody, who may read none of root's folders."""
    readable = Path("/run/for-nobody")
    programs = [binary("kind"), binary("helm"), str(docker.binaries / "docker")]
    docker.run("mkdir", "--parents", str(readable / "tests"), str(readable / "out"))
    docker.run("cp", *programs, str(readable))
    docker.run("cp", str(places.REPOSITORY / SCRIPT), str(readable / "tests"))
    docker.run("chown", "nobody", str(readable / "out"))
    variables = {
        "PATH": f"{readable}:/usr/bin:/bin",
        "RESNET_LAUNCH": "true",
        "HOME": "/",
        "DOCKER_CONFIG": "/",
    }
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    done = docker.call(*nobody, str(readable / SCRIPT), str(readable / "out"), environment=variables)
    error = r"docker: user nobody must be allowed to use the engine, got: .*permission denied.*"
    refused(done, tmp_path, error, "sudo usermod -aG docker $USER, then log in again")


@KUBECTL
@pytest.mark.parametrize("old", ["v0.26.0", "v0.9.0", "v0.20.0-alpha+1"])
def test_an_old_kind_is_refused(docker: Engine, tmp_path: Path, old: str) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "kind"
    program.write_text(f"#!/bin/sh\necho kind {old} go1.23.4 linux/amd64\n")
    program.chmod(0o755)
    variables = environment(docker)
    variables["PATH"] = f"{program.parent}{os.pathsep}{variables['PATH']}"
    (tmp_path / "out").mkdir()
    done = docker.call(SCRIPT, str(tmp_path / "out"), environment=variables)
    short = re.escape(".".join(old[1:].split(".")[:2]))
    error = f"kind: must be 0.27 or newer to load images into nodes with containerd 2, got {short}"
    refused(done, tmp_path / "out", error, "go install sigs.k8s.io/kind@v0.33.0")


@KUBECTL
def test_a_full_disk_is_said_before_anything_is_built(docker: Engine, tmp_path: Path) -> None:
    done = docker.call(SCRIPT, str(tmp_path), environment=environment(docker) | {"RESNET_DISK": "1000000"})
    error = r"disk: 1000000 GB must be free for images in /.*, got \d+ GB"
    refused(done, tmp_path, error, "docker system prune")


@KUBECTL
def test_an_archive_that_is_not_there_is_said(docker: Engine, tmp_path: Path) -> None:
    variables = environment(docker) | {"RESNET_ARCHIVE": "none.tar"}
    done = docker.call(SCRIPT, str(tmp_path), environment=variables)
    hint = "resnet-launch image build --target cpu --output image.tar"
    refused(done, tmp_path, "RESNET_ARCHIVE: must be a file, got none.tar", hint)


@KUBECTL
def test_a_step_that_fails_is_named_and_leaves_nothing(docker: Engine, tmp_path: Path) -> None:
    """A proxy that refuses: nothing of the image's packages can be fetched."""
    refusing = f"http://{docker.wire.host}:9"
    variables = environment(docker) | {"HTTPS_PROXY": refusing}
    flags = f"--no-cache --build-arg=BASE={docker.base()}"
    done = docker.call(SCRIPT, str(tmp_path), environment=variables | {"RESNET_BUILD_FLAGS": flags})
    assert done.returncode == 1, done.stdout
    assert "Cannot connect to proxy" in done.stdout or "ProxyError" in done.stdout, done.stdout[-2000:]
    assert done.stdout.splitlines()[-2:] == [
        "error: the image failed with exit code 1; its output is above",
        f"hint: behind a proxy, HTTPS_PROXY must be one that containers reach, got {refusing}",
    ]
    assert docker.run("docker", "ps", "--all", "--quiet") == ""


def test_make_cluster_up_names_what_kind_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ClusterError, match="missing: docker, kind, kubectl, helm\nhint: make cluster-up"):
        kind.up()
