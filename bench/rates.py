"""Predicted images/s per chip of ResNet-50 beside published measurements.

`python bench/rates.py` predicts TPUs from their compiler's layout (a minute each) and GPUs from the estimate.
The measurements are MLPerf Training logs and NVIDIA's MXNet ResNet-50 of those rounds, at 224 pixels. Their
code is not this trainer's, so BatchNorm is not folded here. The launcher has no TPU v3. Google states 123
TFLOP/s and 900 GB/s per chip, and each of its two devices has half.
"""

from __future__ import annotations

import json
import subprocess
import sys

from launcher import TrainingJob
from launcher.check import assessment, prediction
from launcher.check.prediction import Range

PLAIN = ("model.bn_fold=off",)
MEASURED = {  # images/s per chip: least and most
    "TPU v3": (1766, 2022),
    "TPU v4": (3296, 3296),
    "A100 80 GB": (3411, 3411),
    "H100": (6909, 6909),
}
HEAD = """\
| chip | batch per device | measured | predicted (range) | error | source |
| --- | ---: | ---: | ---: | ---: | --- |"""


def v3(batch: int) -> tuple[Range, str]:
    """Return images/s per chip, without the network between the chips, and the source of the prediction."""
    arguments = ["--topology", "v3:2x2", "--host-bounds", "2x2x1", "--steps", "train", "--"]
    arguments += ["--arch", "resnet50", "--batch", str(8 * batch), "--set", *PLAIN]
    done = subprocess.run(
        [sys.executable, "-m", "trainer.check", *arguments], capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout)
    arithmetic = result["train"]["flops"] / (123e12 / 2)
    memory = result["train"]["bytes"] / (900e9 / 2)
    step = prediction.combine(arithmetic, memory, 0.0)
    return step.dividing(2 * batch), f"layout, libtpu {result['versions']['libtpu']}"


def predict(slice: str, batch: int, devices: int) -> tuple[Range, str]:
    """Return images/s per chip of a slice and the source of the prediction."""
    job = TrainingJob(slice=slice, arch="resnet50", batch=batch * devices, bucket="b-1", set=PLAIN)
    assessed = assessment.assess(job, lambda text: print(text, file=sys.stderr), ("train",))
    assert assessed.prediction
    result = assessed.result
    source = "estimate" if result["estimated"] else f"layout, libtpu {result['versions']['libtpu']}"
    return assessed.prediction.rate, source


def row(chip: str, batch: int, predicted: tuple[Range, str]) -> str:
    (least, most), (rate, source) = MEASURED[chip], predicted
    measured = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    error = rate.expected / ((least + most) / 2) - 1
    expected = f"{rate.expected:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"
    return f"| {chip} | {batch} | {measured} | {expected} | {error:+.0%} | {source} |"


def main() -> None:
    print(HEAD)
    print(row("TPU v3", 128, v3(128)), flush=True)
    print(row("TPU v4", 256, predict("v4-8", 256, 4)), flush=True)
    print(row("A100 80 GB", 256, predict("a100-80gb-8", 256, 8)), flush=True)
    print(row("H100", 256, predict("h100-8", 256, 8)), flush=True)


if __name__ == "__main__":
    main()
