"""From `submit`, and from a killed pod, to the next training step: where the time goes on a real node.

    python bench/cluster_startup.py [--rounds 3]

Starts a test cluster of its own (docs/explanations/test-cluster.md) with a real kubelet and the project's cpu
image. Each round submits a run of two pods on cpu-2x1 with an empty run directory, waits for its first
checkpoint, kills one pod with SIGKILL and waits for the first step that is done again. Kubernetes gives whole
seconds, the trainer milliseconds. "processor" is what the first host's process had used by then, both its
cores' shares: on a machine that other work shares it says what the seconds would be on an idle one.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "cluster"))

from runs import Run  # noqa: E402
from testcluster import Cluster, image  # noqa: E402
from testcluster.objects import eventually  # noqa: E402

from launcher.runs.startup import container_start, unix  # noqa: E402

ARCHS = ("resnet-tiny", "resnet18")
FLAGS = "--data digits --batch 32 --steps 100000 --set checkpoint.every_steps=10 --set log.every_steps=1"
FLAGS += " --set train.compile_cache=auto --grace 5"
MILESTONES = ("created", "started", "start", "joined", "opened", "restore", "compiled", "first_step")
MEANING = {
    "created": "all pods made",
    "started": "all containers started",
    "start": "Python runs",
    "joined": "JAX imported, hosts joined",
    "opened": "trainer imported, run directory taken",
    "restore": "network traced, checkpoint read",
    "compiled": "steps compiled, or loaded",
    "first_step": "first step",
}
NAMESPACE = "startup"

Marks = dict[str, tuple[float, float]]  # milestone -> (unix seconds, processor seconds; 0: not told)


def marks(run: Run, attempt: int) -> Marks:
    """What an attempt has reached; the trainer's own from the first host's log."""
    pods = run.pods(attempt)
    found: Marks = {
        "created": (max(unix(pod["metadata"]["creationTimestamp"]) for pod in pods), 0.0),
        "started": (max(unix(container_start(pod) or "9999-01-01T00:00:00Z") for pod in pods), 0.0),
    }
    for line in run.log(pods[0]).splitlines():
        if line.startswith("event "):
            values = dict(word.split("=", 1) for word in line.split()[1:])
            found[values["name"]] = float(values["at"]), float(values.get("cpu_seconds", 0))
    return found


def measure(cluster: Cluster, arch: str, number: int) -> dict[str, tuple[float, Marks]]:
    """{start, resumed} -> (when it was asked for, what was reached when)."""
    run = Run(cluster, NAMESPACE, f"{arch}-{number}", f"--arch {arch} {FLAGS}")
    try:
        run.reach("event name=first_step")
        found = {"start": (run.submitted, marks(run, 0))}
        assert eventually(lambda: "checkpoints/10/commit_success.txt" in run.objects("checkpoints/"), 120)
        killed = time.time()
        cluster.kill(run.pod(1), NAMESPACE)
        run.reach("event name=first_step", 1)
        return found | {"resumed": (killed, marks(run, 1))}
    finally:
        run.delete()


def spent(asked: float, reached: Marks) -> dict[str, tuple[float, float]]:
    """Milestone -> seconds since the one before, by the clock and of processor; `total` of both."""
    order = [("asked", (asked, 0.0)), *((name, reached[name]) for name in MILESTONES if name in reached)]
    parts = {
        name: (max(at - before, 0.0), max(cpu - used, 0.0) if cpu else 0.0)
        for (_, (before, used)), (name, (at, cpu)) in itertools.pairwise(order)
    }
    last_at, last_cpu = reached["first_step"]
    return parts | {"total": (last_at - asked, last_cpu)}


def table(arch: str, what: str, rounds: list[Mapping[str, tuple[float, float]]]) -> list[str]:
    """Rows of one case: medians over the rounds."""
    rows = []
    for name in (*MILESTONES, "total"):
        taken = [found[name] for found in rounds if name in found]
        if taken:
            clock, cpu = (statistics.median(part) for part in zip(*taken, strict=True))
            rows.append(f"| {arch}, {what} | {MEANING.get(name, name)} | {clock:.1f} | {cpu or '':.3} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each network (default: 3)")
    rounds = parser.parse_args().rounds
    archive = image.build("cpu").archive
    cluster = Cluster.start(f"startup-{os.getpid()}", owned=True)
    found: dict[tuple[str, str], list[Any]] = {}
    try:
        cluster.add_node(archive)
        cluster.api.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
        for number, arch in itertools.product(range(rounds), ARCHS):
            for what, (asked, reached) in measure(cluster, arch, number).items():
                found.setdefault((arch, what), []).append(spent(asked, reached))
                total = found[arch, what][-1]["total"][0]
                print(f"{arch}: {what}: {total:.1f} s, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    finally:
        cluster.end()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; medians of {rounds}\n")
    print("| cpu-2x1 | until | seconds | processor |\n| --- | --- | ---: | ---: |")
    for arch, what in itertools.product(ARCHS, ("start", "resumed")):
        print(*table(arch, what, found[arch, what]), sep="\n")


if __name__ == "__main__":
    main()
