"""Depthwise convolutions as sums of shifted products, which is how a CPU is fast at them.

XLA's CPU compiler runs a convolution whose groups are single channels at a tenth of this or less, and each of
its gradients slower still. Here the few positions of the kernel are written out: each multiplies a shifted
view of the image, and one loop over the image does them all.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MOST_POSITIONS = 64  # of a kernel that is written out: 8x8
MOST_TERMS = 100  # products written out for the gradient of a kernel, which is as fast as they are many


def as_sums(image: Any, window: Any, **parameters: Any) -> Callable[..., jax.Array] | None:
    """Return a convolution as a function of both arrays; None where it is none of a depthwise one's.

    Those are the convolution itself, the gradient of its image, and that of its kernel.

    Args:
      image, window: types of the two arrays.
      parameters: those of ``jax.lax.conv_general_dilated_p``.
    """
    numbers = parameters["dimension_numbers"]
    channels, outputs = image.shape[numbers.lhs_spec[1]], window.shape[numbers.rhs_spec[0]]
    sizes = [window.shape[axis] for axis in numbers.rhs_spec[2:]]
    if parameters["feature_group_count"] == channels == outputs > 1:
        return partial(_shifted, **parameters) if math.prod(sizes) <= MOST_POSITIONS else None
    pads, strides = parameters["padding"], parameters["window_strides"]
    if parameters["batch_group_count"] == image.shape[numbers.lhs_spec[0]] == outputs > 1:
        sides = [image.shape[axis] for axis in numbers.lhs_spec[2:]]
        whole = grown(sides, pads, parameters["lhs_dilation"])
        spans = [step * (size - 1) for step, size in zip(parameters["rhs_dilation"], sizes, strict=True)]
        positions = places(whole, spans, strides)
        if positions and 0 < math.prod(positions) <= MOST_POSITIONS:
            return partial(_of_kernel, positions=positions, **parameters)
    return None


def grown(sides: Sequence[int], pads: Any, steps: Sequence[int]) -> list[int]:
    """The image's sides with zeros between and around the pixels."""
    return [
        (side - 1) * step + 1 + low + high for side, (low, high), step in zip(sides, pads, steps, strict=True)
    ]


def places(sides: Sequence[int], spans: Sequence[int], strides: Sequence[int]) -> list[int]:
    """How many places along each side a window has that reaches ``span`` pixels beyond its first."""
    return [(side - span - 1) // stride + 1 for side, span, stride in zip(sides, spans, strides, strict=True)]


def _padded(image: jax.Array, parameters: dict[str, Any]) -> jax.Array:
    """[B, …, C] with zeros between and around the pixels, written to memory once."""
    steps, pads = parameters["lhs_dilation"], parameters["padding"]
    inside = [(low, high, step - 1) for (low, high), step in zip(pads, steps, strict=True)]
    zero = jnp.zeros((), image.dtype)
    return jax.lax.optimization_barrier(jax.lax.pad(image, zero, [(0, 0, 0), *inside, (0, 0, 0)]))


def _shifted(image: jax.Array, window: jax.Array, **parameters: Any) -> jax.Array:
    """The convolution: one product for each position of the kernel."""
    numbers, strides = parameters["dimension_numbers"], parameters["window_strides"]
    image = image.transpose(numbers.lhs_spec[0], *numbers.lhs_spec[2:], numbers.lhs_spec[1])  # [B, …, C]
    kernel = window.transpose(*numbers.rhs_spec[2:], numbers.rhs_spec[1], numbers.rhs_spec[0])  # […, 1, C]
    result = parameters["preferred_element_type"] or image.dtype
    image, kernel = _padded(image, parameters).astype(jnp.float32), kernel.astype(jnp.float32)
    steps = parameters["rhs_dilation"]
    spans = [step * (size - 1) for step, size in zip(steps, kernel.shape, strict=False)]
    sides = places(image.shape[1:-1], spans, strides)
    y = jnp.zeros((image.shape[0], *sides, image.shape[-1]), jnp.float32)
    for place in np.ndindex(*kernel.shape[:-2]):
        begins = [at * step for at, step in zip(place, steps, strict=True)]
        if _reaches(image, begins, sides, strides, parameters["padding"]):
            y = y + _view(image, begins, sides, strides) * kernel[place][0]
    return as_result(y.astype(result), numbers)


def _of_kernel(
    image: jax.Array, window: jax.Array, *, positions: Sequence[int], **parameters: Any
) -> jax.Array:
    """The gradient of a kernel, which is written as a convolution over images: a sum for each position.

    A sum over an image is slow where an addition of images is fast: bands of rows are added up first.
    """
    numbers, strides = parameters["dimension_numbers"], parameters["window_strides"]
    image = image.transpose(numbers.lhs_spec[1], *numbers.lhs_spec[2:], numbers.lhs_spec[0])  # [B, …, C]
    pull = window.transpose(numbers.rhs_spec[1], *numbers.rhs_spec[2:], numbers.rhs_spec[0])  # [B, …, C]
    result = parameters["preferred_element_type"] or image.dtype
    image = _padded(image, parameters).astype(jnp.float32)
    pull = jax.lax.optimization_barrier(pull).astype(jnp.float32)
    steps, sides = parameters["rhs_dilation"], pull.shape[1:-1]
    bands = list(_bands(sides[0], math.prod(positions)))
    sums = []
    for place in np.ndindex(*positions):
        begins = [at * stride for at, stride in zip(place, strides, strict=True)]
        if not _reaches(image, begins, sides, steps, parameters["padding"]):
            sums.append(jnp.zeros(image.shape[-1], jnp.float32))
            continue
        products = jnp.zeros((), jnp.float32)
        for first, rows in bands:
            part = [begins[0] + first * steps[0], *begins[1:]]
            products = (
                products + _view(image, part, [rows, *sides[1:]], steps) * pull[:, first : first + rows]
            )
        sums.append(jax.lax.optimization_barrier(products).sum(range(products.ndim - 1)))
    y = jnp.stack(sums).reshape(1, *positions, image.shape[-1])
    return as_result(y.astype(result), numbers)


def _bands(rows: int, positions: int) -> Iterator[tuple[int, int]]:
    """Yield the first row and the height of equal parts: as many as MOST_TERMS allows."""
    most = max(1, MOST_TERMS // positions)
    count = next(parts for parts in range(min(most, rows), 0, -1) if rows % parts == 0)
    for band in range(count):
        yield band * (rows // count), rows // count


def _reaches(
    image: jax.Array, begins: Sequence[int], sides: Sequence[int], strides: Sequence[int], pads: Any
) -> bool:
    """Return whether a view of a padded image holds more than its margins."""
    places = zip(image.shape[1:-1], begins, sides, strides, pads, strict=True)
    return all(
        begin < whole - max(high, 0) and begin + (side - 1) * stride >= max(low, 0)
        for whole, begin, side, stride, (low, high) in places
    )


def _view(x: jax.Array, begins: Sequence[int], sides: Sequence[int], strides: Sequence[int]) -> jax.Array:
    """Pixels of [B, …, C] from a place on."""
    ends = [at + (side - 1) * stride + 1 for at, side, stride in zip(begins, sides, strides, strict=True)]
    return jax.lax.slice(x, (0, *begins, 0), (x.shape[0], *ends, x.shape[-1]), (1, *strides, 1))


def as_result(y: jax.Array, numbers: Any) -> jax.Array:
    """[B, …, C] in the order of axes that the convolution returns."""
    result = numbers.out_spec
    return y.transpose(np.argsort([result[0], *result[2:], result[1]]))
