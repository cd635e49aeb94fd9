"""Time from `submit`, and from a killed pod, to the next training step on a real node, part by part.

    python bench/cluster_startup.py [--rounds 3]

Starts a test cluster of its own (docs/explanations/test-cluster.md) with a real kubelet and the project's cpu
image. Each round submits a run of two pods on cpu-2x1 with an empty run directory, waits for its first
checkpoint, kills one pod with SIGKILL and waits for the next step. Kubernetes reports whole seconds, the
trainer milliseconds. "CPU seconds" are those of the first host's process, summed over its cores. On a busy
machine they show how long a part would take on an idle one.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "cluster"))

from pod_runs import Run  # noqa: E402
from testcluster import Cluster, image  # noqa: E402
from testcluster.objects import eventually  # noqa: E402

from launcher.runs import objects  # noqa: E402
from launcher.runs.startup import container_start  # noqa: E402

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

Marks = dict[str, tuple[float, float]]  # milestone -> (unix seconds, CPU seconds or 0 if unknown)


def marks(run: Run, attempt: int) -> Marks:
    """Return the milestones that an attempt has reached; the trainer's come from the first host's log."""
    pods = run.pods(attempt)
    reached: Marks = {
        "created": (latest([pod["metadata"]["creationTimestamp"] for pod in pods]), 0.0),
        "started": (latest([container_start(pod) for pod in pods]), 0.0),
    }
    for line in run.log(pods[0]).splitlines():
        if line.startswith("event "):
            values = dict(word.split("=", 1) for word in line.split()[1:])
            reached[values["name"]] = float(values["at"]), float(values.get("cpu_seconds", 0))
    return reached


def latest(times: Sequence[str | None]) -> float:
    """Return the latest of RFC 3339 times in unix seconds; infinity where one is missing."""
    return max(math.inf if (at := objects.time(text)) is None else at for text in times)


def measure(cluster: Cluster, arch: str, number: int) -> dict[str, tuple[float, Marks]]:
    """Return start and resumed -> (unix seconds of the request, milestones reached)."""
    run = Run(cluster, NAMESPACE, f"{arch}-{number}", f"--arch {arch} {FLAGS}")
    try:
        run.reach("event name=first_step")
        attempts = {"start": (run.submitted, marks(run, 0))}
        assert eventually(lambda: "checkpoints/10/commit_success.txt" in run.objects("checkpoints/"), 120)
        killed = time.time()
        cluster.kill(run.pod(1), NAMESPACE)
        run.reach("event name=first_step", 1)
        return attempts | {"resumed": (killed, marks(run, 1))}
    finally:
        run.delete()


def durations(requested: float, reached: Marks) -> dict[str, tuple[float, float]]:
    """Return milestone -> (seconds, CPU seconds) since the previous milestone, and the `total`."""
    order = [
        ("requested", (requested, 0.0)),
        *((name, reached[name]) for name in MILESTONES if name in reached),
    ]
    parts = {
        name: (max(at - before, 0.0), max(cpu - used, 0.0) if cpu else 0.0)
        for (_, (before, used)), (name, (at, cpu)) in itertools.pairwise(order)
    }
    last_at, last_cpu = reached["first_step"]
    return parts | {"total": (last_at - requested, last_cpu)}


def table(arch: str, case: str, rounds: list[Mapping[str, tuple[float, float]]]) -> list[str]:
    """Return the rows of one case: medians over the rounds."""
    rows = []
    for name in (*MILESTONES, "total"):
        times = [durations[name] for durations in rounds if name in durations]
        if times:
            clock, cpu = (statistics.median(part) for part in zip(*times, strict=True))
            rows.append(f"| {arch}, {case} | {MEANING.get(name, name)} | {clock:.1f} | {cpu or '':.3} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of runs per network (default: 3)")
    rounds = parser.parse_args().rounds
    archive = image.build("cpu").archive
    cluster = Cluster.start(f"startup-{os.getpid()}", owned=True)
    results: dict[tuple[str, str], list[Any]] = {}
    try:
        cluster.add_node(archive)
        cluster.api.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
        for number, arch in itertools.product(range(rounds), ARCHS):
            for case, (requested, reached) in measure(cluster, arch, number).items():
                results.setdefault((arch, case), []).append(durations(requested, reached))
                total = results[arch, case][-1]["total"][0]
                print(f"{arch}: {case}: {total:.1f} s, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    finally:
        cluster.end()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; medians of {rounds}\n")
    print("| cpu-2x1 | until | seconds | CPU seconds |\n| --- | --- | ---: | ---: |")
    for arch, case in itertools.product(ARCHS, ("start", "resumed")):
        print(*table(arch, case, results[arch, case]), sep="\n")


if __name__ == "__main__":
    main()
