"""Where and when pods run: labels and taints of the hardware, the kind of capacity and the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launcher import keys
from launcher.request import node_choice, reservations

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


TAINTS = (keys.SPOT, keys.FLEX_START, keys.QUEUED, keys.COMPUTE_CLASS)  # labels that are also taints


def _capacity(job: TrainingJob) -> dict[str, str]:
    """Return node labels of the kind of capacity.

    GKE only taints nodes of queued provisioning: their label exists where somebody has added it.
    """
    labels = {
        keys.SPOT: "true" if job.spot else None,
        keys.FLEX_START: "true" if job.flex and not job.queue else None,
        keys.QUEUED: "true" if job.flex and job.queue else None,
        **reservations.labels(job.reservation),
        keys.COMPUTE_CLASS: job.compute_class,
        keys.PLACEMENT_POLICY: job.placement_policy,
    }
    return {key: value for key, value in labels.items() if value}


def node_selector(job: TrainingJob) -> dict[str, str]:
    """Return the labels that nodes must have; labels of the request come last and win."""
    labels = (job.shape.node_selector | _capacity(job)) if job.platform == "gke" else {}
    labels.pop(keys.QUEUED, None)  # only a taint; Kueue adds the selector of the ProvisioningRequest
    if job.platform == "gke" and any(mount.kind == "ssd" for mount in job.mount):
        labels[keys.EPHEMERAL_SSD] = "true"
    return {**labels, **job.node_selector}


def tolerations(job: TrainingJob) -> list[Mapping[str, str]]:
    """Return the taints that the pods tolerate."""
    tolerated: list[Mapping[str, str]] = [*job.shape.tolerations]
    if job.gpu_resource:
        tolerated = [
            {**entry, "key": job.gpu_resource} if entry["key"] == keys.GPU else entry for entry in tolerated
        ]
    tainted = [key for key in _capacity(job) if key in TAINTS]
    tolerated += [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in tainted]
    return [*tolerated, *job.toleration]


def affinity(job: TrainingJob) -> dict[str, Any]:
    """Return the affinity to nodes with one of several values of a label."""
    if not job.node_affinity:
        return {}
    terms = [{"matchExpressions": [node_choice.expression(choice) for choice in job.node_affinity]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def jobset_labels(job: TrainingJob) -> dict[str, str]:
    """Return the JobSet's labels for Kueue."""
    labels = {keys.QUEUE: job.queue, keys.PRIORITY: job.priority}
    return {key: value for key, value in labels.items() if value}


def jobset_annotations(job: TrainingJob) -> dict[str, str]:
    """Return the JobSet's annotations for exclusive placement and for provisioned nodes.

    Exclusive placement gives each slice a node pool of its own. It is for node pools that are slices: TPU
    with more than one host. Kueue's placement by topology does the same, so only one of them is used.
    """
    annotations = {}
    by_topology = job.topology_required or job.topology_preferred
    if job.platform == "gke" and job.shape.kind == "tpu" and job.shape.hosts > 1 and not by_topology:
        annotations[keys.EXCLUSIVE] = keys.NODEPOOL
    if job.flex and job.queue:
        annotations[keys.RUN_DURATION] = str(job.flex)
    return annotations


def _topology(job: TrainingJob) -> dict[str, str | None]:
    """Return the annotations that keep the pods of each slice within one value of a node label.

    Kueue looks for one domain for all pods of the JobSet, unless it is told how many form a slice.
    """
    if job.topology_required and job.num_slices > 1:
        return {
            keys.SLICE_TOPOLOGY: job.topology_required,
            keys.TOPOLOGY_SLICE_SIZE: str(job.shape.hosts),  # Kueue 0.19 insists on it
        }
    return {
        keys.REQUIRED_TOPOLOGY: job.topology_required,
        keys.PREFERRED_TOPOLOGY: job.topology_preferred,
    }


def pod_annotations(job: TrainingJob) -> dict[str, str]:
    """Return the pods' annotations for Kueue's topology, the autoscaler and Cloud Storage FUSE."""
    annotations = {
        **_topology(job),
        keys.SAFE_TO_EVICT: "false" if job.flex else None,
        keys.GCS_FUSE: "true" if any(mount.kind == "gcs" for mount in job.mount) else None,
    }
    return {key: value for key, value in annotations.items() if value}


def pod_fields(job: TrainingJob) -> dict[str, Any]:
    """Return the fields of the pod spec that select its nodes."""
    fields = {
        "nodeSelector": node_selector(job),
        "affinity": affinity(job),
        "tolerations": tolerations(job),
    }
    return {key: value for key, value in fields.items() if value}
