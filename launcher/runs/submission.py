"""Submitting a run to a cluster: the server checks it first, then it is applied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from launcher.cluster.api import JSON, Cluster, Unanswered
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError, LauncherError, NotKnown, Problem, RequestError
from launcher.rendering import code as rendered_code
from launcher.rendering.jobset import render
from launcher.request import sources
from launcher.runs import deletion, diagnosis, lookup, ownership, queueing, replacement

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

DEFAULTS = "resnet-launch-defaults"  # ConfigMap of a namespace with a team's image, bucket, queue
REPLACE_SECONDS = 600.0  # longest wait until the old run's pods have saved and ended


def defaults(cluster: Cluster) -> sources.Source:
    """Return the team's defaults for the namespace; none, with a warning, where they may not be read."""
    source = f"ConfigMap {DEFAULTS} of namespace {cluster.namespace}"
    try:
        config_map = cluster.get("ConfigMap", DEFAULTS)
    except Refused as error:
        if error.about == "permission":
            cluster.warn(f"the team's defaults are not used (image, bucket, queue): {error}")
            return sources.Source(source, {})
        raise
    return sources.configmap(source, (config_map or {}).get("data") or {})


def submit(
    job: TrainingJob, cluster: Cluster, replace: bool = False, confirmed: str = "", replaced: str = ""
) -> JSON:
    """Try a run on the server, then apply its objects; return the stored JobSet.

    Args:
      replace: delete an existing run of the same name, once the dry run of the new one has passed.
      confirmed: the run's name where the existing run is another person's and is to be replaced.
      replaced: UID of the only run that may be replaced; empty: any of this name.

    Raises:
      RequestError: the name, the queue or the priority cannot be used, or the run to replace is another
        person's or of another network.
      NotKnown: the server did not answer; the run may have been submitted.
      ActionError: the server or the bucket of the code refused; nothing was stored.
    """
    objects = _objects(job, cluster)
    existing = cluster.get("JobSet", job.name)
    if existing and (not replace or replaced not in ("", existing["metadata"]["uid"])):
        raise RequestError(name_in_use(job.name, existing))
    if existing:
        ownership.require_ours(existing)
        ownership.require_own(cluster, existing, confirmed, "replace")
        replacement.require_resumable(existing, job)
    queueing.check(job, cluster)
    ownership.require_free(cluster, objects[:-1], job.name)
    _dry_run(job, cluster, objects, existing)
    with _code_kept(job, cluster):
        if existing:
            sent: list[str] = []
            with deletion.naming_sent(sent):
                lookup.delete(cluster, existing, sent)
                deletion.until_gone(cluster, existing, REPLACE_SECONDS)
        ownership.sign(cluster, objects[-1])
        return _create(job, cluster, objects)


@contextmanager
def _code_kept(job: TrainingJob, cluster: Cluster) -> Iterator[None]:
    """Keep the code in the bucket for the block; what was put there goes again where no run needs it."""
    if not (job.code and job.code.archive and rendered_code.in_bucket(job)):
        yield
        return
    from launcher.code import bucket

    generation = bucket.keep(job.code, job.run_dir)
    try:
        yield
    except NotKnown:  # the run may exist, and then its pods need the code
        raise
    except LauncherError:
        if generation is not None:
            try:
                bucket.take_back(job.code, job.run_dir, generation)
            except ActionError as error:
                cluster.warn(f"{job.code.place(job.run_dir)} is left behind: {error}")
        raise


def _create(job: TrainingJob, cluster: Cluster, objects: list[JSON]) -> JSON:
    """Apply the objects of a run and return the JobSet.

    The JobSet comes first: only one of two launchers can create it, and the other changes nothing.
    """
    *companions, jobset = objects
    try:
        stored = cluster.apply(jobset, create=True)
    except Refused as error:
        if error.status != 409:
            raise
        if existing := cluster.get("JobSet", job.name):
            raise RequestError(name_in_use(job.name, existing)) from None
        if "already exists" not in str(error):
            raise
        problem = f"must be new, got {job.name!r}, a run that was created or deleted a moment ago"
        raise RequestError(Problem("name", problem, "the same command again, or another --name")) from None
    except Unanswered as error:
        raise _maybe(job.name, error.cause) from None
    try:
        for manifest in companions:
            cluster.apply(_owned(manifest, stored))
    except Unanswered as error:
        raise _maybe(job.name, error.cause) from None
    except ActionError:
        cluster.delete("JobSet", job.name, stored["metadata"]["uid"])
        raise
    return stored


def _owned(manifest: JSON, jobset: JSON) -> JSON:
    """Return a companion that Kubernetes deletes with its JobSet, whoever deletes that and however."""
    owner = {"apiVersion": jobset["apiVersion"], "kind": "JobSet"}
    owner |= {key: jobset["metadata"][key] for key in ("name", "uid")}
    return manifest | {"metadata": manifest["metadata"] | {"ownerReferences": [owner]}}


def _maybe(name: str, cause: str) -> NotKnown:
    """Return the error for a run that was sent and may have been stored."""
    return NotKnown(f"run {name!r} may have been submitted: {cause}", f"resnet-launch status {name}")


def dry_run(job: TrainingJob, cluster: Cluster) -> None:
    """Let the server check all objects of a run and one of its pods; nothing is stored.

    Raises ActionError where the server refuses.
    """
    _dry_run(job, cluster, _objects(job, cluster), cluster.get("JobSet", job.name))


def _objects(job: TrainingJob, cluster: Cluster) -> list[JSON]:
    objects = render(job)
    for manifest in objects:
        manifest["metadata"].setdefault("namespace", cluster.namespace)
    return objects


def _dry_run(job: TrainingJob, cluster: Cluster, objects: list[JSON], existing: JSON | None) -> None:
    for manifest in objects:
        immutable = manifest["kind"] != "NetworkPolicy"
        cluster.apply(_renamed(manifest) if existing and immutable else manifest, dry_run=True)
    _dry_run_pod(cluster, objects[-1], may_wait=bool(existing or job.queue))


def name_in_use(name: str, existing: JSON) -> Problem:
    """Return the problem of a name that a run already has; the hint offers ways out."""
    phase = diagnosis.phase(existing)
    verb = "resume" if phase == "Suspended" else "status"
    hint = f"resnet-launch {verb} {name}, submit --replace, or another --name"
    return Problem("name", f"must be new, got {name!r}, a run that is {phase.lower()}", hint)


def _renamed(manifest: JSON) -> JSON:
    """Return the same object under a free name, because the spec of an existing one is immutable."""
    name = manifest["metadata"]["name"]
    free = name[:-1] + ("y" if name[-1] == "x" else "x")
    return manifest | {"metadata": manifest["metadata"] | {"name": free}}


def _dry_run_pod(cluster: Cluster, jobset: JSON, may_wait: bool) -> None:
    """Dry-run one pod: Pod Security, quota and admission refuse pods, not the JobSet that creates them.

    Args:
      may_wait: the run starts once there is room for it, so a quota in use is no error.
    """
    template = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    metadata = {**template["metadata"], "name": f"{jobset['metadata']['name'][:60]}-x"}
    try:
        cluster.apply({"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}, dry_run=True)
    except Refused as error:
        # Users without the right to create pods may still submit: a controller creates the pods.
        if error.about != "permission" and not (may_wait and error.about == "quota"):
            raise
