"""Floating-point operations of a compiled program's convolutions and matrix products, read from its HLO text.

Two for each multiplication and addition, as XLA's own analysis counts: a pixel of padding or a zero between
the pixels of a gradient is no operation. The TPU compiler makes convolutions of all matrix products; what is
left out, the arithmetic between them, is about 1 % of a ResNet's.
"""

import functools
import re

from trainer.cost.hlo import dimensions

OPERANDS = re.compile(r"convolution\(%?(?P<image>[\w.-]+), %?(?P<kernel>[\w.-]+)\)")
LABELS = re.compile(r"dim_labels=(?P<image>\w+)_(?P<kernel>\w+)->(?P<result>\w+)")
WINDOW = re.compile(r"window=\{([^}]*)\}")
PARTS = {"size": "1", "stride": "1", "pad": "0", "lhs_dilate": "1", "rhs_dilate": "1"}  # as 3x3, 1_1x1_1
GROUPS = re.compile(r"batch_group_count=(\d+)")


def convolution(line: str, types: dict[str, str], result: str) -> int:
    """FLOPs of one instruction.

    Args:
      line: of the instruction.
      types: name -> type of what was computed before it.
      result: its own type.
    """
    operands, labels = OPERANDS.search(line), LABELS.search(line)
    if not operands or not labels:
        return 0
    sizes = {
        "image": dimensions(types[operands["image"]]),
        "kernel": dimensions(types[operands["kernel"]]),
        "result": dimensions(result),
    }

    def size(of: str, label: str) -> int:
        return sizes[of][labels[of].index(label)]

    window = _window(line)
    groups = GROUPS.search(line)
    images = size("image", "b") // int(groups[1] if groups else 1)
    pairs = 1
    for axis in sorted(filter(str.isdigit, labels["image"])):
        pairs *= _pairs(size("image", axis), size("result", axis), *window[int(axis)])
    return 2 * images * size("result", "f") * size("kernel", "i") * pairs


def _window(line: str) -> list[list[int]]:
    """Of each axis of space: size, stride, padding before it, steps between pixels, between weights."""
    if not (found := WINDOW.search(line)):
        return []
    given = dict(word.split("=") for word in found[1].split())
    axes = len(given["size"].split("x"))
    columns = [given[key].split("x") if key in given else [other] * axes for key, other in PARTS.items()]
    return [[int(number.partition("_")[0]) for number in row] for row in zip(*columns, strict=True)]


@functools.cache
def _pairs(pixels: int, results: int, size: int, stride: int, pad: int, apart: int, reach: int) -> int:
    """How many (result, weight) along an axis meet a pixel."""
    places = (result * stride + weight * reach - pad for result in range(results) for weight in range(size))
    return sum(place >= 0 and place % apart == 0 and place // apart < pixels for place in places)
