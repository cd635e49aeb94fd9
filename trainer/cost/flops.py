"""FLOPs of a compiled program's convolutions, read from its HLO text.

A multiplication and its addition count as two, as in XLA's own analysis. Padding and the zeros between the
pixels of a gradient count nothing. The TPU compiler turns all matrix products into convolutions. The
arithmetic between them, about 1 % of a ResNet's FLOPs, is left out.
"""

import functools
import re

from trainer.cost.hlo import dimensions

OPERANDS = re.compile(r"convolution\(%?(?P<image>[\w.#-]+), %?(?P<kernel>[\w.#-]+)\)")
LABELS = re.compile(r"dim_labels=(?P<image>\w+)_(?P<kernel>\w+)->(?P<result>\w+)")
WINDOW = re.compile(r"window=\{([^}]*)\}")
# Fields of a window and their defaults; HLO writes a value per axis, as 3x3 or 1_1x1_1.
FIELDS = {"size": "1", "stride": "1", "pad": "0", "lhs_dilate": "1", "rhs_dilate": "1"}
GROUPS = re.compile(r"batch_group_count=(\d+)")


def convolution(line: str, types: dict[str, str], result: str) -> int:
    """FLOPs of one convolution; 0 where the line is not one.

    Args:
      line: the instruction's line of HLO.
      types: name of each instruction before it -> HLO type of its result.
      result: HLO type of its own result, as `bf16[256,56,56,64]{0,3,2,1}`.
    """
    operands, labels = OPERANDS.search(line), LABELS.search(line)
    if not operands or not labels:
        return 0
    sizes = {
        "image": dimensions(types[operands["image"]]),
        "kernel": dimensions(types[operands["kernel"]]),
        "result": dimensions(result),
    }

    def size(array: str, label: str) -> int:
        return sizes[array][labels[array].index(label)]

    window = _window(line)
    groups = GROUPS.search(line)
    images = size("image", "b") // int(groups[1] if groups else 1)
    pairs = 1
    for axis in sorted(filter(str.isdigit, labels["image"])):
        pairs *= _pairs(size("image", axis), size("result", axis), *window[int(axis)])
    return 2 * images * size("result", "f") * size("kernel", "i") * pairs


def _window(line: str) -> list[list[int]]:
    """Size, stride, padding in front, dilation of the image and dilation of the kernel, per spatial axis."""
    if not (window := WINDOW.search(line)):
        return []
    fields = dict(field.split("=") for field in window[1].split())
    axes = len(fields["size"].split("x"))
    columns = [fields[key].split("x") if key in fields else [value] * axes for key, value in FIELDS.items()]
    return [[int(number.partition("_")[0]) for number in row] for row in zip(*columns, strict=True)]


@functools.cache
def _pairs(
    pixels: int, results: int, size: int, stride: int, pad: int, image_dilation: int, kernel_dilation: int
) -> int:
    """Number of pairs (result, weight) along an axis whose product has a real pixel in it."""
    places = (
        result * stride + weight * kernel_dilation - pad
        for result in range(results)
        for weight in range(size)
    )
    return sum(
        place >= 0 and place % image_dilation == 0 and place // image_dilation < pixels for place in places
    )
