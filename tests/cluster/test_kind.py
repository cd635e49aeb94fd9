"""tests/kind.sh, which the workflow calls, with a real kind on a real Docker engine; and what it refuses."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from testcluster import ClusterError, kind, kind_node, places
from testcluster.build import binary
from testcluster.docker import Engine
from testcluster.objects import eventually

SCRIPT = "tests/kind.sh"
KUBECTL = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
LAUNCH = f"{sys.executable} -m launcher"
CLUSTER = "resnet-smoke"
NODE = f"{CLUSTER}-control-plane"


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
def node_image(docker: Engine) -> str:
    """The image of kind's node, made the first time."""
    return kind_node.make(docker)


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


def scratch(folder: Path) -> dict[str, str]:
    """The variable that puts the script's own files into an empty folder `scratch`."""
    (folder / "scratch").mkdir()
    return {"TMPDIR": str(folder / "scratch")}


def left_nothing(engine: Engine, scratch: Path) -> None:
    """Check that an ended script has no container, volume, mount, process or file of its own any more."""
    assert engine.run("docker", "ps", "--all", "--quiet") == ""
    assert engine.run("docker", "volume", "ls", "--quiet") == ""
    assert "/merged" not in engine.run("cat", "/proc/self/mountinfo")
    assert SCRIPT not in engine.run("ps", "-e", "--format", "args")
    assert list(scratch.iterdir()) == []


def failed(done: subprocess.CompletedProcess[str], step: str, cause: str, hint: str) -> None:
    """Check that the script ends with the step that failed, below the cause in its output, and a hint."""
    assert done.returncode == 1, done.stdout
    *output, error, last = done.stdout.splitlines()
    assert re.search(cause, "\n".join(output)), done.stdout[-2000:]
    assert error == f"error: {step} failed with exit code 1; its output is above"
    assert last == f"hint: {hint}"


class NeedsPassword(BaseHTTPRequestHandler):
    """A proxy that passes nobody."""

    def do_CONNECT(self) -> None:
        self.send_response(407)
        self.send_header("Proxy-Authenticate", "Basic")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@KUBECTL
@pytest.mark.parametrize("proxy", ["nobody listens", "needs a password"])
def test_a_proxy_that_containers_do_not_pass_is_named(docker: Engine, tmp_path: Path, proxy: str) -> None:
    with ThreadingHTTPServer((docker.wire.host, 0), NeedsPassword) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        port = {"nobody listens": 9, "needs a password": server.server_port}[proxy]
        url = f"http://{docker.wire.host}:{port}"
        flags = f"--no-cache --build-arg=BASE={docker.base()}"
        variables = scratch(tmp_path) | {"HTTPS_PROXY": url, "RESNET_BUILD_FLAGS": flags}
        done = docker.call(SCRIPT, str(tmp_path / "out"), environment=environment(docker) | variables)
        server.shutdown()
    hint = f"behind a proxy, HTTPS_PROXY must be one that containers reach, got {url}"
    failed(done, "the image", "Cannot connect to proxy|ProxyError", hint)
    left_nothing(docker, tmp_path / "scratch")


UNREACHABLE = 'a registry or host was not reached: "Behind a proxy" in docs/guides/install-kind.md'


@KUBECTL
@pytest.mark.parametrize(
    ("step", "cause"), [("the image", "python:3.13-slim"), ("the cluster", "kindest/node:v")]
)
def test_a_registry_that_is_not_reached_is_named(
    docker: Engine, tmp_path: Path, step: str, cause: str
) -> None:
    variables = environment(docker) | scratch(tmp_path)
    if step == "the cluster":
        variables["RESNET_ARCHIVE"] = __file__  # which is not looked at yet
    done = docker.call(SCRIPT, str(tmp_path / "out"), environment=variables)
    failed(done, step, cause, UNREACHABLE)
    left_nothing(docker, tmp_path / "scratch")


