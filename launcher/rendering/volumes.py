"""The volumes of a pod: writable directories beside its read-only root, and the mounts of the request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from launcher.request.mounts import SCRATCH, Mount


def build(
    mounted: Iterable[Mount], *, scratch: bool, shm: str | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return (volumes of the pod, volumeMounts of the trainer).

    Args:
      mounted: mounts of the request.
      shm: largest size of /dev/shm; that of the node's memory, or of the pod's limit, if None.
      scratch: add an emptyDir as the run directory, for a run that is not kept.
    """
    volumes: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {}},
        {
            "name": "shm",
            "emptyDir": {"medium": "Memory"} | ({"sizeLimit": shm} if shm else {}),
        },  # the default /dev/shm is only 64 MiB
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "shm", "mountPath": "/dev/shm"},
    ]
    if scratch:
        volumes.append({"name": "scratch", "emptyDir": {}})
        mounts.append({"name": "scratch", "mountPath": SCRATCH})
    for number, mount in enumerate(mounted):
        volumes.append(mount.volume(f"mount-{number}"))
        mounts.append(mount.mount(f"mount-{number}"))
    return volumes, mounts
