"""The gradient of a convolution's kernel as products of matrices, which is how a CPU is fast at it.

XLA's CPU compiler writes this gradient as a convolution whose window is as large as the image, and runs that
at a tenth of a core's peak or less where the image is large and its channels are few. Here a few images at a
time are laid out so that the gradient is one product over their pixels, or one for each row of the kernel.
The parts are small enough for a core's caches, and their memory is used again for the next.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from trainer.devices.cpu_depthwise import as_result, grown, places

MOST_POSITIONS = 49  # of a kernel: 7x7
FEWEST_FLOPS = 5e8  # on one device: below, little is won and the program takes a second longer to compile
PIXELS = 512  # of a part, about: fewer make poor products, more leave the caches
MOST_WASTE = 1.3  # rows of zeros count in a product for all rows of the kernel at once


def as_products(image: Any, window: Any, devices: int, **parameters: Any) -> Callable[..., jax.Array] | None:
    """Return the convolution as a function of both arrays; None where it is no such gradient, or a small one.

    Args:
      image, window: types of the two arrays: the convolution's image, and the gradient of its result.
      devices: those that the program is divided over. Each has equal parts of the batch in turn.
      parameters: those of ``jax.lax.conv_general_dilated_p``.
    """
    numbers = parameters["dimension_numbers"]
    if parameters["feature_group_count"] * parameters["batch_group_count"] > 1 or len(image.shape) != 4:
        return None
    inputs, images = (image.shape[axis] for axis in numbers.lhs_spec[:2])
    sides = [window.shape[axis] for axis in numbers.rhs_spec[2:]]
    whole = grown(
        [image.shape[axis] for axis in numbers.lhs_spec[2:]],
        parameters["padding"],
        parameters["lhs_dilation"],
    )
    spans = [step * (side - 1) for step, side in zip(parameters["rhs_dilation"], sides, strict=True)]
    positions = places(whole, spans, parameters["window_strides"])
    if max(parameters["lhs_dilation"]) > 1 or not 1 < math.prod(positions) <= MOST_POSITIONS:
        return None
    if math.prod(positions) >= math.prod(sides) or images % devices:
        return None
    flops = 2 * images // devices * math.prod(sides) * math.prod(positions) * inputs
    if flops * window.shape[numbers.rhs_spec[0]] < FEWEST_FLOPS:
        return None
    return partial(_gradient, positions=positions, devices=devices, **parameters)


def _gradient(
    image: jax.Array, window: jax.Array, *, positions: list[int], devices: int, **parameters: Any
) -> jax.Array:
    """The sum, over images and pixels, of each position's input channels times the output channels."""
    numbers, (row_step, _) = parameters["dimension_numbers"], parameters["rhs_dilation"]
    image = image.transpose(numbers.lhs_spec[1], *numbers.lhs_spec[2:], numbers.lhs_spec[0])  # [B, H, W, in]
    pull = window.transpose(numbers.rhs_spec[1], *numbers.rhs_spec[2:], numbers.rhs_spec[0])  # [B, …, out]
    rows, columns, outputs = pull.shape[1:]
    (down, across), inputs, row_stride = positions, image.shape[-1], parameters["window_strides"][0]
    reached = (down - 1) * row_stride + (rows - 1) * row_step + 1  # rows that any position reads
    at_once = row_step == 1 and reached <= MOST_WASTE * rows
    count = _parts(image.shape[0] // devices, reached * columns)

    # The parts of one device lie beside each other, so that none reads another's images.
    parts = [a.reshape(devices, count, -1, *a.shape[1:]) for a in (image, pull)]
    each = parts[0].shape[2]
    shifted = jnp.zeros((devices, each, reached, columns, across * inputs), image.dtype)
    pulls = jnp.zeros((devices, each, reached, columns, down * outputs), pull.dtype) if at_once else None
    sums = (
        [jnp.zeros((devices, across * inputs, down * outputs), jnp.float32)]
        if at_once
        else [jnp.zeros((devices, across * inputs, outputs), jnp.float32)] * down
    )

    def add(part: Any, carry: Any) -> Any:
        sums, shifted, pulls = carry
        x, pull = (jax.lax.dynamic_index_in_dim(array, part, 1, keepdims=False) for array in parts)
        shifted = _columns_in_channels(x, shifted, across, parameters)
        if pulls is not None:
            for row in range(down):
                pulls = jax.lax.dynamic_update_slice(pulls, pull, (0, 0, row * row_stride, 0, row * outputs))
            return [sums[0] + _product(shifted, pulls, parameters)], shifted, pulls
        views = (
            shifted[:, :, row * row_stride :][:, :, : (rows - 1) * row_step + 1 : row_step]
            for row in range(down)
        )
        totals = [total + _product(view, pull, parameters) for total, view in zip(sums, views, strict=True)]
        return totals, shifted, pulls

    carry = (sums, shifted, pulls)
    sums = (add(0, carry) if count == 1 else jax.lax.fori_loop(0, count, add, carry))[0]
    # [across * in, down, out] of the sum over devices, which is where they exchange anything
    y = jnp.stack(sums, 2).sum(0).reshape(across, inputs, down, outputs)
    y = y.transpose(1, 2, 0, 3)  # [in, rows, columns, out]
    return as_result(y.astype(parameters["preferred_element_type"] or image.dtype), numbers)


def _parts(images: int, pixels: int) -> int:
    """Into how many equal parts a device's images are divided, from the pixels of one."""
    return next(count for count in range(max(1, images * pixels // PIXELS), 0, -1) if images % count == 0)


def _columns_in_channels(
    x: jax.Array, shifted: jax.Array, across: int, parameters: dict[str, Any]
) -> jax.Array:
    """Write what each column of the kernel reads of an image beside each other; the margins stay zero.

    x: [D, b, H, W, in]; shifted: [D, b, rows, columns, across * in].
    """
    (top, _), (left, _) = parameters["padding"]
    step, stride = parameters["rhs_dilation"][1], parameters["window_strides"][1]
    height, width, inputs = x.shape[2:]
    rows, columns = shifted.shape[2:4]
    first, last = max(0, top), min(rows, height + top)
    for column in range(across):
        start = column * stride - left  # of the image, for the first pixel of the result
        low, high = max(0, -(start // step)), min(columns, (width - 1 - start) // step + 1)
        if first < last and low < high:
            begin = start + low * step
            seen = x[:, :, first - top : last - top, begin : begin + (high - low - 1) * step + 1 : step]
            shifted = jax.lax.dynamic_update_slice(shifted, seen, (0, 0, first, low, column * inputs))
    return shifted


def _product(x: jax.Array, pull: jax.Array, parameters: dict[str, Any]) -> jax.Array:
    """The sums over the pixels of each device: [D, in, out] float32 from [D, b, H, W, in] and [D, …, out]."""
    x, pull = (array.reshape(array.shape[0], -1, array.shape[-1]) for array in (x, pull))
    return jax.lax.dot_general(
        x,
        pull,
        (((1,), (1,)), ((0,), (0,))),
        precision=parameters["precision"],
        preferred_element_type=jnp.float32,
    )
