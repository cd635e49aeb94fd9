"""Convolutions that XLA's CPU compiler is slow at, lowered to what it is fast at.

On a CPU, XLA runs the gradient of a 1x1 convolution's kernel at a quarter of a core's peak, and the same sums
as a product of two matrices near the peak. The gradient of a larger kernel is products of matrices too
(``cpu_kernel_gradients``). Depthwise convolutions are sums of shifted products instead (``cpu_depthwise``).
The choice is made where a program is lowered for a CPU: the trace stays the same, a program for another
platform keeps its convolutions whatever machine compiles it, and layers from elsewhere gain too.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.sharding_impls import ShardingContext, SPMDAxisContext
from jax.interpreters import mlir

from trainer.devices import cpu_depthwise, cpu_kernel_gradients, cpu_lowering

Convolution = Callable[[jax.Array, jax.Array], jax.Array]

FLOATS = (jnp.float32, jnp.bfloat16)


def install() -> None:
    """Lower convolutions for CPUs to what is faster there from now on: products, and sums of shifted ones."""
    cpu_lowering.install(jax.lax.conv_general_dilated_p, _faster)


def _devices(context: mlir.LoweringRuleContext) -> int:
    """Over how many devices the compiler divides the arrays: 1 where each device has arrays of its own."""
    axes = context.module_context.axis_context
    if isinstance(axes, SPMDAxisContext):
        return math.prod(size for name, size in axes.mesh.shape.items() if name not in axes.manual_axes)
    return axes.num_devices if isinstance(axes, ShardingContext) else 1


def _faster(context: mlir.LoweringRuleContext, **parameters: Any) -> Convolution | None:
    """The convolution as another function of both arrays; None where XLA's own is as fast."""
    arrays: Any = context.avals_in
    image, window = arrays
    axis_types = image.sharding.mesh.axis_types + window.sharding.mesh.axis_types
    if jax.sharding.AxisType.Explicit in axis_types or image.dtype != window.dtype:
        return None
    if image.dtype not in FLOATS:
        return None
    return (
        as_product(image, window, **parameters)
        or cpu_depthwise.as_sums(image, window, **parameters)
        or cpu_kernel_gradients.as_products(image, window, _devices(context), **parameters)
    )


def as_product(image: Any, window: Any, **parameters: Any) -> Convolution | None:
    """Return the convolution of both arrays as a function of one matrix product; None where it is none.

    Two kinds are: a window of one pixel, also in the gradient of its image, and a window as large as its
    image, which is how the gradient of a window of one pixel is written.

    Args:
      image, window: types of the two arrays.
      parameters: those of ``jax.lax.conv_general_dilated_p``.
    """
    if parameters["feature_group_count"] * parameters["batch_group_count"] > 1:
        return None
    numbers = parameters["dimension_numbers"]
    sizes = [window.shape[axis] for axis in numbers.rhs_spec[2:]]
    if all(size == 1 for size in sizes):
        return lambda image, window: _one_pixel(image, window, parameters)
    spans = [step * (size - 1) + 1 for step, size in zip(parameters["rhs_dilation"], sizes, strict=True)]
    sides = [image.shape[axis] for axis in numbers.lhs_spec[2:]]
    pads, strides = parameters["padding"], parameters["window_strides"]
    if all(step == 1 for step in parameters["lhs_dilation"]) and all(
        max(pair) <= 0 and 0 <= side + sum(pair) - span < stride
        for side, pair, span, stride in zip(sides, pads, spans, strides, strict=True)
    ):
        return lambda image, window: _whole_image(image, window, parameters, spans)
    return None


def _one_pixel(image: jax.Array, window: jax.Array, parameters: dict[str, Any]) -> jax.Array:
    """The product over the features of each pixel that the strides reach."""
    numbers = parameters["dimension_numbers"]
    image = image.transpose(numbers.lhs_spec[0], *numbers.lhs_spec[2:], numbers.lhs_spec[1])  # [B, …, in]
    kernel = window.transpose(numbers.rhs_spec[1], numbers.rhs_spec[0], *numbers.rhs_spec[2:])
    kernel = kernel.reshape(kernel.shape[:2])  # [in, out]
    grows = any(step > 1 for step in parameters["lhs_dilation"]) or np.max(parameters["padding"]) > 0
    if not grows:  # the fewest pixels first
        image = _pixels(image, parameters)
    product = _product(image.reshape(-1, image.shape[-1]), kernel, 1, parameters)
    y = product.reshape(*image.shape[:-1], kernel.shape[1])  # [B, …, out]
    return cpu_depthwise.as_result(_pixels(y, parameters) if grows else y, parameters["dimension_numbers"])


def _pixels(x: jax.Array, parameters: dict[str, Any]) -> jax.Array:
    """The pixels of [B, …, C] that a window of one pixel stops at; zeros between and around them count."""
    steps, pads, strides = (parameters[key] for key in ("lhs_dilation", "padding", "window_strides"))
    inside = [(low, high, step - 1) for (low, high), step in zip(pads, steps, strict=True)]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *inside, (0, 0, 0)])
    return x[(slice(None), *(slice(None, None, stride) for stride in strides))]


def _whole_image(
    image: jax.Array, window: jax.Array, parameters: dict[str, Any], spans: list[int]
) -> jax.Array:
    """The product over features and pixels of a window that has one place only."""
    numbers = parameters["dimension_numbers"]
    image = image.transpose(numbers.lhs_spec[1], *numbers.lhs_spec[2:], numbers.lhs_spec[0])  # [in, …, B]
    kernel = window.transpose(numbers.rhs_spec[1], *numbers.rhs_spec[2:], numbers.rhs_spec[0])  # [in, …, out]
    reached = zip(parameters["padding"], spans, parameters["rhs_dilation"], strict=True)
    image = image[(slice(None), *(slice(-low, -low + span, step) for (low, _), span, step in reached))]
    batch, outputs = image.shape[-1], kernel.shape[-1]
    product = _product(image.reshape(-1, batch), kernel.reshape(-1, outputs), 0, parameters)  # [B, out]
    return cpu_depthwise.as_result(
        product.reshape(batch, *(1 for _ in spans), outputs), parameters["dimension_numbers"]
    )


def _product(x: jax.Array, kernel: jax.Array, axis: int, parameters: dict[str, Any]) -> jax.Array:
    """The product of two matrices over this axis of x and the first of the kernel."""
    arithmetic = {key: parameters[key] for key in ("precision", "preferred_element_type")}
    return jax.lax.dot_general(x, kernel, (((axis,), (0,)), ((), ())), **arithmetic)
