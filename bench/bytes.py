"""HBM traffic of the training step in MB per image, lever by lever, as the TPU compiler lays it out.

`python bench/bytes.py --seconds 3600` compiles the missing rows and prints the table. It can be stopped at
any time: results are stored in bench/bytes.json. The levers are tried on the beginning of ResNet-50 with 256
images on one v6e chip: the stem, two blocks of 56x56 pixels and two of 28x28 have most of the traffic. Those
of the trainer are also taken out of the whole network, each alone. `--movers` prints the instructions that
move most instead.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    from trainer.cost.tpu_layout import Layout

RESULTS = Path(__file__).resolve().parent / "bytes.json"
BATCH = 256  # images per device
STAGE = (2, 2)  # blocks per stage of "beginning"
SLICES = {
    "v4-8": ("v4:2x2x1", "2x2x1", "megacore"),
    "v5e-1": ("v5e:1x1", "1x1x1", "default"),
    "v5p-8": ("v5:2x2x1", "2x2x1", "megacore"),
    "v6e-1": ("v6e:1x1", "1x1x1", "default"),
    "v6e-16": ("v6e:4x4", "2x2x1", "default"),
}
WITHOUT = (  # what the trainer does, each left out alone
    "BatchNorm not folded",
    "shortcuts with a stride not folded",
    "shortcut and branch as two products",
    "blocks keep results of ReLU, not bits",
    "stem in pixels, not cells",
)
PROBES = (
    "as it is",
    *WITHOUT,
    "stem normalised before pooling",
    "1x1 convolutions read only what they use",
    "statistics in two passes",
    "own backward pass of BatchNorm",
    "blocks recomputed from convolutions",
    "space-to-depth stem",
    "float32 images",
)
ROWS = [
    *(("v6e-1", "beginning", lever) for lever in PROBES),
    *(("v6e-1", "resnet50", lever) for lever in WITHOUT[1:]),
    *((slice, "resnet50", "as it is") for slice in ("v6e-1", "v5e-1", "v4-8", "v5p-8", "v6e-16")),
    *((slice, "resnet50", "BatchNorm not folded") for slice in ("v6e-1", "v5e-1", "v4-8", "v5p-8", "v6e-16")),
]
HEAD = """\
| slice | network | lever | HBM MB per image | GiB per device | layout, s |
| --- | --- | --- | ---: | ---: | ---: |"""


def lever(name: str) -> contextlib.AbstractContextManager[object]:
    """Return the patch of a lever, applied while a program is built; the trainer has no switch for it."""
    import levers
    from flax import nnx

    from trainer.models import layers, resnet

    if name == "stem normalised before pooling":
        return mock.patch.object(resnet.ConvNorm, "with_pooling", levers.plain_pool)
    if name == "1x1 convolutions read only what they use":
        return mock.patch.object(layers.Conv, "__call__", levers.sliced(layers.Conv.__call__))
    if name == "shortcuts with a stride not folded":
        return mock.patch.object(resnet.Shortcut, "__init__", levers.strided_apart(resnet.Shortcut.__init__))
    if name == "shortcut and branch as two products":
        return mock.patch.object(resnet.Bottleneck, "total", resnet.Block.total)
    if name == "stem in pixels, not cells":
        return levers.in_pixels()
    if name == "blocks keep results of ReLU, not bits":
        return mock.patch.object(resnet, "packed_relu", nnx.relu)
    if name == "statistics in two passes":
        return mock.patch.object(layers.BatchNorm, "__call__", levers.two_passes)
    if name == "own backward pass of BatchNorm":
        return mock.patch.object(layers.BatchNorm, "__call__", levers.own_backward)
    if name == "space-to-depth stem":
        return levers.space_to_depth()
    if name == "blocks recomputed from convolutions":
        return levers.recompute()
    return contextlib.nullcontext()


def compiled(slice: str, network: str, name: str, folder: str) -> dict:
    """Return the numbers of one row: traffic in MB per image, memory in bytes, seconds, traffic by operation.

    Runs in a process of its own. The compiler writes its dumps into `folder`.
    """
    layout, seconds = laid_out(slice, network, name, folder)

    from trainer.cost import traffic

    instructions = list(traffic.instructions(layout.text))
    groups = Counter()
    for instruction in instructions:
        groups[group(instruction)] += instruction.bytes
    return {
        "hbm": sum(instruction.bytes for instruction in instructions) / BATCH / 1e6,
        "gflop": sum(instruction.times * instruction.flops for instruction in instructions) / BATCH / 1e9,
        "peak": layout.memory,
        "seconds": round(seconds),
        "libtpu": importlib.metadata.version("libtpu"),
        "groups": {name: round(size / BATCH / 1e6, 2) for name, size in groups.most_common()},
    }


def laid_out(slice: str, network: str, name: str, folder: str) -> tuple[Layout, float]:
    """Return the training step as the compiler lays it out, and the seconds that took; see `compiled`."""
    import levers

    from trainer import registry
    from trainer.check.__main__ import steps  # it prepares the environment, before jax is imported
    from trainer.config import resolve
    from trainer.cost import tpu_layout
    from trainer.data import datasets
    from trainer.devices import compilation, mesh
    from trainer.program import make_program

    tpu_layout.dump_to(folder)
    topology, bounds, chip = SLICES[slice]
    target = argparse.Namespace(topology=topology, host_bounds=bounds, chip_config=chip, wrap="", slices=1)
    grid = mesh.make_mesh(1, steps.topology(target))
    if network == "beginning":
        registry.RESNET50["stage_sizes"] = STAGE
    settings = {"model.arch": "resnet50", "train.batch": BATCH * grid.size}
    settings |= {"model.bn_fold": "off"} if name == "BatchNorm not folded" else {}
    config = resolve("bytes", "unused", "", settings)
    train, test = datasets.load(config.data, "train"), datasets.load(config.data, "test")
    batch = compilation.batch_shapes(steps.samples(config, train, test)["train"], config.train.batch)
    if name == "float32 images":
        batch["image"] = levers.in_float32(batch["image"])
    started = time.monotonic()
    with lever(name):
        program = make_program(config, train, test, "tpu")
        lowered = compilation.lower_train(program.train_step, program.shapes, batch, grid)
    layout = tpu_layout.lay_out(lowered, folder, "train_step")
    return layout, time.monotonic() - started


def movers(text: str, number: int) -> str:
    """Return a table of the instructions with most traffic, as Markdown: MB per image, read and written."""
    from trainer.cost import traffic

    rows = sorted(traffic.instructions(text), key=lambda row: -row.bytes)
    lines = ["| instruction | MB per image | read | written |", "| --- | ---: | ---: | ---: |"]
    for row in rows[:number]:
        numbers = " | ".join(f"{size / BATCH / 1e6:.2f}" for size in (row.bytes, row.read, row.written))
        lines.append(f"| {group(row)} ({row.name}) | {numbers} |")
    rest = sum(row.bytes for row in rows[number:]) / BATCH / 1e6
    return "\n".join([*lines, f"| the other {len(rows) - number} | {rest:.2f} | | |"])


def group(instruction) -> str:
    """Return the kind of an instruction of the schedule, named by its last operation."""
    if "start" in instruction.kind or instruction.kind == "copy":
        return "copies and prefetches"
    last = instruction.source.rsplit("/", 1)[-1]
    operation = "convolution" if last == "conv_general_dilated" else last or instruction.kind
    return f"{operation}, {'backward' if 'transpose' in instruction.source else 'forward'}"


def measure(row: tuple[str, str, str]) -> dict:
    """Compile a row in a process of its own; return its numbers, or the compiler's error as `failed`."""
    command = [sys.executable, __file__, "--row", *row]
    env = os.environ | {"JAX_PLATFORMS": "cpu"}  # before jax is imported
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    return json.loads(done.stdout) if not done.returncode else {"failed": done.stderr.splitlines()[-1][:200]}


