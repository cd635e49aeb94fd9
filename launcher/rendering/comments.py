"""Comments for a rendered manifest that explain each field that is not obvious."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from launcher import keys
from launcher.contract import variable

# field -> its explanation, which is written once, where the field first appears
EXPLANATIONS = {
    keys.EXCLUSIVE: "each slice gets its own node pool: a multi-host TPU pool is one slice",
    keys.RUN_DURATION: "how many seconds queued provisioning grants the nodes",
    keys.REQUIRED_TOPOLOGY: "Kueue places all pods on nodes with one value of this label",
    keys.SLICE_TOPOLOGY: "Kueue places the pods of each slice on nodes with one value of this label",
    keys.TOPOLOGY_SLICE_SIZE: "hosts of a slice: without it Kueue looks for one place for all slices",
    keys.QUEUE: "Kueue holds the run until this queue has room",
    keys.RUN_DIR: "holds checkpoints and metrics; the run resumes from here",
    keys.CODE: "SHA-256 of the packed code; each pod compares it, so a restart runs the same bytes",
    "trainer.code": "fetches the archive of the code, verifies and unpacks it; it imports no JAX",
    "PYTHONPATH": "the code comes before the image's own packages",
    keys.TPU_TOPOLOGY: "shape of the node pool; with the accelerator it identifies the kind of slice",
    keys.ACCELERATOR_COUNT: "2x4 can be one 8-chip VM or two 4-chip VMs: only their count of chips differs",
    keys.SPOT: "spot capacity, which may be reclaimed with 30 s notice",
    keys.FLEX_START: "flex-start nodes: they wait for capacity and live for at most seven days",
    keys.INTERFACES: "network cards that connect the GPUs of different hosts",
    keys.SAFE_TO_EVICT: "keeps the autoscaler from evicting a pod of a running job",
    "suspend": "Kueue unsuspends the run when it admits it; no pod may exist before that",
    "maxRestarts": "restarts after failures; preemption and maintenance do not count",
    "restartStrategy": "a new attempt starts only after all pods of the previous one are gone",
    "onJobFailureMessagePatterns": "the exit code is only in the message: all rules give the same reason",
    "parallelism": "one pod per host of the slice",
    "completionMode": "gives each pod an index, which is its host number in the slice",
    "backoffLimit": "one lost host ends the attempt: the others cannot continue without it",
    "backoffLimitPerIndex": "new pods in the place of one that its node rejects, after 10, 20, 40 and 80 s",
    "maxFailedIndexes": "a host that is rejected once more starts all hosts anew, which does not count",
    "podFailurePolicy": "exit codes and evictions end the Job, each with its message: the hosts left cannot "
    "continue without one of them",
    "activeDeadlineSeconds": "time limit of one attempt",
    "terminationGracePeriodSeconds": "time to save a checkpoint after SIGTERM",
    "automountServiceAccountToken": "the trainer does not talk to the API server",
    "runAsNonRoot": "with the container's securityContext it satisfies Pod Security level restricted",
    "fsGroupChangePolicy": "otherwise every start changes the owner of every file of the volume",
    "google.com/tpu": "a pod must request all chips of its VM",
    "readOnlyRootFilesystem": "the trainer writes only to /tmp, /dev/shm and the run directory",
    "terminationMessagePolicy": "copies the last log lines of a failed trainer into the pod's status",
    variable("devices"): "the trainer refuses to run on a different number of devices",
    variable("owner"): "identifies the submission: the same after a restart, different after a new submit",
    variable("coordinator"): "host 0, by its name in the JobSet's headless service",
    "JAX_COORDINATOR_ADDRESS": "by this and the next variables a program of your own joins the other hosts",
    "OMPI_COMM_WORLD_SIZE": "JAX takes the number of processes from Open MPI's variables, not from its own",
    "checkpoint.enabled=false": "without a bucket each host would save to its own disk",
    "shm": "the default /dev/shm is only 64 MiB",
    "numNodes": "0, as its driver advises: the domain grows with the pods that claim a channel",
    "podAffinity": "keeps the hosts of each slice in one NVLink domain",
    "allocationMode": "network cards of the host, one per GPU where the machine has no more",
    "hugepages-2Mi": "EFA's buffers",
    "tpu-metrics": "GKE reads the duty cycle and memory of the chips here",
}


def explain(manifest: str) -> str:
    """Return the same YAML with a comment above each field that is not obvious.

    Positions come from the parsed documents, so that text within a value is never taken for a field, and the
    result is parsed again and compared with the original.

    Raises:
      ValueError: the comments would change what a reader reads.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    lines = manifest.split("\n")
    for line, explanation in sorted(_positions(yaml.compose_all(manifest, loader)).items(), reverse=True):
        indent = " " * (len(lines[line]) - len(lines[line].lstrip(" ")))
        lines.insert(line, f"{indent}# {explanation}")
    explained = "\n".join(lines)
    if [*yaml.load_all(explained, loader)] != [*yaml.load_all(manifest, loader)]:
        raise ValueError("the comments would change the manifest")
    return explained


def _positions(documents: Iterable[Any]) -> dict[int, str]:
    """Return line -> explanation: of a key, of an item's name, of an item that is itself text."""
    unused = dict(EXPLANATIONS)
    positions: dict[int, str] = {}

    def mark(node: Any) -> None:
        line = node.start_mark.line
        if node.value in unused and line not in positions:
            positions[line] = unused.pop(node.value)

    def visit(node: Any) -> None:
        if node.id == "mapping":
            for key, value in node.value:
                mark(key)
                if key.value == "name" and value.id == "scalar":
                    mark(value)
                visit(value)
        elif node.id == "sequence":
            for item in node.value:
                mark(item) if item.id == "scalar" else visit(item)

    for document in documents:
        visit(document)
    return positions
