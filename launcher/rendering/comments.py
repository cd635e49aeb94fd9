"""Comment lines for a rendered manifest: why each field that is not obvious is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from launcher import keys

# field: why. A field that stands several times is explained once, where it stands first.
WHY = {
    keys.EXCLUSIVE: "each slice gets a node pool of its own: a multi-host TPU pool is one slice",
    keys.RUN_DURATION: "queued provisioning gives the nodes for so many seconds",
    keys.QUEUE: "Kueue holds the run until this queue has room",
    keys.RUN_DIR: "where checkpoints and metrics go; the run resumes from there",
    keys.TPU_TOPOLOGY: "the pool's shape; with the accelerator it names exactly one kind of slice",
    keys.INSTANCE_TYPE: "2x4 is one 8-chip VM or two 4-chip VMs: only the machine type tells them apart",
    keys.SPOT: "capacity that may be taken back with 30 s of notice",
    keys.QUEUED: "nodes of queued provisioning: all of them or none",
    keys.FLEX_START: "nodes that wait for capacity and live for at most seven days",
    keys.INTERFACES: "the network cards that join the GPUs of several hosts",
    keys.SAFE_TO_EVICT: "the autoscaler must not move a pod of a running job",
    "suspend": "Kueue starts what it admits; until then not one pod may be there",
    "maxRestarts": "failures survived; preemption and maintenance do not count",
    "restartStrategy": "no pod of a new attempt meets one of the attempt before",
    "onJobFailureMessagePatterns": "only the message holds the exit code: all rules give one reason",
    "parallelism": "one pod a host of the slice",
    "completionMode": "each pod has an index, which is its place in the slice",
    "backoffLimit": "one lost host ends the attempt: the others cannot go on without it",
    "podFailurePolicy": "42 (saved), 44 (cannot succeed) and evictions end the Job, each with its message",
    "activeDeadlineSeconds": "longest time of one attempt",
    "terminationGracePeriodSeconds": "time to save after SIGTERM",
    "automountServiceAccountToken": "the trainer does not talk to the API server",
    "runAsNonRoot": "with the container's securityContext: passes Pod Security restricted",
    "fsGroupChangePolicy": "else each start walks through the whole volume",
    "google.com/tpu": "a pod must ask for all chips of its VM",
    "readOnlyRootFilesystem": "the trainer writes to /tmp, /dev/shm and the run directory only",
    "terminationMessagePolicy": "the last lines of a failed trainer are in the pod's status",
    "RESNET_DEVICES": "the trainer refuses to run on another number of devices",
    "RESNET_OWNER": "the same over the restarts of a submission, another for a second one",
    "RESNET_COORDINATOR": "host 0 by its name in the JobSet's headless service",
    "checkpoint.enabled=false": "without a bucket each host would save to a disk of its own",
    "shm": "the default /dev/shm holds 64 MiB",
    "numNodes": "hosts that share GPU memory over NVLink",
}
LINE = re.compile(r"(?P<indent> *)(?:- )?(?:name: )?(?P<key>[^:\s]+)(?::|$)")


def explain(manifest: str) -> str:
    """The same YAML with a comment above the fields that are not obvious."""
    return "\n".join(_lines(manifest.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    left = dict(WHY)
    block = None  # indentation of a block scalar that is being copied
    for line in lines:
        match = LINE.match(line)
        indent = len(line) - len(line.lstrip(" "))
        if block is not None and line.strip() and indent <= block:
            block = None
        if block is None and match and match["key"] in left:
            yield f"{match['indent']}# {left.pop(match['key'])}"
        if block is None and line.endswith("|"):
            block = indent
        yield line
