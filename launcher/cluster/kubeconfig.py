"""The cluster and the account to use: a context of the kubeconfig, or the service account of this pod.

`is_configured` does without the Kubernetes client, which takes long to import.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launcher.errors import ActionError, closest

CURRENT = re.compile(r"""(?:^|[{,])\s*["']?current-context["']?\s*:\s*["']?[^\s"'#,}]""", re.MULTILINE)
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # mounted in pods that have one


def is_configured(environ: Mapping[str, str]) -> bool:
    """Return True where a kubeconfig names a current context, and in a pod with a service account."""
    return any(_names_context(path) for path in _files(environ)) or (
        "KUBERNETES_SERVICE_HOST" in environ and (ACCOUNT / "token").exists()
    )


def _files(environ: Mapping[str, str]) -> list[Path]:
    paths = [Path(entry) for entry in environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    return paths or [Path(environ.get("HOME", "")) / ".kube" / "config"]


def _names_context(path: Path) -> bool:
    try:
        return CURRENT.search(path.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False


def connect(context: str | None, kubeconfig: str | None) -> tuple[Any, str, str]:
    """Return (ApiClient of the Kubernetes client, namespace of the context, name of the context).

    Raises ActionError where no cluster is configured or the kubeconfig lacks the context.
    """
    from kubernetes import client, config

    try:
        chosen = _choose(config, context, kubeconfig)
        api_client = config.new_client_from_config(kubeconfig, chosen["name"])
        return api_client, chosen["context"].get("namespace") or "default", chosen["name"]
    except config.ConfigException as error:
        if not context and not kubeconfig and (ACCOUNT / "token").exists():
            settings = client.Configuration()
            config.load_incluster_config(settings)
            return client.ApiClient(settings), (ACCOUNT / "namespace").read_text().strip(), "in-cluster"
        hint = "kubectl config get-contexts, or gcloud container clusters get-credentials"
        raise ActionError(f"no cluster is configured: {error}", hint) from None


def _choose(config: Any, context: str | None, kubeconfig: str | None) -> Any:
    contexts, current = config.list_kube_config_contexts(kubeconfig)
    if not context:
        return current
    for entry in contexts:
        if entry["name"] == context:
            return entry
    known = [str(entry["name"]) for entry in contexts]
    hint = closest(context, known) or f"the contexts are {', '.join(known)}"
    raise ActionError(f"context: must be in the kubeconfig, got {context!r}", hint)
