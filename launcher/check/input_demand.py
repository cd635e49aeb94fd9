"""How many images a second the chips of a host take: what its input has to give. Pure."""

from __future__ import annotations

from launcher.errors import Problem, RequestError, closest
from launcher.hardware import facts
from launcher.hardware.slices import Slice

# MB of high-bandwidth memory that one image of 224 pixels moves in training as compilers fuse it; training is
# bound by it. From a count of every layer's activations.
MB_AN_IMAGE = {"resnet18": 63, "resnet34": 95, "resnet50": 286, "resnet101": 419, "resnet152": 584}
# Images/s a chip with ResNet-50, where somebody published it: MLPerf logs and vendors' READMEs.
MEASURED = {"v4": 3296, "a100": 3411, "h100": 6909}
# What v4 reaches of its bandwidth by the figures above: 3,296 x 286 MB / 1,228 GB/s.
REACHED = 0.77


def images_per_second(shape: Slice, arch: str) -> float:
    """Of one host, at 224 pixels in bfloat16; scaled by bandwidth where nobody published a figure.

    Raises:
      RequestError: no figure for this network or hardware.
    """
    if arch not in MB_AN_IMAGE:
        hint = closest(arch, MB_AN_IMAGE)
        raise RequestError(Problem("arch", f"must be one of {', '.join(MB_AN_IMAGE)}, got {arch!r}", hint))
    chip = facts.generations().get(shape.generation, {}).get("chip")
    if chip is None:
        raise RequestError(Problem("slice", f"must be TPUs or GPUs of the catalogue, got {shape.name!r}"))
    of_resnet50 = (
        MEASURED.get(shape.generation) or chip["bandwidth"] * 1000 / MB_AN_IMAGE["resnet50"] * REACHED
    )
    return of_resnet50 * MB_AN_IMAGE["resnet50"] / MB_AN_IMAGE[arch] * shape.chips_per_host
