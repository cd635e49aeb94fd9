"""512 hosts on a real control plane: this launcher beside kubectl, in one run.

    python bench/scale.py [--rounds 2]

Starts a test cluster of its own (docs/explanations/test-cluster.md) whose hosts kwok simulates. Both submit
the same manifest in turn, each as often first as second, to the same controllers. A run before warms these
up. Times are those of a whole process, with its own CPU time in parentheses. "Placed" counts from the start
of the process until the scheduler has assigned a node to every pod.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "cluster"))

from testcluster import Cluster as TestCluster  # noqa: E402

from launcher import Cluster, TrainingJob, render  # noqa: E402
from launcher.cluster.api import selector  # noqa: E402
from launcher.rendering.manifest import to_yaml  # noqa: E402
from launcher.runs.watch import changes  # noqa: E402

OURS = [sys.executable, "-m", "launcher"]
PLACED_SECONDS = 600.0  # longest wait until 512 pods have a node
READS = 5  # calls of status and list while all pods exist
HOSTS = 512
FLAGS = ["--arch", "resnet152", "--data", "digits", "--bucket", "b-1", "--image", "r/i:1"]
# (slice, slices): both are 512 hosts of 4 chips
CASES = {"v4-4096": ("v4-4096", 1), "8 x v5e-256": ("v5e-256", 8)}


def job(slice_name: str, slices: int, **fields: Any) -> TrainingJob:
    """Return the request that FLAGS describe."""
    base: dict[str, Any] = {"arch": "resnet152", "data": "digits", "bucket": "b-1", "image": "r/i:1"}
    return TrainingJob(slice=slice_name, num_slices=slices, **base, **fields)


def add_pools(cluster: TestCluster, slice_name: str, slices: int) -> list[str]:
    """Add a pool of fake hosts per slice, as on GKE; return the names of the pools."""
    template = render(job(slice_name, slices))[-1]["spec"]["replicatedJobs"][0]["template"]["spec"][
        "template"
    ]["spec"]
    pools = [f"{slice_name}-{index}" for index in range(slices)]
    for pool in pools:
        labels = template["nodeSelector"]
        cluster.add_fake_nodes(pool, HOSTS // slices, labels, resource="google.com/tpu", devices=4)
    return pools


Elapsed = tuple[float, float]  # wall seconds, CPU seconds


def timed(command: list[str]) -> Elapsed:
    """Run a command; return its times. SystemExit where it fails."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, cpu


def until_placed(cluster: Cluster) -> None:
    """Return once every pod of the run has a node."""
    placed: set[str] = set()
    for _, pods in changes(cluster, "Pod", time.monotonic() + PLACED_SECONDS, labelSelector=selector("run")):
        placed |= {pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName")}
        if len(placed) == HOSTS:
            return
    raise SystemExit(f"only {len(placed)} of {HOSTS} pods have a node after {PLACED_SECONDS:.0f} s")


class Times:
    """Measured times by action and tool."""

    def __init__(self, case: str) -> None:
        self.case = case
        self.by_action: dict[str, dict[str, list[Elapsed]]] = {}

    def add(self, tool: str, action: str, elapsed: Elapsed) -> None:
        self.by_action.setdefault(action, {}).setdefault(tool, []).append(elapsed)
        wall, cpu = elapsed
        print(f"{self.case}: {tool}: {action}: {wall:.2f} s, {cpu:.2f} s", file=sys.stderr, flush=True)

    def rows(self) -> Iterator[str]:
        """Yield the rows of the table: medians."""
        for action, by_tool in self.by_action.items():
            cells = [self._median(by_tool[tool]) for tool in ("resnet-launch", "kubectl")]
            yield f"| {self.case}: {action} | {' | '.join(cells)} |"

    def _median(self, times: list[Elapsed]) -> str:
        wall, cpu = (statistics.median(part) for part in zip(*times, strict=True))
        return f"{wall:.2f}" + (f" ({cpu:.2f})" if cpu else "")


def read(times: Times) -> None:
    """Read a run whose pods all exist, with both tools in turn."""
    for _ in range(READS):
        times.add("resnet-launch", "status, beside get pods", timed([*OURS, "status", "run", "--json"]))
        pods = ["kubectl", "get", "pods", "-l", selector("run"), "-o", "json"]
        times.add("kubectl", "status, beside get pods", timed(pods))
        times.add("resnet-launch", "list, beside get jobsets", timed([*OURS, "list"]))
        times.add("kubectl", "list, beside get jobsets", timed(["kubectl", "get", "jobsets"]))


def measure(cluster: Cluster, case: str, rounds: int, manifest: Path) -> Times:
    """Submit, read and delete a case with both tools, in turn."""
    slice_name, slices = CASES[case]
    manifest.write_text(to_yaml(render(job(slice_name, slices, name="run"))))
    times = Times(case)
    ours = [*OURS, "submit", *FLAGS, "--slice", slice_name, "--num-slices", str(slices), "--name", "run"]
    tools = {
        "resnet-launch": (ours, [*OURS, "delete", "run", "--yes"]),
        "kubectl": (
            ["kubectl", "apply", "-f", str(manifest)],
            ["kubectl", "delete", "-f", str(manifest), "--cascade=foreground"],
        ),
    }
    submit, delete = tools["kubectl"]  # the warm-up
    timed(submit)
    until_placed(cluster)
    read(times)
    timed(delete)
    for number in range(rounds):
        for tool in reversed(tools) if number % 2 else tools:
            submit, delete = tools[tool]
            started = time.monotonic()
            times.add(tool, "submit, the command", timed(submit))
            until_placed(cluster)
            times.add(tool, "submit to all pods placed", (time.monotonic() - started, 0.0))
            times.add(tool, "delete, all pods gone", timed(delete))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2, help="submissions per tool (default: 2)")
    rounds = parser.parse_args().rounds
    rows: list[str] = []
    test_cluster = TestCluster.start(f"scale-{os.getpid()}", owned=True)
    try:
        os.environ["KUBECONFIG"] = str(test_cluster.kubeconfig)
        cluster = Cluster()
        with TemporaryDirectory() as folder:
            os.chdir(folder)  # a folder without resnet-launch.yaml
            for case, (slice_name, slices) in CASES.items():
                pools = add_pools(test_cluster, slice_name, slices)
                rows += measure(cluster, case, rounds, Path(folder) / "job.yaml").rows()
                for pool in pools:
                    test_cluster.remove_fake_nodes(pool)
    finally:
        test_cluster.end()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; median seconds (CPU seconds)\n")
    print("| 512 hosts | resnet-launch | kubectl |\n| --- | --- | --- |", *rows, sep="\n")


if __name__ == "__main__":
    main()
