"""Sharding of a state over the devices of a slice, as train.shard sets it (ZeRO, arXiv:1910.02054).

``none`` shards nothing. ``optimizer`` shards the optimizer state and averaged weights (ZeRO-1). ``all`` also
shards the parameters (ZeRO-3), which a step gathers before it uses them. Every slice holds a whole state, so
that gathering never crosses the data-centre network. Statistics of BatchNorm are small and always replicated.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.devices.mesh import replicated
from trainer.state import State

MIN_ELEMENTS = 2**14  # gathering a smaller array costs more than its copies


def of_state(mesh: Mesh, shapes: State, shard: str) -> State:
    """Return a State of NamedSharding.

    Args:
      mesh: mesh of the run.
      shapes: a State of arrays, or of anything else with a shape.
      shard: "none", "optimizer" or "all".
    """
    everywhere = replicated(mesh)

    def divided(part: Any) -> Any:
        return jax.tree.map(lambda leaf: _divided(mesh, leaf.shape), part)

    def copied(part: Any) -> Any:
        return jax.tree.map(lambda leaf: everywhere, part)

    return State(
        step=copied(shapes.step),
        params=divided(shapes.params) if shard == "all" else copied(shapes.params),
        stats=copied(shapes.stats),
        opt=copied(shapes.opt) if shard == "none" else divided(shapes.opt),
    )


def gatherer(mesh: Mesh, shard: str) -> Callable[[Any], Any]:
    """Return a function that replicates a sharded tree, for evaluation and for a checkpoint."""
    if shard == "none":
        return lambda tree: tree
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))


def _divided(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """Return a sharding along the longest axis that divides evenly; replicated where there is none."""
    count = mesh.shape["data"]
    axes = [axis for axis, length in enumerate(shape) if length % count == 0]
    if not axes or math.prod(shape) < MIN_ELEMENTS:
        return replicated(mesh)
    longest = max(axes, key=lambda axis: shape[axis])
    return NamedSharding(mesh, PartitionSpec(*[None] * longest, "data"))
