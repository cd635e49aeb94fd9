"""Where pods run and when: labels and taints of the hardware, of the kind of capacity, of the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launcher import keys

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


def _capacity(job: TrainingJob) -> dict[str, str]:
    """Node labels of the kind of capacity; nodes with all but the last two also have a taint of that key."""
    found = {
        keys.SPOT: "true" if job.spot else None,
        keys.FLEX_START: "true" if job.flex and not job.queue else None,
        keys.QUEUED: "true" if job.flex and job.queue else None,
        keys.RESERVATION: job.reservation,
        keys.PLACEMENT_POLICY: job.placement_policy,
    }
    return {key: value for key, value in found.items() if value}


def node_selector(job: TrainingJob) -> dict[str, str]:
    """Labels the nodes must have; the request's own come last and win."""
    found = (job.shape.node_selector | _capacity(job)) if job.platform == "gke" else {}
    if job.platform == "gke" and any(mount.kind == "ssd" for mount in job.mount):
        found[keys.EPHEMERAL_SSD] = "true"
    return {**found, **job.node_selector}


def tolerations(job: TrainingJob) -> list[Mapping[str, str]]:
    """Taints the pods put up with."""
    found: list[Mapping[str, str]] = [*job.shape.tolerations]
    if job.gpu_resource:
        found = [{**entry, "key": job.gpu_resource} if entry["key"] == keys.GPU else entry for entry in found]
    tainted = [key for key in _capacity(job) if key not in (keys.RESERVATION, keys.PLACEMENT_POLICY)]
    found += [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in tainted]
    return [*found, *job.toleration]


def jobset_labels(job: TrainingJob) -> dict[str, str]:
    """The JobSet's labels for Kueue."""
    found = {keys.QUEUE: job.queue, keys.PRIORITY: job.priority}
    return {key: value for key, value in found.items() if value}


def jobset_annotations(job: TrainingJob) -> dict[str, str]:
    """The JobSet's annotations for exclusive placement and for provisioned nodes.

    Exclusive placement gives each slice a node pool of its own. It is for pools that are slices: TPU, more
    than one host. Where Kueue places by topology it does that itself, and the two would contradict.
    """
    found = {}
    by_topology = job.topology_required or job.topology_preferred
    if job.platform == "gke" and job.shape.kind == "tpu" and job.shape.hosts > 1 and not by_topology:
        found[keys.EXCLUSIVE] = keys.NODEPOOL
    if job.flex and job.queue:
        found[keys.RUN_DURATION] = str(job.flex)
    return found


def pod_annotations(job: TrainingJob) -> dict[str, str]:
    """The pods' annotations for Kueue's topology, the autoscaler and Cloud Storage FUSE."""
    found = {
        keys.REQUIRED_TOPOLOGY: job.topology_required,
        keys.PREFERRED_TOPOLOGY: job.topology_preferred,
        keys.SAFE_TO_EVICT: "false" if job.flex else None,
        keys.GCS_FUSE: "true" if any(mount.kind == "gcs" for mount in job.mount) else None,
    }
    return {key: value for key, value in found.items() if value}


def pod_fields(job: TrainingJob) -> dict[str, Any]:
    """The fields of the pod spec that say where it runs."""
    found = {"nodeSelector": node_selector(job), "tolerations": tolerations(job)}
    return {key: value for key, value in found.items() if value}
