"""The control groups that a kubelet needs around its pods.

They are all that outlives a killed cluster.
"""

import contextlib
import time
from pathlib import Path

from testcluster.errors import ClusterError

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")
REMOVE_SECONDS = 10


def version() -> int:
    """Return the version of this machine's control groups; a mixture, as of old systemd, counts as 1."""
    return 2 if (ROOT / "cgroup.controllers").exists() else 1


def hierarchies() -> list[Path]:
    """Return the roots: one in version 2, one for each controller in version 1."""
    if version() == 2:
        return [ROOT]
    return [folder for folder in sorted(ROOT.iterdir()) if (folder / "cgroup.procs").exists()]


def create(name: str) -> None:
    """Make the group `name` at the root of every tree."""
    for tree in hierarchies():
        group = tree / name
        group.mkdir(exist_ok=True)
        if tree == ROOT:  # version 2: a group passes on only the enabled controllers
            available = (tree / "cgroup.controllers").read_text().split()
            enabled = " ".join(f"+{controller}" for controller in CONTROLLERS if controller in available)
            (tree / "cgroup.subtree_control").write_text(enabled)
            (group / "cgroup.subtree_control").write_text(enabled)
        elif (group / "cpuset.cpus").exists():  # version 1: an empty set admits no process
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((tree / file).read_text())


def remove(name: str) -> None:
    """Remove the group and all below it; wait while the kernel still removes its ended processes."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while groups := [tree / name for tree in hierarchies() if (tree / name).is_dir()]:
        for group in groups:
            for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        if time.monotonic() > deadline:
            raise ClusterError(
                f"control group {groups[0]}: still holds processes", hint=f"cat {groups[0]}/cgroup.procs"
            )


def processes(fragment: str) -> list[int]:
    """Return the process ids, as seen from outside the sandbox, of groups whose name contains `fragment`."""
    pids: set[int] = set()
    for tree in hierarchies():
        for folder in tree.rglob(f"*{fragment}*"):
            if (folder / "cgroup.procs").exists():
                pids |= {int(line) for line in (folder / "cgroup.procs").read_text().split()}
    return sorted(pids)
