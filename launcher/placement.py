"""Where pods run: node labels and taints of the hardware, of the kind of capacity and of the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launcher import keys

if TYPE_CHECKING:
    from launcher.job import TrainingJob


def node_selector(job: TrainingJob) -> dict[str, str]:
    """Labels the nodes must have; the request's own come last and win."""
    return {**(job.shape.node_selector if job.platform == "gke" else {}), **job.node_selector}


def tolerations(job: TrainingJob) -> list[Mapping[str, str]]:
    """Taints the pods put up with."""
    return [*job.shape.tolerations, *job.toleration]


def exclusive(job: TrainingJob) -> dict[str, str]:
    """The JobSet's annotation that keeps each slice to a node pool of its own.

    Only where a pool is a slice: TPU pools of more than one host.
    """
    if job.platform != "gke" or job.shape.kind != "tpu" or job.shape.hosts == 1:
        return {}
    return {keys.EXCLUSIVE: keys.NODEPOOL}


def pod(job: TrainingJob) -> dict[str, Any]:
    """The fields of the pod spec that say where it runs."""
    found = {"nodeSelector": node_selector(job), "tolerations": tolerations(job)}
    return {key: value for key, value in found.items() if value}
