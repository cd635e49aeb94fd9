"""Arrays that are mostly zeros, as the places and values of the others."""

import math
from collections.abc import Mapping

import numpy as np

INDICES, VALUES, SHAPE = ".indices", ".values", ".shape"
WORTH = 0.5  # share of zeros from which an int32 place and a float32 value take no more than the array
MAX_ELEMENTS = 2**28  # of an array that is read back: 1 GiB


def packed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays, those of which half or more are zeros in three parts each.

    NAME.indices: [n] int32, places of the others in row-major order, rising. NAME.values: [n] float32.
    NAME.shape: int32, lengths of the axes.

    Args:
      arrays: float32 arrays by name.
    """
    parts: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        places = np.flatnonzero(array)
        if array.ndim < 2 or len(places) > (1 - WORTH) * array.size:
            parts[name] = array
            continue
        parts[name + INDICES] = places.astype(np.int32)
        parts[name + VALUES] = array.ravel()[places]
        parts[name + SHAPE] = np.array(array.shape, np.int32)
    return parts


def unpacked(parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return whole arrays: the inverse of ``packed``.

    Raises:
      ValueError: a part is missing or does not fit the others; the text names it.
    """
    whole = {n: a for n, a in parts.items() if not n.endswith((INDICES, VALUES, SHAPE))}
    names = {n.rpartition(".")[0] for n in parts if n not in whole}
    for name in sorted(names):
        if missing := [end for end in (INDICES, VALUES, SHAPE) if name + end not in parts]:
            raise ValueError(f"{name} without {name}{missing[0]}")
        places, values, shape = (parts[name + end] for end in (INDICES, VALUES, SHAPE))
        if (
            places.dtype.kind not in "iu"
            or shape.dtype.kind not in "iu"
            or places.ndim != 1
            or shape.ndim != 1
        ):
            raise ValueError(f"{name}{INDICES} or {name}{SHAPE} that is no list of whole numbers")
        axes = [int(length) for length in shape]
        size = math.prod(axes)
        if not axes or min(axes) < 0 or size > MAX_ELEMENTS:
            raise ValueError(f"{name}{SHAPE} of {axes}, which must have 1 to {MAX_ELEMENTS} elements")
        if values.shape != places.shape or (len(places) and not 0 <= places.min() <= places.max() < size):
            raise ValueError(f"{name}{INDICES} that do not fit {name}{VALUES} or {name}{SHAPE}")
        whole[name] = np.zeros(size, values.dtype)
        whole[name][places] = values
        whole[name] = whole[name].reshape(axes)
    return whole
