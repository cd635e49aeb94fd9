"""The objects of a run from a TrainingJob. Pure: no clock, random number, environment, file or network."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from launcher import keys
from launcher.rendering import (
    code,
    container,
    fabric,
    failure_policy,
    identity,
    isolation,
    patch,
    placement,
    volumes,
)
from launcher.request import exit_codes, tuning

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

API_VERSION = "jobset.x-k8s.io/v1alpha2"
REPLICATED_JOB = "slice"


def render(job: TrainingJob) -> list[dict[str, Any]]:
    """Return the objects of a run, in the order to create them; the JobSet is the last.

    >>> from launcher import TrainingJob
    >>> [jobset] = render(TrainingJob(slice="v4-32", arch="resnet152"))
    >>> jobset["metadata"]["name"], jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["parallelism"]
    ('resnet152-v4-32', 4)
    """
    jobset = _jobset(job)
    companions = [
        *isolation.objects(job),
        *code.objects(job),
        *fabric.objects(job),
    ]  # the order in which Helm creates them
    return [*companions, _patched(jobset, job.patch) if job.patch else jobset]


def _patched(jobset: dict[str, Any], changes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    patched = functools.reduce(patch.merge, changes, jobset)
    identity.require_unchanged(jobset, patched)
    return patched


def _jobset(job: TrainingJob) -> dict[str, Any]:
    description = {keys.ARCH_NAME: job.arch} if job.arch else {}
    description |= {keys.SLICE_NAME: job.slice, keys.RUN_DIR: job.run_dir, **_exit_codes(job)}
    description |= code.jobset_annotations(job)
    metadata: dict[str, Any] = {"name": job.name} | ({"namespace": job.namespace} if job.namespace else {})
    metadata["labels"] = {**keys.labels(job.name), **placement.jobset_labels(job), **job.label}
    metadata["annotations"] = {**description, **placement.jobset_annotations(job), **job.annotation}
    # Kueue unsuspends a run when it admits it; no pod may exist before that.
    spec: dict[str, Any] = {"suspend": True} if job.queue else {}
    spec["failurePolicy"] = failure_policy.jobset_failure_policy(job)
    spec["replicatedJobs"] = [
        {"name": REPLICATED_JOB, "replicas": job.num_slices, "template": {"spec": _slice_job(job)}}
    ]
    if job.ttl is not None:
        spec["ttlSecondsAfterFinished"] = job.ttl
    return {"apiVersion": API_VERSION, "kind": "JobSet", "metadata": metadata, "spec": spec}


def _exit_codes(job: TrainingJob) -> dict[str, str]:
    """Return the annotation from which `status` knows what the exit codes of a pod mean."""
    return {keys.EXIT_CODES: exit_codes.text(job.exit_codes)} if job.exit_codes else {}


def _slice_job(job: TrainingJob) -> dict[str, Any]:
    """Return the spec of one slice's Job: one pod per host, one process per pod."""
    spec: dict[str, Any] = {
        "parallelism": job.shape.hosts,
        "completions": job.shape.hosts,
        "completionMode": "Indexed",
    }
    spec |= failure_policy.replacements(job)
    if policy := failure_policy.pod_failure_policy(job):
        spec["podFailurePolicy"] = policy
    limit = job.deadline or (job.flex if not job.queue else None)
    if limit:
        spec["activeDeadlineSeconds"] = limit
    return spec | {"template": _pod(job)}


def _pod(job: TrainingJob) -> dict[str, Any]:
    pod_volumes, mounts = volumes.build(job.mount, scratch=not job.kept, shm=job.shm)
    metadata: dict[str, Any] = {"labels": {**keys.labels(job.name), **job.label}}
    annotations = {
        **_exit_codes(job),
        **placement.pod_annotations(job),
        **fabric.pod_annotations(job),
        **job.annotation,
    }
    if annotations:
        metadata["annotations"] = annotations
    spec: dict[str, Any] = {"restartPolicy": "Never", "terminationGracePeriodSeconds": job.grace}
    if job.service_account:
        spec["serviceAccountName"] = job.service_account
    spec["automountServiceAccountToken"] = False
    if job.image_pull_secret:
        spec["imagePullSecrets"] = [{"name": name} for name in dict.fromkeys(job.image_pull_secret)]
    if job.priority_class:
        spec["priorityClassName"] = job.priority_class
    if job.scheduler:
        spec["schedulerName"] = job.scheduler
    if tuning.host_network(job):
        spec |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    spec |= placement.pod_fields(job)
    spec["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": container.USER,
        "runAsGroup": container.USER,
        "fsGroup": container.USER,
        "fsGroupChangePolicy": "OnRootMismatch",  # otherwise every start walks through the whole volume
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec |= {"containers": [container.build(job, mounts)], "volumes": pod_volumes}
    code.apply(job, spec)
    fabric.apply(job, spec)
    return {"metadata": metadata, "spec": spec}
