"""What of a state is divided over the devices of a slice, and what every device has a copy of.

``none``: nothing is divided. ``optimizer``: what the optimizer keeps, and averaged weights (ZeRO-1). ``all``:
the parameters too (ZeRO-3); a step gathers them before it uses them. It is divided inside a slice and copied
to every slice, so that gathering never crosses the data-centre network. Statistics of BatchNorm are small and
are never divided.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.devices.mesh import replicated
from trainer.state import State

LEAST = 2**14  # elements: gathering a smaller array costs more than its copies


def of_state(mesh: Mesh, shapes: State, shard: str) -> State:
    """A State of NamedSharding. ``shapes``: a State of anything with a shape."""
    same = replicated(mesh)

    def divided(part: Any) -> Any:
        return jax.tree.map(lambda leaf: _divided(mesh, leaf.shape), part)

    def copied(part: Any) -> Any:
        return jax.tree.map(lambda leaf: same, part)

    return State(
        step=copied(shapes.step),
        params=divided(shapes.params) if shard == "all" else copied(shapes.params),
        stats=copied(shapes.stats),
        opt=copied(shapes.opt) if shard == "none" else divided(shapes.opt),
    )


def gatherer(mesh: Mesh, shard: str) -> Callable[[Any], Any]:
    """A function that copies all of a divided tree to every device, for evaluation and for a checkpoint."""
    if shard == "none":
        return lambda tree: tree
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))


def _divided(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """Along the longest axis that divides evenly; whole where there is none."""
    count = mesh.shape["data"]
    axes = [axis for axis, length in enumerate(shape) if length % count == 0]
    if not axes or math.prod(shape) < LEAST:
        return replicated(mesh)
    longest = max(axes, key=lambda axis: shape[axis])
    return NamedSharding(mesh, PartitionSpec(*[None] * longest, "data"))
