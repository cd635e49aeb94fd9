"""How dtypes may mix in a traced function: strictly in our own steps, by JAX's standard in calls of optax."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def strict_promotion(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return the function, which refuses to mix dtypes without an explicit conversion.

    The check is made while the function is traced. It costs a compiled program nothing.

    Raises:
      jax.dtypes.TypePromotionError: when called, where two arrays of different dtypes meet.
    """
    return _with_promotion("strict", function)


def standard_promotion(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return a function of optax, which may mix dtypes although its caller may not.

    optax 0.2.8 does so with its int32 count of updates: ``1 - decay**count`` in Adam's bias correction,
    ``count / steps`` in a schedule. Our own code converts dtypes explicitly.
    """
    return _with_promotion("standard", function)


def _with_promotion(mode: str, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    @functools.wraps(function)
    def promoting(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with jax.numpy_dtype_promotion(mode):
            return function(*args, **kwargs)

    return promoting
