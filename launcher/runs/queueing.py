"""The queue, priority and placement of a run: whether Kueue has them, before anything is submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launcher.cluster import controllers, kueue
from launcher.cluster.api import Cluster
from launcher.cluster.refusals import Refused
from launcher.errors import Problem, RequestError, closest
from launcher.request import queue_topology
from launcher.runs import objects

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


def check(job: TrainingJob, cluster: Cluster) -> None:
    """Refuse a queue or a priority class that does not exist; what may not be read passes with a warning.

    Raises:
      RequestError: the cluster has no Kueue, or the namespace no such queue, or the cluster no such class, or
        its Kueue is too old for the run's placement.
    """
    if wrong := problems(cluster, job.queue, job.priority) or _too_old(job, cluster):
        raise RequestError(*wrong)


def _too_old(job: TrainingJob, cluster: Cluster) -> list[Problem]:
    """Return the problem of a Kueue too old for the placement; a version in the request is not doubted."""
    if job.kueue_version or queue_topology.needed(job) == queue_topology.ANY:
        return []
    try:
        installed = controllers.version(cluster, "Kueue")
    except Refused:
        return []
    if installed is None:
        return []
    tag, version = installed
    return list(queue_topology.too_old(job, version, f"{tag} in this cluster"))


def problems(cluster: Cluster, queue: str | None, priority: str | None) -> list[Problem]:
    """Return what is wrong with the names of a queue and a priority class; empty names are not looked at."""
    wrong = []
    if queue:
        where = f"in namespace {cluster.namespace}"
        wrong += _problem(cluster, "queue", queue, "LocalQueue", None, where)
    if queue and priority and not wrong:
        wrong += _problem(cluster, "priority", priority, "WorkloadPriorityClass", "", "of the cluster")
    return wrong


def _problem(
    cluster: Cluster, field: str, name: str, kind: str, namespace: str | None, where: str
) -> list[Problem]:
    try:
        names = [objects.name(entry) for entry in kueue.objects(cluster, kind, namespace)[1]]
    except Refused as error:
        if error.status == 404 and not error.about:  # no such kind; "absent" would be about one object
            hint = "install Kueue, or submit without a queue: --no-queue"
            return [Problem(field, f"must be used where Kueue is installed, got {name!r}", hint)]
        cluster.warn(f"{field} {name} could not be checked: {error}")
        return []
    if name in names:
        return []
    known = ", ".join(sorted(names)[:10])
    hint = closest(name, names) or (f"{where}: {known}" if known else f"there is none {where}")
    return [Problem(field, f"must be a {kind} {where}, got {name!r}", hint)]
