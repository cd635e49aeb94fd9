"""Images/s that the chips of one host consume in training, which its input pipeline must supply. Pure."""

from __future__ import annotations

from launcher import contract
from launcher.errors import Problem, RequestError, closest
from launcher.hardware import facts
from launcher.hardware.slices import Slice

# Published images/s per chip with ResNet-50: MLPerf logs and vendors' READMEs.
PUBLISHED = {"v4": 3296, "a100": 3411, "h100": 6909}
# Fraction of its memory bandwidth that v4 reaches by these figures: 3,296 images/s x 286 MB / 1,228 GB/s.
BANDWIDTH_FRACTION = 0.77


def images_per_second_per_host(shape: Slice, arch: str) -> float:
    """Images/s that the chips of one host consume, at 224 pixels in bfloat16.

    Where no figure is published, the rate is computed from the memory bandwidth of the chip.

    Raises:
      RequestError: there is no figure for this network or this hardware.
    """
    traffic = contract.document()["mb_per_image"]
    if arch not in traffic:
        hint = closest(arch, traffic)
        raise RequestError(Problem("arch", f"must be one of {', '.join(traffic)}, got {arch!r}", hint))
    chip = facts.generations().get(shape.generation, {}).get("chip")
    if chip is None:
        raise RequestError(Problem("slice", f"must be TPUs or GPUs of the catalogue, got {shape.name!r}"))
    from_bandwidth = chip["bandwidth"] * 1000 / traffic["resnet50"] * BANDWIDTH_FRACTION  # GB/s / MB
    resnet50_per_chip = PUBLISHED.get(shape.generation) or from_bandwidth
    return resnet50_per_chip * traffic["resnet50"] / traffic[arch] * shape.chips_per_host
