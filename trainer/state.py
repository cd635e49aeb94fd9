"""The arrays that training updates, and the types of the functions that update them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Arrays = dict[str, jax.Array]  # name in the module tree, like blocks.0.conv1.conv.kernel -> array


class State(NamedTuple):
    """Everything that changes from step to step, and all arrays of a checkpoint."""

    step: jax.Array  # int32 scalar: updates done
    params: Arrays
    stats: Arrays  # running statistics of BatchNorm
    opt: Any  # optimizer state, or an Averaging


class Averaging(NamedTuple):
    """Optimizer state with ``optim.ema``: that of the update rule, and the averaged arrays."""

    rule: Any
    params: Arrays
    stats: Arrays


Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
TrainStep = Callable[[State, Batch], tuple[State, Metrics]]
EvalStep = Callable[[Arrays, Arrays, Batch], Metrics]
