"""The variables by which a program of the user's own finds the other hosts of its run. Pure.

On TPU, GKE gives JAX all it needs. Elsewhere the pods get the variables of JAX and PyTorch, for one process
per host with all of its devices. JAX reads JAX_COORDINATOR_ADDRESS; neither 0.10 nor 0.12 reads the number of
processes, or the process's own, from variables of its own name. Both take them from Open MPI's
(jax/_src/clusters/ompi_cluster.py), so that `jax.distributed.initialize()` needs no arguments.
JAX_NUM_PROCESSES and JAX_PROCESS_ID are for programs that pass them on themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launcher import keys
from launcher.contract import variable

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

MASTER_PORT = 29500  # PyTorch's default
ADDRESS = "JAX_COORDINATOR_ADDRESS"
RANK = "JAX_PROCESS_ID"  # index of the pod's process in the run
SAME_AS_RANK = ("OMPI_COMM_WORLD_RANK", "RANK", "NODE_RANK")
INDEX = {"fieldRef": {"fieldPath": f"metadata.annotations['{keys.COMPLETION_INDEX}']"}}


def variables(job: TrainingJob, host: str) -> dict[str, Any]:
    """Return name -> value, or `valueFrom`, of the variables; none on TPU.

    Args:
      host: name of the first host.
    """
    if job.shape.kind == "tpu":
        return {}
    joining: dict[str, Any] = {
        ADDRESS: f"$({variable('coordinator')})",
        "JAX_NUM_PROCESSES": str(job.hosts),
        # Without it JAX takes one device per process, as is the custom under Open MPI.
        "JAX_LOCAL_DEVICE_IDS": ",".join(map(str, range(job.shape.devices_per_host))),
        "OMPI_MCA_orte_hnp_uri": "none",  # JAX looks for the name alone
        "OMPI_COMM_WORLD_SIZE": str(job.hosts),
        "MASTER_ADDR": host,
        "MASTER_PORT": str(MASTER_PORT),
        "WORLD_SIZE": str(job.hosts),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
    }
    if job.num_slices == 1:
        joining[RANK] = INDEX
        joining |= dict.fromkeys(SAME_AS_RANK, f"$({RANK})")
    return joining


def joins(jobset: Mapping[str, Any]) -> bool:
    """Return whether the pods of a rendered JobSet have these variables."""
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    return any(entry["name"] == ADDRESS for entry in pod["containers"][0]["env"])


def prefix(job: TrainingJob) -> list[str]:
    """Return what stands before a command: with several slices, a shell that computes the process's index.

    Kubernetes can put the index of a slice and that of a pod in its slice into variables, and cannot add. The
    program takes the shell's place, so that signals and exit codes are its own.
    """
    if job.shape.kind == "tpu" or job.num_slices == 1:
        return []
    slice_index, hosts = variable("slice_index"), variable("hosts_per_slice")
    # Kubernetes turns $$ into $.
    rank = f"{RANK}=$$(({slice_index} * {hosts} + {variable('completion_index')}))"
    others = " ".join(f"{name}=${RANK}" for name in SAME_AS_RANK)
    return ["sh", "-c", f'export {rank} && export {others} && exec "$@"', "--"]
