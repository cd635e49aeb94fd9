"""Crops: a function of an image's size and of uniform numbers drawn from (seed, epoch, index)."""

import math
from collections.abc import Sequence

import numpy as np

Box = tuple[int, int, int, int]  # top, left, height, width in pixels

TRIES = 10  # random boxes to try before the centre is taken, as torchvision's RandomResizedCrop does
DRAWS = 2 * TRIES + 2  # per try an area and an aspect ratio; then the position from the top and left
LOG_RATIO = math.log(4 / 3)  # aspect ratios between 3:4 and 4:3 (Szegedy et al. 2014, arXiv:1409.4842)


def draws(seed: int, epochs: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Uniform numbers that depend on nothing but (seed, epoch, index) of each row.

    They are SplitMix64's finaliser (Steele et al. 2014, "Fast splittable pseudorandom number generators")
    over a counter: constructing one generator per row would cost a tenth of a decode.

    Args:
      epochs, indices: [b] integers.

    Returns:
      [b, DRAWS] float64 in 0..1, 1 excluded.
    """
    key = _mix(np.full(len(indices), seed, np.uint64))
    key = _mix(key ^ epochs.astype(np.uint64))
    key = _mix(key ^ indices.astype(np.uint64))
    counter = np.arange(1, DRAWS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (_mix(key[:, None] + counter) >> np.uint64(11)) * 2.0**-53


def _mix(value: np.ndarray) -> np.ndarray:
    """One step of SplitMix64, uint64 to uint64."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def random_box(height: int, width: int, uniform: Sequence[float], min_area: float) -> Box:
    """A random part of an image with an aspect ratio between 3:4 and 4:3.

    Args:
      height, width: of the image, in pixels.
      uniform: [DRAWS] numbers in 0..1.
      min_area: least fraction of the image's area.
    """
    for area_draw, ratio_draw in zip(uniform[:TRIES], uniform[TRIES:], strict=False):
        area = height * width * (min_area + (1 - min_area) * area_draw)
        ratio = math.exp(LOG_RATIO * (2 * ratio_draw - 1))  # width / height
        h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < h <= height and 0 < w <= width:
            return int(uniform[-2] * (height - h + 1)), int(uniform[-1] * (width - w + 1)), h, w
    return _centre(height, width)


def _centre(height: int, width: int) -> Box:
    """The largest centred part with an aspect ratio between 3:4 and 4:3."""
    h, w = min(height, round(width * 4 / 3)), min(width, round(height * 4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


def centre_box(height: int, width: int, fraction: float) -> Box:
    """The centred square whose side is ``fraction`` of the shorter side."""
    side = max(1, round(min(height, width) * fraction))
    return (height - side) // 2, (width - side) // 2, side, side
