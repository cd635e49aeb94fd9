"""A value that a program for a CPU computes once, where it would be computed again in each of its uses.

XLA's CPU compiler fuses elementwise operations into every operation that reads them. A sum of residual
branches, and that of their gradients, is so computed again from all its terms in each block: the work grows
with the square of the depth, and strides through memory where a use transposes. XLA has a barrier against
that, which its CPU compiler takes out before it fuses, unless it is asked not to (``OPTIONS``). Programs for
other platforms have no barrier, because their compilers decide this well.
"""

from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

# Options of jax.jit for a program on a CPU, without which its barriers do nothing.
OPTIONS = {"xla_disable_hlo_passes": "cse_barrier_expander"}


def options(platform: str = "") -> dict[str, Any] | None:
    """Return the options of jax.jit for a program on a platform; None: there are none.

    Args:
      platform: "cpu", "gpu" or "tpu"; empty: that of the default device.
    """
    return dict(OPTIONS) if (platform or jax.default_backend()) == "cpu" else None


def once(x: jax.Array) -> jax.Array:
    """Return x, which a program for a CPU computes once for all uses; likewise the gradient of x.

    Args:
      x: an array of any shape and dtype.
    """
    return _once_p.bind(x)


def _lowered_for_cpu(context: mlir.LoweringRuleContext, x: Any) -> Any:
    return mlir.lower_fun(jax.lax.optimization_barrier, multiple_results=False)(context, x)


_once_p = Primitive("once")
_once_p.def_impl(lambda x: x)
_once_p.def_abstract_eval(lambda x: x)
ad.deflinear2(_once_p, lambda gradient, x: [once(gradient)])
batching.defvectorized(_once_p)
mlir.register_lowering(_once_p, lambda context, x: [x])
mlir.register_lowering(_once_p, _lowered_for_cpu, platform="cpu")
