"""The predicted speed of ResNet-50 beside what others have measured; prints a table.

`python bench/rates.py`: TPUs by their compiler's layout (a minute each), GPUs by the estimate. Measured:
MLPerf Training logs and NVIDIA's MXNet ResNet-50 of those rounds, images a second and chip at 224 pixels;
their code is not this trainer's, so BatchNorm is not folded here. TPU v3 is no slice of the launcher: its
figures, for each of the two devices of a chip, are Google's (half of 123 TFLOP/s and of 900 GB/s).
"""

from __future__ import annotations

import json
import subprocess
import sys

from launcher import TrainingJob
from launcher.check import assessment, prediction
from launcher.check.prediction import Range

PLAIN = ("model.bn_fold=off",)
MEASURED = {  # images a second and chip: least and most
    "TPU v3": (1766, 2022),
    "TPU v4": (3296, 3296),
    "A100 80 GB": (3411, 3411),
    "H100": (6909, 6909),
}
HEAD = """\
| chip | batch a device | measured | expected (range) | error | from |
| --- | ---: | ---: | ---: | ---: | --- |"""


def v3(batch: int) -> tuple[Range, str]:
    """Images a second and chip; the network between the chips is left out."""
    words = ["--topology", "v3:2x2", "--host-bounds", "2x2x1", "--steps", "train", "--"]
    words += ["--arch", "resnet50", "--batch", str(8 * batch), "--set", *PLAIN]
    done = subprocess.run(
        [sys.executable, "-m", "trainer.check", *words], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    arithmetic = found["train"]["flops"] / (123e12 / 2)
    memory = found["train"]["bytes"] / (900e9 / 2)
    step = prediction.between(arithmetic, memory, 0.0)
    return step.under(2 * batch), f"layout, libtpu {found['versions']['libtpu']}"


def of(slice: str, batch: int, devices: int) -> tuple[Range, str]:
    job = TrainingJob(slice=slice, arch="resnet50", batch=batch * devices, bucket="b-1", set=PLAIN)
    answer = assessment.ask(job, lambda text: print(text, file=sys.stderr), ("train",))
    assert answer.prediction
    found = answer.found
    by = "estimate" if found["estimated"] else f"layout, libtpu {found['versions']['libtpu']}"
    return answer.prediction.rate, by


def row(chip: str, batch: int, told: tuple[Range, str]) -> str:
    (least, most), (rate, by) = MEASURED[chip], told
    measured = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    error = rate.expected / ((least + most) / 2) - 1
    expected = f"{rate.expected:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"
    return f"| {chip} | {batch} | {measured} | {expected} | {error:+.0%} | {by} |"


def main() -> None:
    print(HEAD)
    print(row("TPU v3", 128, v3(128)), flush=True)
    print(row("TPU v4", 256, of("v4-8", 256, 4)), flush=True)
    print(row("A100 80 GB", 256, of("a100-80gb-8", 256, 8)), flush=True)
    print(row("H100", 256, of("h100-8", 256, 8)), flush=True)


if __name__ == "__main__":
    main()
