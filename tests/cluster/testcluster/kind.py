"""A kind cluster for the same tests: JobSet is built from this project's pin, and our image is loaded.

It needs the commands docker, kind and kubectl, and the node image that kind is configured to use. JobSet is
installed from its own kustomization, with the image that is built here.
"""

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

COMMANDS = ("docker", "kind", "kubectl")
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


def _build_manager() -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(binary("jobset"), Path(folder, "manager"))
        Path(folder, "Dockerfile").write_text("FROM scratch\nCOPY manager /manager\n")
        _run("docker", "build", f"--tag={JOBSET_IMAGE}", folder)


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
