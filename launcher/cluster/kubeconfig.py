"""The cluster and the account to use: a context of the kubeconfig, or the service account of this pod.

`is_configured` and `connect` follow one rule, which is that of the Kubernetes client. The files are those of
KUBECONFIG or else ~/.kube/config, `~` stands for the home directory, missing files are skipped, the first
file that has a context defines it, and the last file that names a current context chooses it.

`is_configured` does without the Kubernetes client, which takes long to import.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from launcher.cluster import client_import
from launcher.errors import ActionError, closest

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # mounted in pods that have one
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
HINT = "kubectl config get-contexts, or gcloud container clusters get-credentials"


def is_configured() -> bool:
    """Return True where a kubeconfig names a current context, and in a pod with a service account.

    Raises:
      ActionError: a kubeconfig cannot be read.
    """
    return bool(_current(_documents(files()))) or _in_pod()


def files(explicit: str | None = None, system: ModuleType = os.path) -> list[str]:
    """Return the paths of the kubeconfig, whether they exist or not.

    Args:
      explicit: paths that come before KUBECONFIG and ~/.kube/config, separated as in KUBECONFIG.
      system: rules for paths, those of this machine.
    """
    paths = (explicit or os.environ.get("KUBECONFIG") or "").split(system.pathsep)
    return [system.expanduser(path) for path in paths if path] or [system.expanduser("~/.kube/config")]


def connect(context: str | None, kubeconfig: str | None) -> tuple[Any, str, str, Mapping[str, Any]]:
    """Return (ApiClient of the Kubernetes client, namespace and name of the context, entry of its user).

    Raises:
      ActionError: no cluster is configured, or the kubeconfig cannot be used.
    """
    paths = files(kubeconfig)
    documents = _documents(paths)
    name = context or _current(documents)
    if not name and not kubeconfig and _in_pod():
        return *_service_account(), {}
    if not documents:
        raise ActionError(f"no cluster is configured: there is no kubeconfig at {' or '.join(paths)}", HINT)
    if not name:
        raise ActionError(
            f"no cluster is configured: {' and '.join(documents)} names no current context", HINT
        )
    chosen = _choose(documents, name)
    _require_usable(documents, name, chosen)

    _, config = client_import.load()
    try:
        client = config.new_client_from_config(os.pathsep.join(documents), name)
    except Exception as error:  # the client raises whatever a wrong entry makes it trip over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ActionError(f"context {name!r} of the kubeconfig cannot be used: {reason}", HINT) from None
    return client, chosen.get("namespace") or "default", name, _user(documents, chosen.get("user"))


def _service_account() -> tuple[Any, str, str]:
    client, config = client_import.load()
    settings = client.Configuration()
    try:
        config.load_incluster_config(settings)
        namespace = (ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    except (config.ConfigException, OSError, ValueError) as error:
        raise ActionError(f"the service account of this pod cannot be used: {error}") from None
    return client.ApiClient(settings), namespace, "in-cluster"


def _in_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and (ACCOUNT / "token").exists()


def _documents(paths: list[str]) -> dict[str, Mapping[str, Any]]:
    """Return path -> content of the files that exist.

    Raises:
      ActionError: a file cannot be read, or is not one YAML mapping.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents: dict[str, Mapping[str, Any]] = {}
    for path in paths:
        if not os.path.exists(path):
            continue
        try:
            document = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader)
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise ActionError(f"kubeconfig {path}: must be one YAML document: {reason}", HINT) from None
        if not isinstance(document, Mapping):
            got = "an empty file" if document is None else repr(document)[:60]
            raise ActionError(f"kubeconfig {path}: must be a mapping with contexts, got {got}", HINT)
        documents[path] = document
    return documents


def _current(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of the current context; empty where the files name none."""
    names = [document["current-context"] for document in documents.values() if "current-context" in document]
    return str(names[-1] or "") if names else ""


def _user(documents: Mapping[str, Mapping[str, Any]], name: Any) -> Mapping[str, Any]:
    """Return the entry of a user; an empty one where there is none, since then nobody is who is meant."""
    for document in documents.values():
        entries = document.get("users")
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, Mapping) and entry.get("name") == name:
                user = entry.get("user")
                return user if isinstance(user, Mapping) else {}
    return {}


def _require_usable(documents: Mapping[str, Mapping[str, Any]], name: str, chosen: Mapping[str, Any]) -> None:
    """Refuse a context whose namespace is no name, or whose user the files lack: nobody would be logged in.

    Raises:
      ActionError: as said.
    """
    namespace, user = chosen.get("namespace"), chosen.get("user")
    if namespace not in (None, "") and not (isinstance(namespace, str) and NAMESPACE.fullmatch(namespace)):
        problem = f"must have the name of a namespace, got {repr(namespace)[:60]}"
        raise ActionError(f"kubeconfig: context {name!r} {problem}", HINT)
    users = [
        entry.get("name")
        for document in documents.values()
        for entry in (document.get("users") if isinstance(document.get("users"), list) else None) or []
        if isinstance(entry, Mapping)
    ]
    if user not in (None, "") and user not in users:
        listed = ", ".join(map(str, users))[:200] or "none"
        problem = f"must name a user of the kubeconfig, got {repr(user)[:60]}; its users: {listed}"
        raise ActionError(f"kubeconfig: context {name!r} {problem}", HINT)


def _choose(documents: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Return the context of this name: its cluster, user and namespace."""
    contexts: dict[str, Mapping[str, Any]] = {}
    for path, document in documents.items():
        entries = document.get("contexts") or []
        for entry in entries if isinstance(entries, list) else [entries]:
            if not (isinstance(entry, Mapping) and isinstance(entry.get("context"), Mapping)):
                problem = f"must be entries with a name and a context, got {repr(entry)[:60]}"
                raise ActionError(f"kubeconfig {path}: contexts {problem}", HINT)
            contexts.setdefault(str(entry.get("name")), entry["context"])
    if name not in contexts:
        hint = closest(name, contexts) or f"the contexts are {', '.join(contexts) or 'none'}"
        raise ActionError(f"context: must be in the kubeconfig, got {name!r}", hint)
    return contexts[name]
