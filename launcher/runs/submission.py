"""A request becomes a run on a cluster: checked there first, then applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launcher.cluster.api import JSON, Cluster
from launcher.cluster.refusals import Refused
from launcher.errors import Problem, RequestError
from launcher.rendering.jobset import render
from launcher.request import sources
from launcher.runs import diagnosis
from launcher.runs.watch import until_gone

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

DEFAULTS = "resnet-launch-defaults"  # ConfigMap of a namespace, with a team's image, bucket, queue
REPLACE_SECONDS = 600.0  # longest wait for the old run's pods to save and go


def defaults(cluster: Cluster) -> sources.Source:
    """What the cluster's team has set for the namespace; nothing where it may not be read."""
    where = f"ConfigMap {DEFAULTS} of namespace {cluster.namespace}"
    try:
        found = cluster.get("ConfigMap", DEFAULTS)
    except Refused as error:
        if error.status == 403:
            return sources.Source(where, {})
        raise
    return sources.configmap(where, (found or {}).get("data") or {})


def submit(job: TrainingJob, cluster: Cluster, replace: bool = False) -> JSON:
    """Dry run on the server, then server-side apply; returns the stored JobSet.

    Args:
      replace: delete a run of the same name first, once the new one has passed its dry run.

    Raises:
      RequestError: the name is in use.
      ActionError: the server refused; nothing was stored.
    """
    things = _objects(job, cluster)
    before = cluster.get("JobSet", job.name)
    if before and not replace:
        raise RequestError(name_in_use(job.name, before))
    _try(job, cluster, things, before)
    if before:
        cluster.delete("JobSet", job.name)
        until_gone(cluster, before, REPLACE_SECONDS)
    return [cluster.apply(thing) for thing in things][-1]


def rehearse(job: TrainingJob, cluster: Cluster) -> None:
    """Lets the server check all objects of a run and one of its pods; nothing is stored.

    Raises ActionError where the server refuses.
    """
    _try(job, cluster, _objects(job, cluster), cluster.get("JobSet", job.name))


def _objects(job: TrainingJob, cluster: Cluster) -> list[JSON]:
    things = render(job)
    for thing in things:
        thing["metadata"].setdefault("namespace", cluster.namespace)
    return things


def _try(job: TrainingJob, cluster: Cluster, things: list[JSON], before: JSON | None) -> None:
    for thing in things:
        cluster.apply(_renamed(thing) if before else thing, dry_run=True)
    _try_pod(cluster, things[-1], waits=bool(before or job.queue))


def name_in_use(name: str, before: JSON) -> Problem:
    phase = diagnosis.phase(before)
    verb = "resume" if phase == "Suspended" else "status"
    hint = f"resnet-launch {verb} {name}, submit --replace, or another --name"
    return Problem("name", f"must be new, got {name!r}, a run that is {phase.lower()}", hint)


def _renamed(thing: JSON) -> JSON:
    """The same object as a new one: the spec of the one that is there cannot be changed."""
    name = thing["metadata"]["name"]
    return thing | {"metadata": thing["metadata"] | {"name": name[:-1] + ("y" if name[-1] == "x" else "x")}}


def _try_pod(cluster: Cluster, jobset: JSON, waits: bool) -> None:
    """Dry run of one pod: Pod Security, quota and admission refuse pods, not the JobSet that makes them.

    Args:
      waits: the run starts when there is room for it, so a quota that is used up now is no fault.
    """
    template = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    metadata = {**template["metadata"], "name": f"{jobset['metadata']['name'][:60]}-x"}
    try:
        cluster.apply({"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}, dry_run=True)
    except Refused as error:
        # Who may not create pods may still submit: a controller makes them.
        if error.about != "permission" and not (waits and error.about == "quota"):
            raise
