"""Which cluster, and as whom: a context of the kubeconfig, or the account of the pod this runs in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from launcher.errors import ActionError, closest

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # of a pod that has one


def connect(context: str | None, kubeconfig: str | None) -> tuple[Any, str, str]:
    """(ApiClient of the Kubernetes client, namespace of the context, name of the context).

    Raises ActionError where no cluster is configured, or not this one.
    """
    from kubernetes import client, config

    try:
        chosen = _choose(config, context, kubeconfig)
        made = config.new_client_from_config(kubeconfig, chosen["name"])
        return made, chosen["context"].get("namespace") or "default", chosen["name"]
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
    for found in contexts:
        if found["name"] == context:
            return found
    known = [str(found["name"]) for found in contexts]
    hint = closest(context, known) or f"the contexts are {', '.join(known)}"
    raise ActionError(f"context: must be one of the kubeconfig, got {context!r}", hint)
