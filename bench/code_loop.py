"""Time and bytes from an edited line to its first step in a pod: by `--code`, and without any code to send.

    python bench/code_loop.py [--rounds 5]

Starts a test cluster of its own (docs/explanations/test-cluster.md) with a real kubelet, the project's cpu
image and a bucket emulator. Each round changes one line of a small tree, submits it, and waits until the
pod's program prints the new line. Three ways take turns, so that a busy machine slows all of them: a program
that stands in the command itself, `--code` by a ConfigMap, and `--code` by the bucket.

`submit` is the whole command, from its start to its exit. `CPU s` is the processor time that it took: on a
busy machine it shows how long the command would take on an idle one. `start` is from there to the
program's first line, by the clock of the machine, which the pod shares. `unpack` is what the init container
prints of itself. `bytes` is the archive. The goal is that --code adds less than 1 s to `submit` and less
than 2 s to `start`.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "cluster"))

from testcluster import Cluster, image  # noqa: E402
from testcluster.objects import eventually, log, pods  # noqa: E402

from launcher.code import archive  # noqa: E402

NAMESPACE = "code-loop"
MODULES = 40  # files of the tree besides the program, each of about 10 kB of text
PROGRAM = "import time\nimport module_0\nprint('edit', {edit}, 'at', time.time(), flush=True)\n"
WAYS = ("no code", "--code, ConfigMap", "--code, bucket")
LINE = re.compile(r"edit (\d+) at ([0-9.]+)")
UNPACKED = re.compile(r"after ([0-9.]+) s, SHA-256")


@dataclass(frozen=True, kw_only=True)
class Round:
    """Seconds of one submission and start, processor seconds of the submission, and bytes of the archive."""

    submit: float
    processor: float
    start: float
    unpack: float
    bytes: int


def write_tree(folder: Path) -> None:
    """Write a tree of about 400 kB of Python, tracked by git."""
    for number in range(MODULES):
        lines = "".join(f"VALUE_{number}_{line} = {line * number}\n" for line in range(500))
        (folder / f"module_{number}.py").write_text(lines)
    for arguments in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)


def flags(way: str, tree: Path, edit: int, cluster: Cluster, bucket: str) -> list[str]:
    """Return the flags of `submit` for one edit of the program."""
    (tree / "main.py").write_text(PROGRAM.format(edit=edit))
    subprocess.run(["git", "add", "main.py"], cwd=tree, check=True)
    if way == WAYS[0]:
        program = PROGRAM.format(edit=edit).replace("import module_0\n", "")
        return ["--command", f'python -c "{program}"']
    chosen = ["--command", "python main.py", "--code", str(tree)]
    if way == WAYS[2]:
        environment = [f"--env={name}={value}" for name, value in cluster.bucket.environment().items()]
        chosen += ["--bucket", bucket, *environment]
    return chosen


def measure(cluster: Cluster, way: str, tree: Path, edit: int, bucket: str) -> Round:
    """Submit one edit, wait for its line, delete the run."""
    chosen = flags(way, tree, edit, cluster, bucket)
    size = len(archive.pack(tree).archive) if "--code" in chosen else 0
    name = f"edit-{edit}"
    context = ["--kubeconfig", str(cluster.kubeconfig), "--namespace", NAMESPACE]
    command = [sys.executable, "-m", "launcher", "submit", "--slice", "cpu-1x1", "--name", name]
    command += ["--image", "localhost/resnet-launch:cpu", "--ttl", "60", *chosen, *context]
    environment = {**os.environ, **cluster.bucket.environment(), "STORAGE_EMULATOR_HOST": cluster.bucket.url}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.time()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    submitted = time.time()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines: list[re.Match[str]] = []

    def printed() -> bool:
        for pod in pods(cluster.api, NAMESPACE):
            if pod["metadata"]["name"].startswith(f"{name}-") and pod["status"]["phase"] == "Succeeded":
                lines.extend(LINE.finditer(log(cluster.api, NAMESPACE, pod["metadata"]["name"])))
        return bool(lines)

    assert eventually(printed, 120), f"{way}: no line of edit {edit}"
    assert int(lines[0][1]) == edit
    unpack = 0.0
    if size:
        [pod] = [
            pod for pod in pods(cluster.api, NAMESPACE) if pod["metadata"]["name"].startswith(f"{name}-")
        ]
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}/log?container=code"
        match = UNPACKED.search(cluster.api.text(path))
        unpack = float(match[1]) if match else 0.0
    delete = [sys.executable, "-m", "launcher", "delete", name, "--yes", *context]
    subprocess.run(delete, check=True, capture_output=True)
    start = float(lines[0][2]) - submitted
    return Round(submit=submitted - began, processor=processor, start=start, unpack=unpack, bytes=size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="edits for each way")
    rounds = parser.parse_args().rounds
    cluster = Cluster.start(f"bench-{os.getpid()}", owned=True)
    try:
        cpu = image.build("cpu")
        cluster.add_node(cpu.archive).load(cpu.archive)
        cluster.api.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
        bucket = cluster.bucket.create(NAMESPACE)
        results: dict[str, list[Round]] = {way: [] for way in WAYS}
        with tempfile.TemporaryDirectory() as folder:
            write_tree(Path(folder))
            for number in range(rounds + 1):  # the first round warms caches and does not count
                for place, way in enumerate(WAYS):
                    done = measure(cluster, way, Path(folder), number * len(WAYS) + place, bucket)
                    results[way] += [done] if number else []
    finally:
        cluster.end()
    print_table(results)


def print_table(results: dict[str, list[Round]]) -> None:
    """Print the median of each way, and what it adds to a run without code."""
    print(
        f"{'way':20} {'submit s':>9} {'added':>6} {'CPU s':>6} {'added':>6} {'start s':>8} {'added':>6}",
        end="",
    )
    print(f" {'unpack s':>9} {'bytes':>8}")

    def median(way: str, name: str) -> float:
        return statistics.median(getattr(each, name) for each in results[way])

    for way, rounds in results.items():
        cells = [f"{way:20}"]
        for name, width in (("submit", 9), ("processor", 6), ("start", 8)):
            cells.append(f"{median(way, name):{width}.2f} {median(way, name) - median(WAYS[0], name):6.2f}")
        print(*cells, f"{median(way, 'unpack'):9.1f} {rounds[-1].bytes:8}")


if __name__ == "__main__":
    main()
