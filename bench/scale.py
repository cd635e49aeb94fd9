"""512 hosts on a real control plane: this launcher beside kubectl, in one run.

    python bench/scale.py [--rounds 2]

Starts a test cluster of its own (docs/explanations/test-cluster.md) whose hosts only kwok knows. Both ways
submit the same manifest in turn, each as often first as second, to the same controllers, which a run before
has warmed up, so that a busy machine slows both alike. A time is that of a whole process, and beside it the
processor time it took itself; "placed" runs from its start until the scheduler has given a node to every pod.
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
PLACED_SECONDS = 600.0  # longest wait for 512 pods
READS = 5  # of status and list, with all pods there
HOSTS = 512
FLAGS = ["--arch", "resnet152", "--data", "digits", "--bucket", "b-1", "--image", "r/i:1"]
# (slice, slices): both are 512 hosts of 4 chips
CASES = {"v4-4096": ("v4-4096", 1), "8 x v5e-256": ("v5e-256", 8)}


def job(slice_name: str, slices: int, **fields: Any) -> TrainingJob:
    """The request that FLAGS make."""
    base: dict[str, Any] = {"arch": "resnet152", "data": "digits", "bucket": "b-1", "image": "r/i:1"}
    return TrainingJob(slice=slice_name, num_slices=slices, **base, **fields)


def add_pools(cluster: TestCluster, slice_name: str, slices: int) -> list[str]:
    """One pool of fake hosts a slice, as GKE has them; returns their names."""
    template = render(job(slice_name, slices))[-1]["spec"]["replicatedJobs"][0]["template"]["spec"][
        "template"
    ]["spec"]
    pools = [f"{slice_name}-{index}" for index in range(slices)]
    for pool in pools:
        labels = template["nodeSelector"]
        cluster.add_fake_nodes(pool, HOSTS // slices, labels, resource="google.com/tpu", devices=4)
    return pools


Took = tuple[float, float]  # seconds by the clock, seconds of processor


def timed(words: list[str]) -> Took:
    """What a whole process takes; it must succeed."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begun, processor


def until_placed(cluster: Cluster) -> None:
    """Returns once every pod of the run has a node."""
    placed: set[str] = set()
    for _, pods in changes(cluster, "Pod", time.monotonic() + PLACED_SECONDS, labelSelector=selector("run")):
        placed |= {pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName")}
        if len(placed) == HOSTS:
            return
    raise SystemExit(f"only {len(placed)} of {HOSTS} pods have a node after {PLACED_SECONDS:.0f} s")


class Times:
    """What was measured, by what was done and who did it."""

    def __init__(self, case: str) -> None:
        self.case = case
        self.found: dict[str, dict[str, list[Took]]] = {}

    def note(self, who: str, what: str, took: Took) -> None:
        self.found.setdefault(what, {}).setdefault(who, []).append(took)
        print(f"{self.case}: {who}: {what}: {took[0]:.2f} s, {took[1]:.2f} s", file=sys.stderr, flush=True)

    def rows(self) -> Iterator[str]:
        """Lines of the table: medians."""
        for what, whose in self.found.items():
            cells = [self._median(whose[who]) for who in ("resnet-launch", "kubectl")]
            yield f"| {self.case}: {what} | {' | '.join(cells)} |"

    def _median(self, took: list[Took]) -> str:
        clock, processor = (statistics.median(part) for part in zip(*took, strict=True))
        return f"{clock:.2f}" + (f" ({processor:.2f})" if processor else "")


def read(times: Times) -> None:
    """Reads a run whose pods are all there, both ways in turn."""
    for _ in range(READS):
        times.note("resnet-launch", "status, beside get pods", timed([*OURS, "status", "run", "--json"]))
        pods = ["kubectl", "get", "pods", "-l", selector("run"), "-o", "json"]
        times.note("kubectl", "status, beside get pods", timed(pods))
        times.note("resnet-launch", "list, beside get jobsets", timed([*OURS, "list"]))
        times.note("kubectl", "list, beside get jobsets", timed(["kubectl", "get", "jobsets"]))


def measure(cluster: Cluster, case: str, rounds: int, manifest: Path) -> Times:
    """Submits, reads and deletes a case both ways, in turn."""
    slice_name, slices = CASES[case]
    manifest.write_text(to_yaml(render(job(slice_name, slices, name="run"))))
    times = Times(case)
    ours = [*OURS, "submit", *FLAGS, "--slice", slice_name, "--num-slices", str(slices), "--name", "run"]
    ways = {
        "resnet-launch": (ours, [*OURS, "delete", "run", "--yes"]),
        "kubectl": (
            ["kubectl", "apply", "-f", str(manifest)],
            ["kubectl", "delete", "-f", str(manifest), "--cascade=foreground"],
        ),
    }
    submit, delete = ways["kubectl"]  # the warm-up
    timed(submit)
    until_placed(cluster)
    read(times)
    timed(delete)
    for number in range(rounds):
        for who in reversed(ways) if number % 2 else ways:
            submit, delete = ways[who]
            begun = time.monotonic()
            times.note(who, "submit, the command", timed(submit))
            until_placed(cluster)
            times.note(who, "submit to all pods placed", (time.monotonic() - begun, 0.0))
            times.note(who, "delete, all pods gone", timed(delete))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2, help="times each way submits (default: 2)")
    rounds = parser.parse_args().rounds
    rows: list[str] = []
    test_cluster = TestCluster.start(f"scale-{os.getpid()}", owned=True)
    try:
        os.environ["KUBECONFIG"] = str(test_cluster.kubeconfig)
        cluster = Cluster()
        with TemporaryDirectory() as folder:
            os.chdir(folder)  # where no resnet-launch.yaml is
            for case, (slice_name, slices) in CASES.items():
                pools = add_pools(test_cluster, slice_name, slices)
                rows += measure(cluster, case, rounds, Path(folder) / "job.yaml").rows()
                for pool in pools:
                    test_cluster.remove_fake_nodes(pool)
    finally:
        test_cluster.end()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; medians of seconds (of processor)\n")
    print("| 512 hosts | resnet-launch | kubectl |\n| --- | --- | --- |", *rows, sep="\n")


if __name__ == "__main__":
    main()
