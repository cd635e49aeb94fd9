"""Estimated cost of a step, counted from its traced operations, for platforms whose compiler is not here.

Each convolution and matrix product is counted as reading each operand once and writing its result once. The
TPU compiler (libtpu 0.0.42) for v4 with 256 images per device gives these multiples of the counts:

==========  =====  =======  ===========
network     FLOPs  traffic  activations
==========  =====  =======  ===========
ResNet-18   0.93   1.73     0.94
ResNet-50   0.97   1.31     0.52
ResNet-152  0.96   1.26     0.49
==========  =====  =======  ===========

The factor for GPUs comes from no compiler. It raises the count to the traffic that ResNet-50 is known to have
in practice, 286 MB per image and more. docs/explanations/prediction.md compares the predictions with measured
speeds.
"""

import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.extend import core

PRODUCTS = ("conv_general_dilated", "dot_general")
# Factor on the counted traffic. Activations have none: the count errs on the side of more memory.
TRAFFIC = {"tpu": 1.4, "gpu": 2.8, "cpu": 2.8}


def estimate(platform: str, step: Any, *arguments: Any) -> dict[str, int]:
    """Estimate the cost of one step on one device.

    Args:
      platform: "tpu", "gpu" or "cpu"; it sets how well operations are assumed to be fused.
      step: the training or the evaluation step.
      arguments: pytrees of ShapeDtypeStruct, with the batch of one device.

    Returns:
      ``flops``, ``bytes`` of traffic with the device's memory, and bytes of ``activations``.
    """
    flops, traffic, activations = 0, 0, 0
    for equation, times in _products(jax.make_jaxpr(step)(*arguments).jaxpr):
        inputs, [output] = [v.aval for v in equation.invars], [v.aval for v in equation.outvars]
        flops += times * _flops(equation, inputs, output)
        traffic += times * sum(map(nbytes, [*inputs, output]))
        activations += nbytes(output)
    return {"flops": flops, "bytes": round(TRAFFIC[platform] * traffic), "activations": activations}


def loop_factor(step: Any, *arguments: Any) -> float:
    """Return the FLOPs of a step as a multiple of those of a count that takes each loop for one iteration.

    XLA's own cost analysis counts so. Loops are the parts of an accumulated batch, scanned blocks and the
    iterations of an equilibrium model.

    Args:
      step: the training or the evaluation step.
      arguments: pytrees of ShapeDtypeStruct, of any batch.
    """
    real, once = 0, 0
    with jax.transfer_guard("allow"):  # of the constants of the step
        traced = jax.make_jaxpr(step)(*arguments)
    for equation, times in _products(traced.jaxpr):
        count = _flops(equation, [v.aval for v in equation.invars], equation.outvars[0].aval)
        real, once = real + times * count, once + count
    return real / once if once else 1.0


def _products(jaxpr: core.Jaxpr, times: int = 1) -> Iterator[tuple[core.JaxprEqn, int]]:
    """Yield every convolution and matrix product, also of inner functions, with how often it runs."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in PRODUCTS:
            yield equation, times
        trips = equation.params["length"] if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if isinstance(inner, core.Jaxpr):
                yield from _products(inner, times * trips)


def _flops(equation: core.JaxprEqn, inputs: list[Any], output: Any) -> int:
    """FLOPs of one equation; a multiplication and its addition are two."""
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2 * output.size * math.prod(inputs[0].shape[axis] for axis in contracted)
    numbers = equation.params["dimension_numbers"]
    kernel = inputs[1].shape
    depth = math.prod(kernel[axis] for axis in numbers.rhs_spec[1:])
    # The gradient of a strided convolution runs over an image with zeros in it, which cost nothing.
    return 2 * output.size * depth // int(np.prod(equation.params["lhs_dilation"]))


def nbytes(array: Any) -> int:
    """Bytes of an array, or of anything else with a shape and a dtype."""
    return int(np.prod(array.shape)) * array.dtype.itemsize
