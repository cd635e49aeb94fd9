"""Sharding of a state over the devices of a slice, as train.shard and mesh.model set it.

ZeRO (arXiv:1910.02054) is train.shard.

``none`` shards nothing. ``optimizer`` shards the optimizer state and averaged weights (ZeRO-1). ``all`` also
shards the parameters (ZeRO-3), which a step gathers before it uses them. Every slice holds a whole state, so
that gathering never crosses the data-centre network. Statistics of BatchNorm are small and always replicated.

mesh.model divides the arrays that a network's ``Division`` names, and their optimizer state. A step uses them
as they lie. train.shard divides what is left of them along another axis.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jax.tree_util import DictKey

from trainer.devices.mesh import replicated
from trainer.devices.model_axis import MODEL, Division
from trainer.state import Arrays, State

MIN_ELEMENTS = 2**14  # gathering a smaller array costs more than its copies


def of_state(mesh: Mesh | AbstractMesh, shapes: State, shard: str, division: Division | None = None) -> State:
    """Return a State of NamedSharding.

    Args:
      mesh: mesh of the run.
      shapes: a State of arrays, or of anything else with a shape.
      shard: "none", "optimizer" or "all".
      division: what the axis ``model`` of the mesh divides, where the mesh has that axis.
    """

    def sharding(path: Sequence[Any], leaf: Any, over_data: bool) -> NamedSharding:
        axis = _model_axis(path, leaf, shapes.params, division) if MODEL in mesh.shape else None
        return _sharding(mesh, leaf.shape, axis, over_data)

    def sharded(part: Any, over_data: bool) -> Any:
        return jax.tree.map_with_path(lambda path, leaf: sharding(path, leaf, over_data), part)

    return State(
        step=sharded(shapes.step, False),
        params=sharded(shapes.params, shard == "all"),
        stats=sharded(shapes.stats, False),
        opt=sharded(shapes.opt, shard != "none"),
    )


def gatherer(mesh: Mesh, shard: str) -> Callable[[Any], Any] | None:
    """Return a function that replicates a sharded tree; None where nothing is sharded."""
    if shard == "none" and MODEL not in mesh.shape:
        return None
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))


def gatherer_for_evaluation(
    mesh: Mesh, shapes: State, shard: str, division: Division | None = None
) -> Callable[[Any], Any]:
    """Return a function of (parameters, statistics) that undoes train.shard, and leaves mesh.model."""
    if shard == "none" and MODEL not in mesh.shape:
        return lambda tree: tree
    shardings = of_state(mesh, shapes, "none", division)
    return jax.jit(lambda tree: tree, out_shardings=(shardings.params, shardings.stats))


def divided_axis(shape: Sequence[int], count: int, taken: int | None = None) -> int | None:
    """Return the longest axis that divides evenly; None where none does, or where dividing is not worth it.

    Args:
      shape: of the array.
      count: how many devices there are.
      taken: an axis that is divided already.
    """
    axes = [axis for axis, length in enumerate(shape) if length % count == 0 and axis != taken]
    if not axes or math.prod(shape) < MIN_ELEMENTS:
        return None
    return max(axes, key=lambda axis: shape[axis])


def _model_axis(path: Sequence[Any], leaf: Any, params: Arrays, division: Division | None) -> int | None:
    """Return which axis of a leaf is divided over ``model``: of a parameter, or of its optimizer state.

    Optimizers keep their arrays by the name of the parameter, and some keep one number in its place.
    """
    name = next((key.key for key in reversed(path) if isinstance(key, DictKey)), None)
    if division is None or name not in params or params[name].shape != leaf.shape:
        return None
    return division.axis(name)


def _sharding(
    mesh: Mesh | AbstractMesh, shape: tuple[int, ...], model: int | None, over_data: bool
) -> NamedSharding:
    """Return a sharding of one axis over ``model`` and, if asked for, of the longest other one over ``data``.

    An axis must divide evenly; where none does, ``data`` divides nothing.
    """
    spec: list[str | None] = [None] * len(shape)
    if model is not None:
        spec[model] = MODEL
    if over_data and (axis := divided_axis(shape, mesh.shape["data"], model)) is not None:
        spec[axis] = "data"
    while spec and spec[-1] is None:
        spec.pop()
    return NamedSharding(mesh, PartitionSpec(*spec))
