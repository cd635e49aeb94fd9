"""Memory, traffic and layout of a ViT's training step by what its blocks keep: docs/measurements/slices.md.

`python bench/remat.py --seconds 3600` lays out missing rows with the TPU compiler and writes the table, in
which missing rows say so. Results are stored in bench/remat.json. `--seconds 0` only writes the table.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from launcher import TrainingJob
from launcher.check import assessment, prediction
from launcher.errors import ActionError
from launcher.hardware.slices import parse

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "bench" / "remat.json", ROOT / "docs" / "measurements" / "slices.md"
MARK = "<!-- remat -->"
BATCHES = {"vit-b16": 128, "vit-l16": 64, "convnext-t": 128}  # network -> images per device
# slice, network, model.repeat, model.remat
ROWS = [
    ("v4-8", "vit-l16", "scan", "dots"),
    *(("v6e-1", "vit-l16", "scan", remat) for remat in ("dots", "full", "none")),
    *(("v6e-1", "vit-b16", "scan", remat) for remat in ("dots", "full", "none")),
    ("v6e-1", "vit-b16", "loop", "none"),
    *(("v6e-1", "convnext-t", "loop", remat) for remat in ("none", "full")),
]
HEAD = """\
| slice | network | batch per device | model.repeat | model.remat | fits | GiB per device | MB per image \
| GFLOP per image | images/s per chip, predicted | layout, s | CPU, s | libtpu |
| --- | --- | ---: | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |
"""


Row = tuple[str, str, str, str]


def compiled(row: Row) -> dict:
    """Return the numbers of the training step, or the error as `failed`."""
    slice, arch, repeat, remat = row
    settings = [f"model.repeat={repeat}", f"model.remat={remat}"]
    batch = BATCHES[arch] * parse(slice).devices
    job = TrainingJob(slice=slice, arch=arch, batch=batch, bucket="b-1", set=settings)
    begun = cpu_seconds()
    try:
        result = assessment.assess(job, lambda text: print(" ", text, file=sys.stderr), ("train",)).result
        cpu = round(cpu_seconds() - begun)
        return {"libtpu": result["versions"]["libtpu"], "cpu_seconds": cpu, **result["train"]}
    except ActionError as error:
        return {"failed": str(error)}


def cpu_seconds() -> float:
    """Return the processor time of the compilations so far, each of them a process that has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def line(row: Row, result: Any) -> str:
    slice, arch, repeat, remat = row
    shape, batch = parse(slice), BATCHES[arch]
    start = f"| {slice} | {arch} | {batch} | {repeat} | {remat} |"
    if result is None or "failed" in result:
        return f"{start} {result['failed'] if result else 'not compiled yet'} | | | | | | | |"
    peak = f"{result['peak'] / 2**30:.1f}"
    end = f"{result['seconds']:.0f} | {result['cpu_seconds']} | {result['libtpu']} |"
    if not result["fits"]:
        return f"{start} no | {peak} | | | | {end}"
    rate = prediction.combine(*prediction.parts(result, shape)).dividing(batch * shape.devices_per_chip)
    work = f"{result['bytes'] / batch / 1e6:.0f} | {result['flops'] / batch / 1e9:.0f}"
    speed = f"{rate.expected:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"
    return f"{start} yes | {peak} | {work} | {speed} | {end}"


def write(results: dict[str, dict]) -> None:
    table = HEAD + "".join(line(row, results.get(" ".join(row))) + "\n" for row in ROWS)
    before, _, after = PAGE.read_text(encoding="utf-8").split(MARK)
    PAGE.write_text(f"{before}{MARK}\n{table}{MARK}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=3600, help="start no row after this many seconds (default: 3600)"
    )
    args = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    deadline = time.monotonic() + args.seconds
    for row in ROWS:
        if time.monotonic() < deadline and " ".join(row) not in results:
            print(" ".join(row), file=sys.stderr)
            results[" ".join(row)] = compiled(row)
            RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            write(results)
    write(results)


if __name__ == "__main__":
    main()