def table(results: dict[str, dict]) -> str:
    lines = [HEAD]
    for row in ROWS:
        result, start = results.get(" | ".join(row)), f"| {' | '.join(row)} |"
        if not result:
            lines.append(f"{start} not compiled yet | | |")
        elif "failed" in result:
            lines.append(f"{start} {result['failed']} | | |")
        else:
            peak = result["peak"] / 2**30
            numbers = f"{result['hbm']:.1f} | {peak:.2f} | {result['seconds']}"
            lines.append(f"{start} {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=3600, help="start no row after this many seconds (default: 3600)"
    )
    parser.add_argument(
        "--only", default="", help="compile only rows that contain this text, such as 'v6e-1 | beginning'"
    )
    parser.add_argument(
        "--movers",
        nargs=3,
        metavar=("SLICE", "NETWORK", "LEVER"),
        help="print the 30 instructions of a row that move most, and store nothing",
    )
    parser.add_argument("--row", nargs=3, help="compile one row in this process, JSON on stdout")
    args = parser.parse_args()
    if args.movers:
        os.environ["JAX_PLATFORMS"] = "cpu"  # before jax is imported
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            slice, network, name = args.movers
            print(movers(laid_out(slice, network, name, folder)[0].text, 30), flush=True)
        os._exit(0)
    if args.row:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            slice, network, name = args.row
            print(json.dumps(compiled(slice, network, name, folder)), flush=True)
        os._exit(0)  # the compiler is still at work
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    deadline = time.monotonic() + args.seconds
    for row in ROWS:
        key = " | ".join(row)
        if key in results or args.only not in key or time.monotonic() > deadline:
            continue
        print(key, file=sys.stderr, flush=True)
        results[key] = measure(row)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
