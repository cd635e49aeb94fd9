"""The request of a run between its end on one shape and its start on another, kept on this machine.

A run that is being resized is gone from the cluster for a moment. What is kept here starts it again where the
command was interrupted there. The file is the person's own, since variables of a request may be private.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from launcher import files
from launcher.cluster.api import Cluster
from launcher.errors import ActionError

HINT = "RESNET_CACHE names another folder"


def keep(cluster: Cluster, name: str, fields: dict[str, Any]) -> None:
    """Write the fields of a run.

    Raises:
      ActionError: the folder cannot be written, so that nothing should be stopped.
    """
    path = _path(cluster, name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write(path, json.dumps(fields))
    except OSError as error:
        raise ActionError(f"cannot write {path}: {error.strerror}; nothing was stopped", HINT) from None


def read(cluster: Cluster, name: str) -> dict[str, Any] | None:
    """Return the fields that were kept; None where there are none, or somebody else wrote them."""
    path = _path(cluster, name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, encoding="utf-8") as file:
            if hasattr(os, "getuid") and os.fstat(descriptor).st_uid != os.getuid():
                return None
            fields = json.load(file)
    except (OSError, ValueError):
        return None
    return fields if isinstance(fields, dict) else None


def drop(cluster: Cluster, name: str) -> None:
    """Remove what was kept, if anything."""
    _path(cluster, name).unlink(missing_ok=True)


def _path(cluster: Cluster, name: str) -> Path:
    identity = json.dumps([cluster.context, cluster.namespace, name])
    return files.cache_folder("resize") / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"
