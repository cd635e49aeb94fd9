"""Fit, memory and predicted speed on every TPU generation, by its compiler: docs/measurements/slices.md.

`python bench/check_table.py --seconds 3600` compiles missing rows for an hour, the smallest networks first,
and writes the table, in which missing rows say so. Results are stored in bench/check_table.json. `--again`
repeats those of another version of the compiler. `--seconds 0` only writes the table.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from launcher import TrainingJob
from launcher.check import assessment, prediction
from launcher.errors import ActionError
from launcher.hardware.slices import parse

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "bench" / "check_table.json", ROOT / "docs" / "measurements" / "slices.md"
MARK = "<!-- table -->"
ARCHS = ("resnet18", "resnet50", "resnet152")
BATCHES = (64, 128, 256)  # examples per device
# network -> its batch per device, and settings that make its compilation short; one row per generation
ONE_ROW = {
    "vit-b16": (128, ("model.repeat=scan", "model.remat=dots")),
    "vit-l16": (64, ("model.repeat=scan", "model.remat=dots")),
    "efficientnetv2-s": (128, ()),
    "convnext-t": (128, ()),
}
# generation: one host, four hosts, and two slices of the smallest that can be joined
SLICES = {
    "v4": (("v4-8", 1), ("v4-32", 1), ("v4-16", 2)),
    "v5e": (("v5e-4", 1), ("v5e-16", 1), ("v5e-8", 2)),
    "v5p": (("v5p-8", 1), ("v5p-32", 1), ("v5p-16", 2)),
    "v6e": (("v6e-4", 1), ("v6e-16", 1), ("v6e-8", 2)),
    "tpu7x": (("tpu7x-8", 1), ("tpu7x-32", 1), ("tpu7x-16", 2)),
}
HEAD = """\
| slice | network | batch per device | fits | GiB per device | MB per image \
| images/s per chip, predicted | libtpu |
| --- | --- | ---: | --- | ---: | ---: | ---: | --- |
"""


def rows() -> Iterator[tuple[str, int, str, int]]:
    for arch in ARCHS:
        for batch in BATCHES:
            for named in SLICES.values():
                for name, count in named:
                    yield name, count, arch, batch
    for arch, (batch, _) in ONE_ROW.items():
        for (name, count), *_ in SLICES.values():
            yield name, count, arch, batch


def job(name: str, count: int, arch: str, batch: int) -> TrainingJob:
    devices = count * parse(name).devices
    policy = "p" if parse(name).placement_policy else None
    return TrainingJob(
        slice=name,
        num_slices=count,
        arch=arch,
        batch=batch * devices,
        bucket="b-1",
        placement_policy=policy,
        set=list(ONE_ROW.get(arch, (0, ()))[1]),
    )


def show(text: str) -> None:
    print(" ", text, file=sys.stderr)


def compiled(row: tuple[str, int, str, int]) -> dict:
    """Return the numbers of the training step, or the error as `failed`."""
    try:
        result = assessment.assess(job(*row), show, ("train",)).result
        return {"libtpu": result["versions"]["libtpu"], "batch": result["batch"], **result["train"]}
    except ActionError as error:
        return {"failed": str(error)}


def line(row: tuple[str, int, str, int], result: dict | None) -> str:
    name, count, arch, batch = row
    network = ", ".join([arch, *ONE_ROW.get(arch, (0, ()))[1]])
    start = f"| {name if count == 1 else f'{count} x {name}'} | {network} | {batch} |"
    if result is None:
        return f"{start} not compiled yet | | | | |"
    if "failed" in result:
        return f"{start} {result['failed']} | | | | |"
    peak = f"{result['peak'] / 2**30:.1f}"
    if not result["fits"]:
        return f"{start} no | {peak} | | | {result['libtpu']} |"
    shape = parse(name)
    rate = prediction.seconds(result, shape).dividing(batch * shape.devices_per_chip)
    speed = f"{rate.expected:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"
    return f"{start} yes | {peak} | {result['bytes'] / batch / 1e6:.0f} | {speed} | {result['libtpu']} |"


def write(results: dict[str, dict]) -> None:
    table = HEAD + "".join(line(row, results.get(key(row))) + "\n" for row in rows())
    before, _, after = PAGE.read_text(encoding="utf-8").split(MARK)
    PAGE.write_text(f"{before}{MARK}\n{table}{MARK}{after}", encoding="utf-8")


def key(row: tuple[str, int, str, int]) -> str:
    return " ".join(map(str, row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=3600, help="start no row after this many seconds (default: 3600)"
    )
    parser.add_argument(
        "--only", default="", help="compile only rows that contain this text, such as 'v6e-16 1 resnet50'"
    )
    parser.add_argument("--again", action="store_true", help="repeat the rows of another libtpu version")
    args = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if args.again:
        version = importlib.metadata.version("libtpu")
        results = {row: result for row, result in results.items() if result.get("libtpu") == version}
    deadline = time.monotonic() + args.seconds
    for row in rows():
        if time.monotonic() > deadline:
            break
        if key(row) not in results and args.only in key(row):
            print(key(row), file=sys.stderr)
            results[key(row)] = compiled(row)
            RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            write(results)
    write(results)


if __name__ == "__main__":
    main()
