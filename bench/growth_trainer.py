"""How the trainer's memory and work grow with batch, depth and dataset, and those of `check` with hosts.

    python bench/growth_trainer.py [--parts batch,depth,dataset,check]

Each figure is that of a whole process less that of the smallest run that trains at all, on one CPU device:
four steps of a tiny network. The exponent is the slope between the two largest sizes on logarithmic scales: 1
is linear, 0 does not grow. `check` compiles a tiny network for TPU slices, without its cache of results.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import simplejpeg
from growth import SLICES, exponent, used

NOISE_SECONDS, NOISE_MIB = 0.5, 8.0  # smaller differences between processes say nothing
PIXELS = ["--set", "data.image_size=32"]
TINY = ["--arch", "resnet-tiny", *PIXELS, "--batch", "8"]
BATCHES = (16, 64, 256)
DEPTHS = (20, 32, 56)
IMAGES = (1_000, 8_000, 64_000)

Figure = tuple[float, float]  # CPU seconds, MiB


def measured(command: list[str], folder: str) -> Figure:
    """Run a command and its children; return their CPU seconds and the largest peak memory in MiB."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
        "XDG_CACHE_HOME": tempfile.mkdtemp(dir=folder),
    }
    figure = used(command, environment)
    print(
        f"{' '.join(command[-2:])}: {figure[0]:.1f} CPU s, {figure[1]:.0f} MiB", file=sys.stderr, flush=True
    )
    return figure


def trained(folder: str, *flags: str) -> Figure:
    """Return what a run of four steps takes."""
    run = ["--run-dir", tempfile.mkdtemp(dir=folder), "--steps", "4", "--set", "checkpoint.enabled=false"]
    run += ["--set", "train.compile_cache=off", "--set", "optim.warmup_epochs=0"]
    return measured(["-m", "trainer", *TINY, *run, *flags], folder)


def pictures(folder: str, count: int) -> str:
    """Return a folder of ten classes with so many JPEGs in all, each of 32 pixels."""
    rng = np.random.default_rng(0)
    jpeg = simplejpeg.encode_jpeg(rng.integers(0, 255, (32, 32, 3), np.uint8), colorspace="RGB")
    for split, images in (("train", count), ("val", 10)):
        for label in range(10):
            place = Path(folder, f"images-{count}", split, f"class{label}")
            place.mkdir(parents=True)
            for number in range(images // 10):
                (place / f"{number:06}.jpg").write_bytes(jpeg)
    return str(Path(folder, f"images-{count}"))


def checked(name: str, folder: str) -> Figure:
    """Return what `check` takes for a slice, with a batch of one image per device."""
    hosts = SLICES[name]
    devices = 2 * 4 * hosts if name.startswith("tpu7x") else 4 * hosts
    request = ["--slice", name, "--arch", "resnet-tiny", "--batch", str(devices), *PIXELS]
    request += ["--placement-policy", "p"] if name.startswith("tpu7x") else []
    return measured(["-m", "launcher", "check", *request, "--json"], folder)


def print_row(what: str, sizes: list[int], figures: list[Figure], start: Figure) -> None:
    """Print the two rows of a measurement: CPU seconds and MiB at each size, and the exponents."""
    for index, (unit, noise) in enumerate([("CPU s", NOISE_SECONDS), ("MiB", NOISE_MIB)]):
        values = [figure[index] - start[index] for figure in figures]
        cells = " | ".join(f"{size:,}: {value:.1f}" for size, value in zip(sizes, values, strict=True))
        print(f"| {what}, {unit} | {cells} | {exponent(sizes, values, noise):.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default="batch,depth,dataset,check", help="measurements (default: all)")
    parts = parser.parse_args().parts.split(",")
    with tempfile.TemporaryDirectory() as folder:
        data = ["--data", pictures(folder, 5_000)]
        start = trained(folder, *data)
        print(f"the smallest run: {start[0]:.1f} CPU s, {start[1]:.0f} MiB\n")
        if "batch" in parts:
            rows = [trained(folder, *data, "--batch", str(size)) for size in BATCHES]
            print_row("training, by batch", list(BATCHES), rows, start)
        if "depth" in parts:
            rows = [trained(folder, *data, "--arch", f"cifar-resnet{depth}") for depth in DEPTHS]
            print_row("training, by depth", list(DEPTHS), rows, start)
        if "dataset" in parts:
            rows = [trained(folder, "--data", pictures(folder, count)) for count in IMAGES]
            print_row("training, by images of a folder", list(IMAGES), rows, start)
        if "check" in parts:
            rows = [checked(name, folder) for name in SLICES]
            print_row("check, by hosts", list(SLICES.values()), rows, (0.0, 0.0))


if __name__ == "__main__":
    main()
