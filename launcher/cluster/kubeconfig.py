"""Whether this machine knows a cluster, found out without loading the Kubernetes client."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

CURRENT = re.compile(r"""(?:^|[{,])\s*["']?current-context["']?\s*:\s*["']?[^\s"'#,}]""", re.MULTILINE)
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")  # in a pod with a service account


def is_configured(environ: Mapping[str, str]) -> bool:
    """True where a kubeconfig names a current context, or in a pod of a cluster."""
    return any(_names_context(path) for path in _files(environ)) or (
        "KUBERNETES_SERVICE_HOST" in environ and TOKEN.exists()
    )


def _files(environ: Mapping[str, str]) -> list[Path]:
    listed = [Path(entry) for entry in environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    return listed or [Path(environ.get("HOME", "")) / ".kube" / "config"]


def _names_context(path: Path) -> bool:
    try:
        return CURRENT.search(path.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False
