"""Runs on a cluster: find one or list all, read what belongs to them, suspend and resume them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from launcher import keys
from launcher.cluster import kueue
from launcher.cluster.api import JSON, Cluster, selector
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError, closest
from launcher.runs import commands, diagnosis, objects, ownership, queue


def find(cluster: Cluster, name: str) -> JSON:
    """Return the JobSet of a run.

    Raises:
      ActionError: the namespace has no such run; the hint names the closest one.
    """
    if jobset := cluster.get("JobSet", name):
        return jobset
    hint = closest(name, map(objects.name, list_runs(cluster)))
    raise ActionError(
        f"no run {name!r} in namespace {cluster.namespace}",
        hint or "resnet-launch list shows the runs of the namespace",
    )


def list_runs(cluster: Cluster, all_namespaces: bool = False) -> list[JSON]:
    """Return the JobSets that the launcher created, newest first."""
    jobsets, _ = cluster.list(
        "JobSet", "" if all_namespaces else None, labelSelector=f"{keys.NAME}={keys.APP}"
    )
    return sorted(
        jobsets, key=lambda jobset: objects.text(jobset, "metadata", "creationTimestamp"), reverse=True
    )


def pods_of(cluster: Cluster, name: str) -> list[JSON]:
    """Return the pods of a run, slice by slice and host by host."""
    pods, _ = cluster.list("Pod", labelSelector=selector(name))
    return sorted(pods, key=slice_and_host)


def slice_and_host(pod: JSON) -> tuple[int, int]:
    """Return (slice, host) of a pod, both from 0."""
    labels = objects.labels_of(pod)
    return _index(labels.get(keys.JOB_INDEX)), _index(labels.get(keys.COMPLETION_INDEX))


def _index(text: Any) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() else 0


def workload(cluster: Cluster, jobset: JSON) -> tuple[str, JSON | None, list[JSON]]:
    """Return (kind, Kueue's Workload of the run or None, all Workloads of the namespace).

    `kind` is the key in api.GROUPS for the API version that this Kueue serves.
    Raises Refused where Workloads may not be read.
    """
    kind, workloads = _workloads(cluster, None)
    return kind, owned_by(jobset, workloads), workloads


def readable_workloads(cluster: Cluster, all_namespaces: bool = False) -> list[JSON]:
    """Return Kueue's Workloads; none where there is no Kueue, or they may not be read."""
    try:
        return _workloads(cluster, "" if all_namespaces else None)[1]
    except Refused:
        return []


def owned_by(jobset: JSON, candidates: Iterable[JSON]) -> JSON | None:
    """Return the first of these objects that a JobSet owns; None where it owns none."""
    uid = objects.uid(jobset)
    for entry in candidates:
        if uid and any(owner.get("uid") == uid for owner in objects.owners(entry)):
            return entry
    return None


def _workloads(cluster: Cluster, namespace: str | None) -> tuple[str, list[JSON]]:
    try:
        return kueue.objects(cluster, "Workload", namespace)
    except Refused as error:
        if error.status != 404:
            raise
    return "Workload", []


def set_suspended(cluster: Cluster, jobset: JSON, suspended: bool, note: JSON | None = None) -> bool:
    """Suspend or resume a run. Return False where it already was in that state.

    Kueue unsuspends every JobSet that it has admitted, with a queue label or without one. A run that has a
    Workload is therefore switched by the Workload's `active` field, which takes it out of its queue or puts
    it back.

    Args:
      note: kept in an annotation of the JobSet while the run is suspended.

    Raises:
      ActionError: Kueue has not created the Workload yet, or holds the run, which no resumption changes.
    """
    name, labelled = objects.name(jobset), keys.QUEUE in objects.labels_of(jobset)
    try:
        kind, queued, workloads = workload(cluster, jobset)
    except Refused:
        if labelled:
            raise
        kind, queued, workloads = "Workload", None, []
    annotation = {keys.SUSPENDED: json.dumps(note or {}) if suspended else None}
    if queued is None and labelled:
        hint = "try again in a moment"
        raise ActionError(f"run {name!r} is in a queue and Kueue has not seen it yet", hint)
    if queued is None:
        if bool(objects.mapping(jobset, "spec").get("suspend")) == suspended:
            return False
        change = {"metadata": {"annotations": annotation}, "spec": {"suspend": suspended}}
        stored = _patch(cluster, "JobSet", jobset, change)
        if bool(objects.mapping(stored, "spec").get("suspend")) != suspended:
            raise ActionError(f"run {name!r}: the cluster did not take the change of spec.suspend")
        return True
    if queue.is_active(queued) != suspended:
        if not suspended and objects.mapping(jobset, "spec").get("suspend"):
            why = queue.explain_wait(queued, workloads, name)
            raise ActionError(
                f"run {name!r} is not suspended, it waits for Kueue: {why[0]}",
                f"resnet-launch status {name} shows all of it",
            )
        return False
    _patch(cluster, kind, queued, {"spec": {"active": not suspended}})
    _patch(cluster, "JobSet", jobset, {"metadata": {"annotations": annotation}})
    return True


def suspension(jobset: JSON) -> JSON:
    """Return the note of `resnet-launch suspend` on a run; empty where there is none."""
    try:
        note = json.loads(objects.annotations_of(jobset).get(keys.SUSPENDED) or "{}")
    except (ValueError, TypeError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def noted(jobset: JSON, part: str) -> dict[str, Any]:
    """Return a part of the note of `resnet-launch suspend`, such as progress; empty where there is none."""
    value = suspension(jobset).get(part)
    return value if isinstance(value, dict) else {}


def readable(read: Callable[[], Any]) -> Any:
    """Return what `read` returns; None where the server refuses it."""
    try:
        return read()
    except Refused:
        return None


def delete(cluster: Cluster, jobset: JSON, sent: list[str] | None = None) -> None:
    """Delete a run's JobSet, if it is still this one, and the objects that were applied with it.

    Args:
      sent: gets the run's name once the server has accepted the deletion of its JobSet.
    """
    name = objects.name(jobset)
    with_uid(cluster.delete, "JobSet", name, objects.uid(jobset))
    if sent is not None:
        sent.append(name)
    for companion in companions(cluster, name):
        try:
            cluster.delete(companion["kind"], objects.name(companion), objects.uid(companion))
        except Refused as error:
            if error.status != 404:  # it went with its owner meanwhile
                raise


def companions(cluster: Cluster, name: str) -> list[JSON]:
    """Return the launcher's objects of a run beside its JobSet: network domain, policy, ConfigMap of code.

    Who may not list a kind made none of it, since creating one needs more.
    """
    ours = f"{keys.INSTANCE}={name},{keys.NAME}={keys.APP}"
    return [
        {"kind": kind, **companion}
        for kind in ("ComputeDomain", "ResourceClaimTemplate", "NetworkPolicy", "ConfigMap")
        if cluster.serves(kind)
        for companion in readable(lambda kind=kind: cluster.list(kind, labelSelector=ours)[0]) or []
    ]


def _patch(cluster: Cluster, kind: str, obj: JSON, change: JSON) -> JSON:
    """Patch an object, if it is still the one that was read: the UID is part of the patch."""
    metadata = objects.mapping(change, "metadata")
    body = {**change, "metadata": {**metadata, "uid": objects.uid(obj)}}
    return with_uid(cluster.patch, kind, objects.name(obj), body)


def with_uid(request: Any, kind: str, name: str, *arguments: Any) -> Any:
    """Return the result of a request whose precondition is a UID.

    Raises:
      ActionError: another object has taken the name meanwhile.
    """
    try:
        return request(kind, name, *arguments)
    except Refused as error:
        if error.status in (409, 422) and "uid" in str(error).lower():
            what = "run" if kind == "JobSet" else kind
            hint = f"resnet-launch status {name} shows the new one; nothing was changed"
            raise ActionError(f"{what} {name!r} was deleted and made anew meanwhile", hint) from None
        raise


def restarts(jobset: JSON) -> dict[str, int]:
    """Return the numbers of restarts: in total, counted against the limit, and the limit."""
    return {
        "total": objects.number(jobset, "status", "restarts"),
        "counted": objects.number(jobset, "status", "restartsCountTowardsMax"),
        "max": objects.number(jobset, "spec", "failurePolicy", "maxRestarts"),
    }


def row(jobset: JSON, pods: list[JSON] | None = None, workload: JSON | None = None) -> dict[str, Any]:
    """Return what a JobSet says about its run, ready for JSON."""
    annotations = objects.annotations_of(jobset)
    created, finished = objects.text(jobset, "metadata", "creationTimestamp"), _finished(jobset)
    return {
        "name": objects.name(jobset),
        "namespace": objects.text(jobset, "metadata", "namespace"),
        "phase": diagnosis.phase(jobset, pods, workload),
        "slice": objects.text(annotations, keys.SLICE_NAME),
        "slices": diagnosis.slices(jobset),
        "arch": objects.text(annotations, keys.ARCH_NAME),
        "command": [] if keys.ARCH_NAME in annotations else commands.of(jobset),
        "hosts": diagnosis.hosts(jobset),
        "restarts": restarts(jobset),
        "created": created,
        "finished": finished,
        "seconds": _seconds(created, finished),
        "run_dir": objects.text(annotations, keys.RUN_DIR),
        "code": _code(annotations),
        "submitted_by": ownership.submitter(jobset),
    }


def _code(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Return digest, commit and state of the code of a run with --code; empty for one without."""
    digest, revision = objects.text(annotations, keys.CODE), objects.text(annotations, keys.COMMIT)
    commit = revision.removesuffix("-dirty")
    return {"digest": digest, "commit": commit, "dirty": commit != revision} if digest else {}


def _finished(jobset: JSON) -> str:
    """Return the RFC 3339 time at which a run completed or failed; empty before that."""
    ended = (diagnosis.condition(jobset, kind) for kind in diagnosis.ENDED)
    return next((objects.text(entry, "lastTransitionTime") for entry in ended if entry), "")


def _seconds(created: str, finished: str) -> float | None:
    """Return how long a run has existed, until now or until it was over."""
    begin, end = objects.time(created), objects.time(finished)
    if begin is None:
        return None
    return round(max((end or datetime.datetime.now(datetime.UTC).timestamp()) - begin, 0.0), 1)
