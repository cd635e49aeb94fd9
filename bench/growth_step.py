"""What a training step costs by batch, in one process after warm-up: user and system time, page faults.

    python bench/growth_step.py [--batches 16,64,256] [--arch resnet-tiny] [--rounds 5]

The batches take turns, so that a busy machine disturbs all of them alike; the figures are medians. The parts
are the program on the device, and the making of batches from JPEGs of 32 pixels. The exponent is the slope
between the two largest batches on logarithmic scales: 1 is linear. The first line names what the environment
sets of the C library's allocator (MALLOC_…).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
from growth import exponent
from growth_trainer import pictures

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trainer.config import resolve
from trainer.data import datasets, pipeline
from trainer.data.pipeline import TrainStream
from trainer.devices import compilation, mesh
from trainer.devices.batches import BatchPlacer
from trainer.program import make_program
from trainer.train import train_batch_shapes

FIGURES = ("user ms per image", "system ms per image", "page faults per image")


def used(work: Callable[[], object]) -> tuple[float, float, float]:
    """Return the user ms, system ms and minor page faults of a call, over all threads of this process."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (
        1e3 * (after.ru_utime - before.ru_utime),
        1e3 * (after.ru_stime - before.ru_stime),
        after.ru_minflt - before.ru_minflt,
    )


def parts(arch: str, batch: int, data: str, images: int) -> dict[str, Callable[[], object]]:
    """Return part -> a function that does it for so many images in batches of a size."""
    config = resolve(
        "growth",
        "/run",
        "",
        {"model.arch": arch, "data.name": data, "data.image_size": "32", "train.batch": str(batch)},
    )
    train_source, test_source = datasets.load_both(config.data)
    devices = mesh.make_mesh(1, jax.devices()[:1])
    program, placer = make_program(config, train_source, test_source, "cpu"), BatchPlacer(devices, batch)
    stream = TrainStream(size=train_source.size, batch=batch, seed=0, repeats=1)
    shapes = train_batch_shapes(config, train_source, stream)
    compiled = compilation.compile_train(program.train_step, program.stacked_shapes, shapes, devices)
    steps = max(1, images // batch)

    def read() -> list[pipeline.Batch]:
        return list(pipeline.train_batches(train_source, stream, placer.rows, range(steps), config.data))

    batches = [placer.place(local) for local in read()[:4]]
    state = jax.jit(program.init_state)(program.key)
    leaves = tuple(jax.tree.leaves(program.stacks.stacked(state)))

    def step() -> None:
        nonlocal leaves
        for number in range(steps):
            leaves, metrics = compiled(leaves, batches[number % len(batches)])
            jax.block_until_ready(metrics)

    return {"the program of a step": step, "a batch from JPEGs": read}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", default="16,64,256", help="batches (default: 16,64,256)")
    parser.add_argument("--arch", default="resnet-tiny", help="network (default: resnet-tiny)")
    parser.add_argument("--images", type=int, default=512, help="images per batch and round (default: 512)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    args = parser.parse_args()
    sizes = [int(size) for size in args.batches.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        data = pictures(folder, 5_000)
        work = {size: parts(args.arch, size, data, args.images) for size in sizes}
        figures: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
        for round_number in range(args.rounds + 1):
            for size in sizes:
                for part, function in work[size].items():
                    figure = used(function)
                    if round_number:  # the first warms up
                        figures.setdefault((part, size), []).append(figure)
    allocator = {name: value for name, value in os.environ.items() if name.startswith("MALLOC")}
    print(f"jax {jax.__version__}, load {os.getloadavg()[0]:.1f}, {allocator or 'allocator as it is'}\n")
    print(f"| what | {' | '.join(f'batch {size}' for size in sizes)} | exponent of the batch |")
    print("| --- " + "| ---: " * (len(sizes) + 1) + "|")
    for part in work[sizes[0]]:
        for index, name in enumerate(FIGURES):
            values = [
                statistics.median(f[index] for f in figures[part, size]) / args.images for size in sizes
            ]
            slope = exponent(sizes, [v * size for v, size in zip(values, sizes, strict=True)], 1e-9)
            cells = " | ".join(f"{value:.3f}" for value in values)
            print(f"| {part}, {name} | {cells} | {slope:.2f} |", flush=True)


if __name__ == "__main__":
    main()
