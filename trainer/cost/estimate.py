"""What a step will cost, counted from its traced operations: an estimate, where no compiler can be asked.

The basis: convolutions and matrix products read each operand once and write each result once. What the TPU
compiler (libtpu 0.0.42) makes of that for v4, 256 images a device:

==========  ==================  ====================  =============================
network     FLOPs, of counted   traffic, of counted   activations, of counted results
==========  ==================  ====================  =============================
ResNet-18   0.93                1.73                  0.94
ResNet-50   0.97                1.31                  0.52
ResNet-152  0.96                1.26                  0.49
==========  ==================  ====================  =============================

For GPUs no compiler was asked: their factor makes of the count the 286 MB an image and more that ResNet-50 is
known to move in practice. docs/explanations/prediction.md compares what follows from it with measured speeds.
"""

import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.extend import core

PRODUCTS = ("conv_general_dilated", "dot_general")
TRAFFIC = {"tpu": 1.4, "gpu": 2.8, "cpu": 2.8}  # activations are left as counted, on the safe side


def estimate(platform: str, step: Any, *arguments: Any) -> dict[str, int]:
    """FLOPs, bytes moved and bytes of activations of one device's step.

    Args:
      platform: "tpu", "gpu" or "cpu": how well operations are fused.
      step: the training or the evaluation step.
      arguments: of ShapeDtypeStruct, for the batch of one device.
    """
    flops, moved, held = 0, 0, 0
    for equation, times in _products(jax.make_jaxpr(step)(*arguments).jaxpr):
        inputs, [output] = [v.aval for v in equation.invars], [v.aval for v in equation.outvars]
        flops += times * _flops(equation, inputs, output)
        moved += times * sum(map(nbytes, [*inputs, output]))
        held += nbytes(output)
    return {"flops": flops, "bytes": round(TRAFFIC[platform] * moved), "activations": held}


def _products(jaxpr: core.Jaxpr, times: int = 1) -> Iterator[tuple[core.JaxprEqn, int]]:
    """The equations that are worth counting, those of inner functions too, and how often each is done.

    What each turn of a loop leaves takes the place of the one before.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name in PRODUCTS:
            yield equation, times
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if isinstance(inner, core.Jaxpr):
                yield from _products(inner, times * turns)


def _flops(equation: core.JaxprEqn, inputs: list[Any], output: Any) -> int:
    """Two for each multiplication and addition."""
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2 * output.size * math.prod(inputs[0].shape[axis] for axis in contracted)
    numbers = equation.params["dimension_numbers"]
    kernel = inputs[1].shape
    depth = math.prod(kernel[axis] for axis in numbers.rhs_spec[1:])
    # The gradient of a convolution with a stride is one over an image with zeros between its pixels.
    return 2 * output.size * depth // int(np.prod(equation.params["lhs_dilation"]))


def nbytes(array: Any) -> int:
    """Of anything with a shape and a dtype."""
    return int(np.prod(array.shape)) * array.dtype.itemsize
