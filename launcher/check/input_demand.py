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

    A figure of ResNet-50 on the chip, published or computed from its memory bandwidth, is scaled by what an
    image of the network takes longer: memory traffic or arithmetic, whichever is more.

    Raises:
      RequestError: there is no figure for this network or this hardware.
    """
    traffic, work = contract.document()["mb_per_image"], contract.document()["gflop_per_image"]
    if arch in contract.document()["archs"] and arch not in traffic:
        measured = "must be a network whose memory traffic per image was estimated"
        raise RequestError(Problem("arch", f"{measured}, which it was not for {arch}"))
    if arch not in traffic:
        hint = closest(arch, traffic)
        raise RequestError(Problem("arch", f"must be one of {', '.join(traffic)}, got {arch!r}", hint))
    chip = facts.generations().get(shape.generation, {}).get("chip")
    if chip is None:
        raise RequestError(Problem("slice", f"must be TPUs or GPUs of the catalogue, got {shape.name!r}"))
    from_bandwidth = chip["bandwidth"] * 1000 / traffic["resnet50"] * BANDWIDTH_FRACTION  # GB/s / MB
    resnet50_per_chip = PUBLISHED.get(shape.generation) or from_bandwidth

    def seconds(network: str) -> float:
        return max(traffic[network] / 1e3 / chip["bandwidth"], work[network] / 1e3 / chip["bf16"])

    return resnet50_per_chip * seconds("resnet50") / seconds(arch) * shape.chips_per_host
