"""The arrays that training changes, and the types of the functions that change them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Arrays = dict[str, jax.Array]  # name in the module tree, like blocks.0.conv1.conv.kernel -> array


class State(NamedTuple):
    """All that changes from step to step, and all that a checkpoint holds."""

    step: jax.Array  # int32, updates done
    params: Arrays
    stats: Arrays  # running statistics of BatchNorm
    opt: Any  # optimizer state, or an Averaging


class Averaging(NamedTuple):
    """Optimizer state and, with ``optim.ema``, averages of parameters and running statistics."""

    rule: Any
    params: Arrays
    stats: Arrays


Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
TrainStep = Callable[[State, Batch], tuple[State, Metrics]]
EvalStep = Callable[[Arrays, Arrays, Batch], Metrics]
