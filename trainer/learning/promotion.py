"""The exceptions to strict dtype promotion: calls into optax, which mixes dtypes without a conversion."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def standard_promotion(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return the function, traced under JAX's standard dtype promotion.

    Strict promotion refuses what optax 0.2.8 does with its int32 count of updates: ``1 - decay**count`` in
    Adam's bias correction, ``count / steps`` in a schedule. Wrap only functions of optax. Our own code
    converts dtypes explicitly.

    Raises:
      whatever the function raises.
    """

    @functools.wraps(function)
    def promoting(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return promoting
