"""The volumes of a pod: those that every pod has for its read-only root, and those of the request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from launcher.request.mounts import SCRATCH, Mount


def build(mounted: Iterable[Mount], *, scratch: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(volumes, mounts) of a pod: what every pod writes to, scratch for a run not kept, the request's."""
    volumes: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},  # the default /dev/shm holds 64 MiB
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
