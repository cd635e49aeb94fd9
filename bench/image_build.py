"""Seconds and bytes to a pushed image: `image build` beside buildah, whole, edited and unchanged.

    python bench/image_build.py [--target cpu] [--rounds 3]

Starts a registry on this machine that keeps its blobs on disk (docs/explanations/test-cluster.md) and pushes
the image of a target to it: with an empty cache of layers, after an edit of one line of the trainer, and
unchanged. buildah builds the Dockerfile on the same base, its layers cached likewise. Wheels are in a cache
for both. Bytes are those that the registry has received.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "cluster"))

import registries  # noqa: E402
from testcluster import buildah, image  # noqa: E402

from launcher.image import build, code  # noqa: E402
from launcher.image.cache import open_cache  # noqa: E402
from launcher.image.target import Target  # noqa: E402

EDITED = "trainer/paths.py"


class Silent:
    """Shows nothing of a build."""

    def stage(self, text: str, total: int | None = None) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass


@contextlib.contextmanager
def edited(checkout: Path, number: int) -> Iterator[None]:
    """Add a line to one file of a copy of the checkout."""
    file = checkout / EDITED
    before = file.read_bytes()
    file.write_bytes(before + f"# edit {number}\n".encode())
    try:
        yield
    finally:
        file.write_bytes(before)


def stored(folder: Path) -> int:
    """Return the bytes of all blobs and manifests that a registry has received."""
    return sum(path.stat().st_size for path in (folder / "blobs").rglob("data") if path.is_file())


def ours(checkout: Path, host: str, base: str, target: str, cache: Path) -> None:
    """Build and push with the launcher; its trainer is that of the copied checkout."""
    kind = Target(kind=target)
    request = build.Request(target=kind, base=base, push=build.push_target(f"{host}/ours/resnet:1", kind))
    code.trainer.cache_clear()
    members = tuple(
        code.Member(path=path.relative_to(checkout).as_posix(), content=path.read_bytes())
        for path in sorted((checkout / "trainer").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    )
    original, code.trainer = code.trainer, lambda: members  # type: ignore[assignment]
    try:
        build.build(request, Silent(), open_cache(cache))
    finally:
        code.trainer = original


def theirs(checkout: Path, host: str, base: str, target: str, layers: bool) -> None:
    """Build the Dockerfile and push with buildah."""
    name = f"{host}/theirs/resnet:1"
    arguments = [f"--target={target}", f"--build-arg=BASE={base}", "--tls-verify=false"]
    buildah.build(name, checkout, *arguments, *([] if layers else ["--no-cache"]))
    buildah.run("push", "--tls-verify=false", name, f"docker://{name}")


def measure(folder: Path, run: Callable[[], None]) -> tuple[float, int]:
    """Return seconds and bytes received of one build and push."""
    before, begun = stored(folder), time.perf_counter()
    run()
    return time.perf_counter() - begun, stored(folder) - before


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="cpu", choices=("cpu", "tpu", "gpu"))
    parser.add_argument("--rounds", type=int, default=3, help="edits to measure; the median is printed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        folder, checkout, cache = Path(scratch), Path(scratch) / "checkout", Path(scratch) / "cache"
        shutil.copytree(ROOT / "trainer", checkout / "trainer", ignore=shutil.ignore_patterns("__pycache__"))
        (checkout / "tools").mkdir()
        for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, checkout / name)
        for name in ("tools/image-packages.sh", "tools/requirements.py"):
            shutil.copy(ROOT / name, checkout / name)
        host = stack.enter_context(registries.running(folder, on_disk=True)).host
        base = f"{host}/library/python:3.13-slim"
        buildah.run("push", "--tls-verify=false", image.base(), f"docker://{base}")
        builders: dict[str, Callable[[bool], None]] = {
            "image build": lambda first: ours(checkout, host, base, args.target, cache),
            "buildah": lambda first: theirs(checkout, host, base, args.target, layers=not first),
        }
        print(f"{'builder':<12} {'what':<22} {'seconds':>8} {'MB uploaded':>12}")
        for name, builder in builders.items():
            rows = {"whole image": [measure(folder, lambda b=builder: b(True))], "one line edited": []}
            builder(False)  # not measured: a build of buildah without its cache does not fill it
            for number in range(args.rounds):
                with edited(checkout, number):
                    rows["one line edited"].append(measure(folder, lambda b=builder: b(False)))
            rows["nothing changed"] = [measure(folder, lambda b=builder: b(False))]
            for what, results in rows.items():
                seconds = statistics.median(result[0] for result in results)
                size = statistics.median(result[1] for result in results)
                print(f"{name:<12} {what:<22} {seconds:8.1f} {size / 1e6:12.3f}", flush=True)


if __name__ == "__main__":
    main()
