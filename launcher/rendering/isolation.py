"""The NetworkPolicy that lets only a run's own pods reach its pods. Pure.

JAX's coordinator asks nobody who they are: any pod that reaches its port can end the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launcher import keys

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


def objects(job: TrainingJob) -> list[dict[str, Any]]:
    """Return the policy to create before the JobSet, or nothing where the job asks for none.

    JobSet itself sets the label that selects the pods. The policy leaves egress alone. Policies add up, so
    another one of the namespace may admit more, such as whoever reads metrics.
    """
    if not job.network_policy:
        return []
    metadata: dict[str, Any] = {"name": job.name} | ({"namespace": job.namespace} if job.namespace else {})
    metadata["labels"] = {**keys.labels(job.name), **job.label}
    own_pods = {"matchLabels": {keys.JOBSET_NAME: job.name}}
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": {
                "podSelector": own_pods,
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": own_pods}]}],
            },
        }
    ]