@KUBECTL
def test_a_disk_that_fills_up_is_named(docker: Engine, tmp_path: Path) -> None:
    base = docker.base()
    docker.run("docker", "save", "--output", str(tmp_path / "base.tar"), base)
    engine = Engine.start(f"docker-full-{os.getpid()}", tmp_path / "storage", megabytes=320)
    try:
        engine.run("docker", "load", "--input", str(tmp_path / "base.tar"))
        variables = environment(engine) | scratch(tmp_path)
        variables |= {"RESNET_DISK": "0", "RESNET_BUILD_FLAGS": f"--build-arg=BASE={base}"}
        done = engine.call(SCRIPT, str(tmp_path / "out"), environment=variables)
        failed(done, "the image", "(?i)no space left on device", "the disk filled up: docker system prune")
        left_nothing(engine, tmp_path / "scratch")
    finally:
        engine.end()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def beginning(engine: Engine, node_image: str, folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Start the script, and return it and its process id once the node's container runs."""
    variables = environment(engine) | scratch(folder)
    variables |= {"RESNET_KIND_NODE": node_image, "RESNET_ARCHIVE": __file__}
    process = engine.start_command(SCRIPT, str(folder / "out"), environment=variables)
    assert eventually(lambda: NODE in engine.run("docker", "ps", "--format={{.Names}}"), 120)
    [number] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return process, int(number)


@KUBECTL
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["cancelled", "Ctrl-C"])
def test_an_interruption_deletes_the_cluster(
    docker: Engine, node_image: str, tmp_path: Path, number: signal.Signals
) -> None:
    process, pid = beginning(docker, node_image, tmp_path)
    os.kill(pid, number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert output.splitlines()[-1] == "error: interrupted in the step: the cluster"
    left_nothing(docker, tmp_path / "scratch")


@KUBECTL
def test_after_a_kill_the_next_run_says_how_to_go_on(docker: Engine, node_image: str, tmp_path: Path) -> None:
    process, pid = beginning(docker, node_image, tmp_path)
    [step] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(pid, signal.SIGKILL)
    os.killpg(int(step), signal.SIGKILL)  # kind, which would delete the node that it could not finish
    process.communicate(timeout=60)
    (tmp_path / "next").mkdir()
    done = docker.call(SCRIPT, str(tmp_path / "next"), environment=environment(docker))
    hint = f"kind delete cluster --name {CLUSTER}, or set RESNET_KIND_NAME"
    refused(done, tmp_path / "next", f"kind: cluster {CLUSTER} is there already", hint)
    assert docker.call(*hint.split(",")[0].split(), environment=environment(docker)).returncode == 0
    assert docker.run("docker", "ps", "--all", "--quiet") == ""


@KUBECTL
def test_from_nothing_to_a_smoke_job(
    docker: Engine, node_image: str, jobset: dict[str, str], tmp_path: Path
) -> None:
    variables = environment(docker) | jobset
    variables |= {
        "RESNET_KIND_NODE": node_image,
        "RESNET_BUILD_FLAGS": f"--build-arg=BASE={docker.base()}",
        "RESNET_TIMEOUT": "8m",  # within the test's own limit
    }
    done = docker.call(SCRIPT, str(tmp_path), environment=variables)
    assert done.returncode == 0, done.stdout[-6000:]
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["phase"], status["pods"]) == ("Completed", {"Succeeded": 2})
    assert 0.7 <= status["evaluation"]["accuracy"] <= 1
    logs = (tmp_path / "pods.log").read_text()
    assert re.search(r"slice-0-0 +\| event name=start .* hosts=2 devices=2 ", logs), logs
    assert re.search(r"slice-0-0 +\| event name=end .* step=100 accuracy=", logs), logs
    _, _, tested = done.stdout.partition("== helm test")
    assert "Phase:          Succeeded" in tested, done.stdout[-3000:]
    assert docker.run("docker", "ps", "--all", "--quiet") == "", "the node is deleted"


def test_make_cluster_up_names_what_kind_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ClusterError, match="missing: docker, kind, kubectl, helm\nhint: make cluster-up"):
        kind.up()
