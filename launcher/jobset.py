"""TrainingJob -> JobSet. Pure: no clock, random number, environment, file or network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launcher import container, keys, placement, policy, volumes

if TYPE_CHECKING:
    from launcher.job import TrainingJob

API_VERSION = "jobset.x-k8s.io/v1alpha2"
REPLICATED_JOB = "slice"


def render(job: TrainingJob) -> list[dict[str, Any]]:
    """The objects of a run, in the order to create them. The same job gives the same objects."""
    return [_jobset(job)]


def _labels(job: TrainingJob) -> dict[str, str]:
    return {keys.NAME: keys.APP, keys.INSTANCE: job.name, keys.MANAGED_BY: keys.APP, **job.label}


def _jobset(job: TrainingJob) -> dict[str, Any]:
    about = {keys.ARCH_NAME: job.arch, keys.SLICE_NAME: job.slice, keys.RUN_DIR: job.run_dir}
    metadata: dict[str, Any] = {"name": job.name}
    if job.namespace:
        metadata["namespace"] = job.namespace
    metadata["labels"] = _labels(job)
    metadata["annotations"] = {**about, **placement.exclusive(job), **job.annotation}
    spec: dict[str, Any] = {
        "failurePolicy": policy.of_jobset(job),
        "replicatedJobs": [
            {"name": REPLICATED_JOB, "replicas": job.num_slices, "template": {"spec": _slice_job(job)}}
        ],
    }
    if job.ttl is not None:
        spec["ttlSecondsAfterFinished"] = job.ttl
    return {"apiVersion": API_VERSION, "kind": "JobSet", "metadata": metadata, "spec": spec}


def _slice_job(job: TrainingJob) -> dict[str, Any]:
    """One Job a slice, one pod a host, one process a pod."""
    found: dict[str, Any] = {
        "parallelism": job.shape.hosts,
        "completions": job.shape.hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,  # one lost host ends the attempt: the others cannot go on without it
        "podFailurePolicy": policy.of_job(job),
    }
    if job.deadline:
        found["activeDeadlineSeconds"] = job.deadline
    return found | {"template": _pod(job)}


def _pod(job: TrainingJob) -> dict[str, Any]:
    own, mounts = volumes.standard(scratch=not job.kept)
    for number, mount in enumerate(job.mount):
        own.append(mount.volume(f"mount-{number}"))
        mounts.append(mount.mount(f"mount-{number}"))
    metadata: dict[str, Any] = {"labels": _labels(job)}
    if job.annotation:
        metadata["annotations"] = dict(job.annotation)
    spec: dict[str, Any] = {"restartPolicy": "Never", "terminationGracePeriodSeconds": job.grace}
    if job.service_account:
        spec["serviceAccountName"] = job.service_account
    spec["automountServiceAccountToken"] = False
    if job.host_network:
        spec |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    spec |= placement.pod(job)
    spec["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": container.USER,
        "runAsGroup": container.USER,
        "fsGroup": container.USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "metadata": metadata,
        "spec": spec | {"containers": [container.build(job, mounts)], "volumes": own},
    }
