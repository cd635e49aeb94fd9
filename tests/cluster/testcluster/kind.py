"""A kind cluster for the same tests: JobSet is built from this project's pin, and our image is loaded.

It needs the commands docker, kind, kubectl and helm, and the node image that kind is configured to use.
JobSet is installed from its own kustomization, with the image that is built here.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from testcluster import places
from testcluster.api import Object
from testcluster.build import binary, build
from testcluster.errors import ClusterError

COMMANDS = ("docker", "kind", "kubectl", "helm")
TRAINER_IMAGE = "localhost/resnet-launch:cpu"
JOBSET_IMAGE = "localhost/jobset:pinned"
MANAGER = "jobset-controller-manager"
READY = "180s"


def name() -> str:
    """The name of this checkout's kind cluster."""
    return f"resnet-{places.checkout_key()}"


def up() -> Path:
    """Create the cluster unless it is there, load the cpu image, install JobSet; returns the kubeconfig."""
    if lacking := [command for command in COMMANDS if not shutil.which(command)]:
        hint = "make cluster-up without CLUSTER_FLAGS needs none of them"
        raise ClusterError(f"kind needs {', '.join(COMMANDS)}, missing: {', '.join(lacking)}", hint)
    _check()
    kubeconfig = places.cache() / f"{name()}.kubeconfig"
    if name() not in _run("kind", "get", "clusters").split():
        _run("kind", "create", "cluster", f"--name={name()}", f"--kubeconfig={kubeconfig}", f"--wait={READY}")
    _run("docker", "build", "--target=cpu", f"--tag={TRAINER_IMAGE}", str(places.REPOSITORY))
    _build_manager()
    _run("kind", "load", "docker-image", TRAINER_IMAGE, JOBSET_IMAGE, f"--name={name()}")
    kubectl = ("kubectl", f"--kubeconfig={kubeconfig}", "--namespace=jobset-system")
    _run(*kubectl, "apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all(jobset_manifests()))
    _run(*kubectl, "wait", "--for=condition=Available", f"--timeout={READY}", f"deployment/{MANAGER}")
    return kubeconfig


def _check() -> None:
    """Raise ClusterError where tests/kind.sh says what its engine, kind or disk lacks."""
    command = [str(places.REPOSITORY / "tests" / "kind.sh"), "--check"]
    # A cluster that is there is used again, so the name that is looked for is one that nobody has.
    environment = os.environ | {"RESNET_LAUNCH": "true", "RESNET_KIND_NAME": "none-of-this-name"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        message, _, hint = done.stderr.strip().partition("\nhint: ")
        raise ClusterError(message.removeprefix("error: "), hint)


def _build_manager() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_manager(Path(folder))
        _run("docker", "build", f"--tag={JOBSET_IMAGE}", folder)


def write_manager(folder: Path) -> None:
    """Write what an image of JobSet's manager is built from; its Deployment runs no image as root."""
    shutil.copy(binary("jobset"), folder / "manager")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY manager /manager\nUSER 65532:65532\n")


def down() -> None:
    """Delete this checkout's kind cluster where there is one."""
    if shutil.which("kind") and name() in _run("kind", "get", "clusters").split():
        _run("kind", "delete", "cluster", f"--name={name()}")
    (places.cache() / f"{name()}.kubeconfig").unlink(missing_ok=True)


def jobset_manifests() -> Iterator[Object]:
    """JobSet's own installation, with the manager's image replaced by the one built from the pin."""
    rendered = _run("kubectl", "kustomize", str(build("jobset") / "manifests" / "default"))
    for manifest in yaml.safe_load_all(rendered):
        if manifest["kind"] == "Deployment":
            for container in manifest["spec"]["template"]["spec"]["containers"]:
                container |= {"image": JOBSET_IMAGE, "imagePullPolicy": "Never"}
        yield manifest


def _run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise ClusterError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-800:]}")
    return done.stdout
