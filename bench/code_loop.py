"""Time and bytes from an edited line to its first step in a pod: by `--code`, by an image, and without code.

    python bench/code_loop.py [--rounds 5]

Starts a test cluster of its own (docs/explanations/test-cluster.md) with a real kubelet, the project's cpu
image and a bucket emulator. Each round changes one line of a small tree, submits it, and waits until the
pod's program prints the new line. Five ways take turns, so that a busy machine slows all of them: a program
that stands in the command itself, `--code` by a ConfigMap, `--code` by the bucket, and an image with the tree
on top of the cpu image, made and pushed by `image build --add` or by buildah.

`submit` is the whole command, from its start to its exit, after the build and push where there is an image.
`CPU s` is the processor time that the command took: on a busy machine it shows how long it would take on an
idle one. `start` is from there to the program's first line, by the clock of the machine, which the pod
shares, and includes the pull of an image. `unpack` is what the init container prints of itself. `bytes` is
the archive, or what the registry received. The goal is that --code adds less than 1 s to `submit` and less
than 2 s to `start`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "cluster"))

import image_builds  # noqa: E402
import registries  # noqa: E402
from testcluster import Cluster, buildah, image  # noqa: E402
from testcluster.objects import eventually, log, pods  # noqa: E402

from launcher.code import archive  # noqa: E402

NAMESPACE = "code-loop"
MODULES = 40  # files of the tree besides the program, each of about 10 kB of text
PROGRAM = "import time\nimport module_0\nprint('edit', {edit}, 'at', time.time(), flush=True)\n"
WAYS = ("no code", "--code, ConfigMap", "--code, bucket", "image build", "buildah")
ON_TOP = "FROM localhost/resnet-launch:cpu\nCOPY . /opt/app/\n"
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
    if way in WAYS[3:]:
        return ["--command", "python /opt/app/main.py"]
    chosen = ["--command", "python main.py", "--code", str(tree)]
    if way == WAYS[2]:
        environment = [f"--env={name}={value}" for name, value in cluster.bucket.environment().items()]
        chosen += ["--bucket", bucket, *environment]
    return chosen


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where images are pushed: host of the registry, its folder, and the address by which the node pulls."""

    host: str
    folder: Path
    seen: str
    cache: Path

    def received(self) -> int:
        """Return the bytes of everything that it has received."""
        return sum(path.stat().st_size for path in (self.folder / "blobs").rglob("data") if path.is_file())

    def build(self, way: str, tree: Path, edit: int) -> str:
        """Build and push the image of an edit; return its repository and tag."""
        path = f"loop/{way.replace(' ', '-')}:{edit}"
        if way == WAYS[3]:
            request = image_builds.request(f"{self.host}/{path}", f"{self.host}/library/cpu:1", add=tree)
            image_builds.built(request, self.cache)
        else:
            file = self.folder / "Containerfile"
            file.write_text(ON_TOP)
            buildah.build(f"{self.host}/{path}", tree, f"--file={file}", "--tls-verify=false")
            buildah.run("push", "--tls-verify=false", f"{self.host}/{path}", f"docker://{self.host}/{path}")
        return path


def measure(cluster: Cluster, way: str, tree: Path, edit: int, bucket: str, registry: Registry) -> Round:
    """Submit one edit, wait for its line, delete the run."""
    chosen = flags(way, tree, edit, cluster, bucket)
    size = len(archive.pack(tree).archive) if "--code" in chosen else 0
    received, name_of_image, building, pulling = registry.received(), "localhost/resnet-launch:cpu", 0.0, 0.0
    if way in WAYS[3:]:
        begun = time.time()
        path = registry.build(way, tree, edit)
        building, size = time.time() - begun, registry.received() - received
        begun, name_of_image = time.time(), f"{registry.seen}/{path}"
        assert cluster.node
        cluster.node.ctr("images", "pull", "--plain-http", name_of_image)
        pulling = time.time() - begun
    name = f"edit-{edit}"
    context = ["--kubeconfig", str(cluster.kubeconfig), "--namespace", NAMESPACE]
    command = [sys.executable, "-m", "launcher", "submit", "--slice", "cpu-1x1", "--name", name]
    command += ["--image", name_of_image, "--ttl", "60", *chosen, *context]
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
    if "--code" in chosen:
        [pod] = [
            pod for pod in pods(cluster.api, NAMESPACE) if pod["metadata"]["name"].startswith(f"{name}-")
        ]
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}/log?container=code"
        match = UNPACKED.search(cluster.api.text(path))
        unpack = float(match[1]) if match else 0.0
    delete = [sys.executable, "-m", "launcher", "delete", name, "--yes", *context]
    subprocess.run(delete, check=True, capture_output=True)
    start = float(lines[0][2]) - submitted + pulling
    seconds = building + submitted - began
    return Round(submit=seconds, processor=processor, start=start, unpack=unpack, bytes=size)


@contextlib.contextmanager
def pushed_to(cluster: Cluster, base: str, folder: Path, cache: Path) -> Iterator[Registry]:
    """A registry that holds the cpu image, with the layers that the node has already."""
    with registries.running(folder, on_disk=True) as started:
        place = f"docker://{started.host}/library/cpu:1"
        buildah.run("push", "--tls-verify=false", "--disable-compression", base, place)
        assert cluster.node
        with registries.relayed(started, cluster.node.plane.wire.host) as seen:
            yield Registry(host=started.host, folder=folder, seen=seen, cache=cache)


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
        with contextlib.ExitStack() as stack:
            folder, blobs, cache = (stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(3))
            registry = stack.enter_context(pushed_to(cluster, cpu.name, Path(blobs), Path(cache) / "image"))
            write_tree(Path(folder))
            for number in range(rounds + 1):  # the first round warms caches and does not count
                for place, way in enumerate(WAYS):
                    done = measure(cluster, way, Path(folder), number * len(WAYS) + place, bucket, registry)
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
