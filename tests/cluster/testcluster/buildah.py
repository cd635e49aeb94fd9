"""Images without a Docker engine: buildah with its storage in the cache, apart from the machine's own."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from testcluster import places
from testcluster.errors import ClusterError

# Mounted into builds where they exist: how this machine reaches its package index. They are in no image.
MACHINE_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf", "/etc/uv/uv.toml")


def archives() -> Path:
    """The folder of exported images."""
    folder = places.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sandboxed(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command whose mounts and processes end with it, also when it is killed; returns its output."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    done = subprocess.run(
        [*unshare, *command],
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-25:])
        raise ClusterError(f"{' '.join(command)[:120]} failed:\n{tail}")
    return done.stdout.strip()


def run(*arguments: str) -> str:
    """Run buildah and return what it prints; raises ClusterError with the end of its output."""
    storage = places.cache() / "buildah"
    options = [f"--root={storage}/root", f"--runroot={storage}/run", "--storage-driver=overlay"]
    with places.locked(storage / "lock"):
        shutil.rmtree(storage / "run", ignore_errors=True)  # a killed buildah's record of mounts is wrong
        return sandboxed("buildah", *options, *arguments, environment={"BUILDAH_ISOLATION": "chroot"})


def build(name: str, context: Path, *options: str) -> None:
    """Build an image from `context`, layer by layer from the cache where nothing changed."""
    mounts = [f"--volume={file}:{file}:ro" for file in MACHINE_FILES if Path(file).exists()]
    run("build", "--layers", "--network=host", *mounts, "--tag", name, *options, str(context))


def export(name: str, archive: Path) -> None:
    """Write an image as a Docker archive, whole or not at all; its layers are not compressed."""
    scratch = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        run("push", name, f"docker-archive:{scratch}:{name}")
        scratch.rename(archive)
    finally:
        scratch.unlink(missing_ok=True)


def identity(name: str) -> str:
    """The content id of an image, empty where there is none of that name."""
    try:
        return run("inspect", "--type=image", "--format={{.FromImageID}}", name)
    except ClusterError:
        return ""
