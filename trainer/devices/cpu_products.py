"""Products of two matrices over their rows, as a weight's gradient is, in the form that XLA's CPU runs fast.

The gradient of a matrix is a product over all examples and places. XLA's CPU compiler copies one operand
transposed for it, the larger as often as the smaller, and leaves the fast product that it has for all others.
Here the smaller operand comes first. Where the result is small, both stay as they are. Where it is large, the
first is transposed, and XLA takes its fast product. The choice is made where a program is lowered for a
CPU: the trace stays the same, and programs for other platforms are the same bytes.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core.primitives import dot_general_p

from trainer.devices import cpu_lowering

LEAST_WORK = 1 << 20  # multiplications of a product that is worth another form
FEW_NUMBERS = 1 << 19  # of a result up to which both operands stay as they are: 2 MiB, by measurement


def install() -> None:
    """Lower products over rows for CPUs to what is faster there from now on."""
    cpu_lowering.install(
        dot_general_p, lambda context, **parameters: over_rows(*context.avals_in, **parameters)
    )


def over_rows(x: Any, y: Any, **parameters: Any) -> Callable[[jax.Array, jax.Array], jax.Array] | None:
    """Return a product over the first axes of both arrays, [..., n] and [..., m], as a function of them.

    None where it is another product, small, or in the best form.

    Args:
      x, y: types of the two arrays.
      parameters: those of ``jax.lax.dot_general``'s primitive.
    """
    (x_axes, y_axes), (batch_axes, _) = parameters["dimension_numbers"]
    first_axes = tuple(range(x.ndim - 1))
    axis_types = x.sharding.mesh.axis_types + y.sharding.mesh.axis_types
    if batch_axes or not first_axes or tuple(x_axes) != first_axes or tuple(y_axes) != first_axes:
        return None
    if x.ndim != y.ndim or any(array.dtype != jnp.float32 for array in (x, y)):
        return None
    if parameters["out_sharding"] is not None or jax.sharding.AxisType.Explicit in axis_types:
        return None
    n, m = x.shape[-1], y.shape[-1]
    if x.size * m < LEAST_WORK or min(n, m) == 1:
        return None
    few, count = n * m <= FEW_NUMBERS, x.size // n
    if few and x.ndim == 2 and n <= m:
        return None
    # JAX transposes the result for the gradient of a matrix [m, n]. That is free where y comes first; else it
    # costs n x m numbers, besides the count x n of x, and XLA's own form at most the count x m of y.
    if not few and n < m and n * m + count * n > count * m:
        return None
    arithmetic = {key: parameters[key] for key in ("precision", "preferred_element_type")}

    def function(x: jax.Array, y: jax.Array) -> jax.Array:
        x, y = x.reshape(count, n), y.reshape(count, m)
        first, second = (x, y) if n < m else (y, x)
        if few:
            product = jax.lax.dot_general(first, second, (((0,), (0,)), ((), ())), **arithmetic)
        else:
            columns = jax.lax.optimization_barrier(first.T)
            product = jax.lax.dot_general(columns, second, (((1,), (0,)), ((), ())), **arithmetic)
        # Without this barrier XLA merges a transposition of the result into the product, which undoes this.
        product = jax.lax.optimization_barrier(product)
        return product if n < m else product.T  # [n, m]

    return function
