"""Whose run it is: only runs of the launcher are changed, and another person's only on purpose.

Who submitted a run is an annotation, so this keeps people from mistakes and not from malice: who may patch
JobSets can change it.
"""

from __future__ import annotations

import getpass
import os
import socket

from launcher import keys
from launcher.cluster.api import JSON, Cluster, NotUnderstood
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError, Problem, RequestError
from launcher.runs import objects

REVIEW = "authentication.k8s.io/v1"  # SelfSubjectReview: Kubernetes 1.28 and newer


def username(cluster: Cluster) -> str:
    """Return the name by which the cluster knows the user; USER@HOST where it does not say one."""
    review = {"apiVersion": REVIEW, "kind": "SelfSubjectReview"}
    try:
        answer = cluster.request("POST", f"/apis/{REVIEW}/selfsubjectreviews", review, repeatable=True)
    except (Refused, NotUnderstood):
        return _local_name()
    return objects.text(answer, "status", "userInfo", "username") or _local_name()


def submitter(jobset: JSON) -> str:
    """Return who submitted a run; empty for a run that does not say."""
    return str(objects.annotations_of(jobset).get(keys.SUBMITTED_BY) or "")


def is_ours(obj: JSON) -> bool:
    """Return whether the launcher or its chart made an object, by the object's labels."""
    labels = objects.labels_of(obj)
    return keys.APP in (labels.get(keys.NAME), labels.get(keys.MANAGED_BY))


def require_ours(jobset: JSON) -> None:
    """Raise ActionError for a JobSet that the launcher did not make."""
    if not is_ours(jobset):
        name = objects.name(jobset)
        raise ActionError(
            f"JobSet {name!r} was not made by resnet-launch (it lacks the label {keys.NAME}={keys.APP}), "
            "so it is left as it is",
            f"kubectl -n {objects.text(jobset, 'metadata', 'namespace')} get jobset {name} -o yaml shows it",
        )


def other_owner(cluster: Cluster, jobset: JSON) -> str:
    """Return who else submitted a run; empty for one's own, or where nobody is recorded."""
    owner = submitter(jobset)
    if not owner or owner in (username(cluster), _local_name()):
        return ""
    return owner


def require_own(cluster: Cluster, jobset: JSON, confirmed: str, verb: str) -> None:
    """Refuse to change another person's run, unless its name was given as a confirmation.

    Args:
      confirmed: value of --yes; empty where it was not given or has no value.
      verb: what would be done, such as `delete`.

    Raises:
      RequestError: somebody else submitted the run, and `confirmed` is not its name.
    """
    name = objects.name(jobset)
    owner = "" if confirmed == name else other_owner(cluster, jobset)
    if owner:
        problem = f"must be the run's name to {verb} the run of {owner}, got {confirmed or 'none'!r}"
        raise RequestError(Problem("yes", problem, f"--yes {name}, if {owner} agrees"))


def sign(cluster: Cluster, manifest: JSON) -> None:
    """Record in the manifest of a JobSet who submits it."""
    manifest["metadata"].setdefault("annotations", {})[keys.SUBMITTED_BY] = username(cluster)


def require_free(cluster: Cluster, manifests: list[JSON], run: str) -> None:
    """Refuse to take over an object that bears the name of one of a run's own and is not the run's.

    Raises:
      RequestError: such an object exists; the error names it.
    """
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        stored = cluster.get(kind, name)
        if stored and not (is_ours(stored) and objects.labels_of(stored).get(keys.INSTANCE) == run):
            problem = f"must not be that of another {kind}, and {kind} {name!r} exists already"
            raise RequestError(Problem("name", problem, "another --name"))


def _local_name() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user id without an entry in passwd
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
