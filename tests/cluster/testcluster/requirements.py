"""Requirements of a cluster on this machine; `make cluster-packages` installs the Debian packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from testcluster.errors import ClusterError

GO_MINIMUM = (1, 26)
CNI = Path("/usr/lib/cni")
# command or file: the Debian package that contains it
COMMANDS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2"}
NODE_COMMANDS = {"containerd": "containerd", "ctr": "containerd", "runc": "runc", "buildah": "buildah"} | {
    "debootstrap": "debootstrap",
    str(CNI / "bridge"): "containernetworking-plugins",
}


def missing() -> str:
    """Return one line that says why no cluster can run on this machine; empty where one can."""
    if sys.platform != "linux":
        return f"the test cluster needs Linux, got {sys.platform}"
    if os.geteuid() != 0:
        return "the test cluster needs root: it makes namespaces, mounts and control groups"
    if not (go := shutil.which("go")):
        return "the test cluster needs Go 1.26 or newer on PATH to build Kubernetes"
    version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True).stdout.strip()
    numbers = tuple(int(part) for part in version.removeprefix("go").split(".")[:2] if part.isdigit())
    if numbers < GO_MINIMUM:
        return f"the test cluster needs Go 1.26 or newer, got {version}"
    return ""


def packages() -> list[str]:
    """Return the missing Debian packages for a cluster with a node."""
    needed = COMMANDS | NODE_COMMANDS
    return sorted({package for command, package in needed.items() if not shutil.which(command)})


def install() -> None:
    """Install the missing packages; raises ClusterError where that fails."""
    lacking = packages()
    if not lacking:
        return
    if not shutil.which("apt-get"):
        raise ClusterError(
            f"missing: {', '.join(lacking)}", hint="install these with your system's package manager"
        )
    print(f"installing {', '.join(lacking)}", file=sys.stderr, flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *lacking]):
        done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise ClusterError(f"apt-get {command[0]} failed: {done.stderr.strip()[-500:]}")
