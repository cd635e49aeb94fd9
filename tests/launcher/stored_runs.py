"""Runs as a server stores them that the launcher has applied."""

from __future__ import annotations

import copy
from typing import Any

from launcher import TrainingJob, render

MANAGER = "resnet-launch"


def stored(job: TrainingJob, namespace: str = "default") -> dict[str, Any]:
    """The JobSet of a job, every field of which the launcher owns, with some that the server adds."""
    jobset = copy.deepcopy(render(job)[-1])
    fields = {"f:metadata": {"f:labels": {}, "f:annotations": {}}, "f:spec": {}}
    entry = {"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}
    metadata = {"namespace": namespace, "uid": f"uid-{job.name}", "managedFields": [entry]}
    jobset["metadata"] |= {**metadata, "creationTimestamp": "2026-11-27T00:00:00Z"}
    return jobset
