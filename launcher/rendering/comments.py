"""Comments for a rendered manifest that explain each field that is not obvious."""

from __future__ import annotations

import re
from collections.abc import Iterator

from launcher import keys
from launcher.contract import variable
from launcher.rendering.failure_policy import hopeless_codes, preempted_codes

# field -> its explanation, which is written once, where the field first appears
EXPLANATIONS = {
    keys.EXCLUSIVE: "each slice gets its own node pool: a multi-host TPU pool is one slice",
    keys.RUN_DURATION: "how many seconds queued provisioning grants the nodes",
    keys.QUEUE: "Kueue holds the run until this queue has room",
    keys.RUN_DIR: "holds checkpoints and metrics; the run resumes from here",
    keys.TPU_TOPOLOGY: "shape of the node pool; with the accelerator it identifies the kind of slice",
    keys.INSTANCE_TYPE: "2x4 can be one 8-chip VM or two 4-chip VMs: only the machine type differs",
    keys.SPOT: "spot capacity, which may be reclaimed with 30 s notice",
    keys.QUEUED: "nodes from queued provisioning, which grants all of them or none",
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
    "podFailurePolicy": f"{preempted_codes()[0]} (saved), {hopeless_codes()[0]} (cannot succeed) and "
    "evictions end the Job, each with its message",
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
    "checkpoint.enabled=false": "without a bucket each host would save to its own disk",
    "shm": "the default /dev/shm is only 64 MiB",
    "numNodes": "number of hosts that share GPU memory over NVLink",
}
LINE = re.compile(r"(?P<indent> *)(?:- )?(?:name: )?(?P<key>[^:\s]+)(?::|$)")


def explain(manifest: str) -> str:
    """Return the same YAML with a comment above each field that is not obvious."""
    return "\n".join(_lines(manifest.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    unused = dict(EXPLANATIONS)
    block_indent = None  # indentation of the block scalar that is being copied
    for line in lines:
        match = LINE.match(line)
        indent = len(line) - len(line.lstrip(" "))
        if block_indent is not None and line.strip() and indent <= block_indent:
            block_indent = None
        if block_indent is None and match and match["key"] in unused:
            yield f"{match['indent']}# {unused.pop(match['key'])}"
        if block_indent is None and line.endswith("|"):
            block_indent = indent
        yield line
