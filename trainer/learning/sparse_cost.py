"""What sparse training leaves of a network: its parameters, and the theoretical FLOPs of a forward pass.

Accelerators multiply zeros as fast as other numbers, so that these FLOPs are not saved; they are what papers
compare.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from trainer.config import TrainConfig
from trainer.learning import sparse
from trainer.models.network import Init, Network
from trainer.state import Arrays, Metrics


def measure_of(
    net: Network, init: Init, config: TrainConfig, image: tuple[int, int, int]
) -> Callable[[Any], Metrics]:
    """Return a function of the optimizer's state that gives the metrics ``nonzeros`` and ``sparse_gflop``.

    Args:
      net, init: the network, as ``network.build`` returns it.
      config: settings of the run.
      image: height, width and channels of an image.

    Raises:
      ConfigError: a layer cannot have its sparsity; see ``sparsity.kernels``.
    """
    params, stats = jax.eval_shape(init, jax.random.key(0))
    layers = sparse.kernels_of(config, params)
    flops, total = forward_flops(net, params, stats, image)
    size = sum(math.prod(array.shape) for array in params.values())

    def measure(state: sparse.SparseState) -> Metrics:
        counts = sparse.active_counts(state)
        zeros = {layer.name: (layer.size - counts[layer.name]).astype(jnp.float32) for layer in layers}
        saved = [zeros[layer.name] * (flops.get(layer.name, 0) / layer.size / 1e9) for layer in layers]
        gone = sum((zeros[layer.name] / size for layer in layers), start=jnp.zeros(()))
        return {"nonzeros": 1 - gone, "sparse_gflop": total / 1e9 - sum(saved, start=jnp.zeros(()))}

    return measure


def forward_flops(
    net: Network, params: Arrays, stats: Arrays, image: tuple[int, int, int]
) -> tuple[dict[str, int], int]:
    """Return the FLOPs of one image's forward pass by kernel, and in all: convolutions and matrix products.

    A multiplication and its addition count as two. Zeros of the padding count too, as in published figures.

    Args:
      net: the network.
      params, stats: its arrays by name, or their shapes.
      image: height, width and channels of an image.
    """
    names = list(params)

    def forward(values: list[jax.Array], stats: Arrays, images: jax.Array) -> jax.Array:
        return net.apply(dict(zip(names, values, strict=True)), stats, images, train=False)[0]

    images = jax.ShapeDtypeStruct((1, *image), jnp.float32)
    closed = jax.make_jaxpr(forward)([params[name] for name in names], stats, images)
    by_kernel: dict[str, int] = {}
    inputs = zip(closed.jaxpr.invars[: len(names)], names, strict=True)
    sources = {variable: {name: math.prod(params[name].shape)} for variable, name in inputs}
    total = _walk(closed.jaxpr, sources, by_kernel, 1)
    return by_kernel, total


STACKING = frozenset({"stack", "concatenate"})  # operations of JAX that put arrays into one
Sizes = dict[str, int]  # name -> size of each parameter that an array is made of; a stack has several


def _walk(jaxpr: Any, sources: dict[Any, Sizes], by_kernel: dict[str, int], times: int) -> int:
    """Add up the FLOPs of a jaxpr, and by kernel.

    Kernels of equal blocks are stacked for a scan. Each has its share of the FLOPs of the stack.

    Args:
      sources: variable -> the parameters that it is made of; what is computed from kernels alone is added.
      times: how often the jaxpr runs.
    """
    total = 0
    for equation in jaxpr.eqns:
        operands = [v for v in equation.invars if isinstance(v, core.Var)]
        owners = [sources[v] for v in operands if v in sources and _kernels(sources[v])]
        flops = times * _flops(equation)
        for inner, repeats in _inside(equation):
            # The last operands are those of the inner function, whatever stands before them.
            offset = len(equation.invars) - len(inner.invars)
            outer = equation.invars[max(offset, 0) :]
            passed = {i: sources[o] for i, o in zip(inner.invars, outer, strict=False) if _known(o, sources)}
            total += _walk(inner, passed, by_kernel, times * repeats)
            results = zip(equation.outvars, inner.outvars, strict=False)
            sources |= {o: passed[i] for i, o in results if isinstance(i, core.Var) and i in passed}
        total += flops
        if flops:
            for names in owners:
                for name, size in names.items():
                    share = flops * size // sum(names.values())
                    by_kernel[name] = by_kernel.get(name, 0) + share
        elif owners and not list(_inside(equation)) and _alone(equation, owners):
            together = {name: size for names in owners for name, size in names.items()}
            sources |= dict.fromkeys(equation.outvars, together)
    return total


def _kernels(names: Sizes) -> bool:
    return all(name.rpartition(".")[2] == "kernel" for name in names)


def _alone(equation: Any, owners: list[Sizes]) -> bool:
    """Return whether the result of an equation is made of one kernel, or is a stack of several."""
    return equation.primitive.name in STACKING or all(names == owners[0] for names in owners)


def _known(variable: Any, sources: dict[Any, Sizes]) -> bool:
    return isinstance(variable, core.Var) and variable in sources


def _inside(equation: Any):
    """Yield each jaxpr inside an equation, and how often it runs."""
    repeats = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
    for name, value in equation.params.items():
        if name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
            yield getattr(value, "jaxpr", value), repeats


def _flops(equation: Any) -> int:
    results = [v.aval.shape for v in equation.outvars]
    if equation.primitive.name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval.shape, equation.params["dimension_numbers"]
        outputs = kernel[numbers.rhs_spec[0]]
        return 2 * math.prod(results[0]) * math.prod(kernel) // outputs
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2 * math.prod(results[0]) * math.prod(left[axis] for axis in contracted)
    return 0
