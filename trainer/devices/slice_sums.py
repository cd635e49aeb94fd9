"""Gradients of a step that each slice adds up by itself, so that they cross the slow network once.

Between slices is the data-centre network, inside them a much faster one. Inside ``each_slice`` the axis
``slice`` of the mesh is manual: a function sees the examples of its own slice, and what is exchanged between
slices is written out below. The other axes are left to the partitioner, as everywhere else.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

from trainer.devices.model_axis import in_groups
from trainer.devices.state_sharding import divided_axis
from trainer.state import Arrays

SLICE, DATA = "slice", "data"  # axes of the mesh, see trainer.devices.mesh


def number() -> int:
    """Return the slices of the mesh that the program is traced for; 1 where none is known."""
    return dict(jax.sharding.get_abstract_mesh().shape).get(SLICE, 1)


def separable(groups: int, shared: bool) -> bool:
    """Return whether the traced step may run slice by slice, and gains by it.

    Args:
      groups: equal parts of the batch, in order, that have BatchNorm statistics of their own.
      shared: whether the network has such statistics. A group must then lie on one device: one on several
        slices is exchanged in every layer, and for one on several devices of a slice the compiler predicts a
        slower step (1,564 images/s for 2,053, ResNet-50 on two slices of v5e-8 in two parts).
    """
    devices = jax.sharding.get_abstract_mesh().size
    return number() > 1 and not in_groups() and not (shared and groups % devices)


def each_slice(function: Callable[..., Any], arrays: Any, key: jax.Array | None, batch: Any) -> Any:
    """Call ``function(arrays, key, batch)`` on each slice's examples; its result is equal on every slice.

    Args:
      function: a traceable function. It must reduce what it returns with ``mean`` or ``mean_of_gradients``.
      arrays: a tree of arrays, such as parameters, which every device gets whole.
      key: a scalar key, the same on every slice; or None.
      batch: a tree of arrays [B, ...], divided over the slices in order.
    """

    def on_slice(arrays: Any, key: jax.Array | None, batch: Any) -> Any:
        # Spelled out: else the partitioner may divide images over their channels, as gradients are divided.
        arrays = jax.tree.map(lambda a: _constrained(a, PartitionSpec(*[None] * a.ndim)), arrays)
        return function(arrays, key, jax.tree.map(lambda a: _constrained(a, PartitionSpec(DATA)), batch))

    return jax.shard_map(
        on_slice,
        in_specs=(PartitionSpec(), PartitionSpec(), PartitionSpec(SLICE)),
        out_specs=PartitionSpec(),
        axis_names={SLICE},
        check_vma=False,
    )(arrays, key, batch)


def _alone_on() -> tuple[str, ...]:
    """Return the axes that are manual: a slice is alone on the first, a device on both (``host_sums``)."""
    manual = jax.sharding.get_abstract_mesh().manual_axes
    return tuple(axis for axis in (SLICE, DATA) if axis in manual)


def parts() -> int:
    """Return into how many equal parts the examples are divided of which the traced function sees one."""
    shape = jax.sharding.get_abstract_mesh().shape
    return math.prod(shape[axis] for axis in _alone_on())


def own_groups(groups: int) -> int:
    """Return how many of the groups of a batch the traced function sees."""
    return groups // parts() if groups > 1 else groups


def mean(tree: Any) -> Any:
    """Return the mean over the slices of each array."""
    return jax.lax.pmean(tree, SLICE)


def own_rows(draw: Callable[[int], jax.Array], rows: int) -> jax.Array:
    """Return ``draw(rows)``, [rows, ...]: alone, on a slice or a device, its rows of the whole batch's draw.

    Args:
      draw: a function of the number of examples, such as draws of dropout.
      rows: examples that the traced function sees.
    """
    if not (axes := _alone_on()):
        return draw(rows)
    drawn = draw(rows * parts())
    index = jax.lax.axis_index(axes if len(axes) > 1 else SLICE)
    return jax.lax.dynamic_slice_in_dim(drawn, index * rows, rows)


def divided(gradients: Arrays) -> Arrays:
    """Return gradients, by name, each divided over the devices of the slice along its longest axis.

    Each device then sends a part of the sum to the other slices. What does not divide stays whole.
    """
    # Whole first: else the partitioner may divide the images over their channels, as the kernels are.
    return _divided(_whole(gradients))


def mean_of_gradients(gradients: Arrays, dtypes: dict[str, Any], whole: bool) -> Arrays:
    """Return the mean over the slices of divided gradients, in the dtypes that they have.

    Args:
      gradients: float32 arrays by name, as ``divided`` returns them.
      dtypes: name -> dtype in which an array is summed over the slices.
      whole: whether each device gets all of each array.
    """
    sent = {name: array.astype(dtypes[name]) for name, array in gradients.items()}
    # On both sides: else the sum is made whole before it crosses, and each device sends all of it.
    sums = _divided(jax.lax.psum(_divided(sent), SLICE))
    sums = _whole(sums) if whole else sums
    return {name: sums[name].astype(array.dtype) / number() for name, array in gradients.items()}


def _divided(gradients: Arrays) -> Arrays:
    return {name: _constrained(array, _spec(array)) for name, array in gradients.items()}


def _whole(gradients: Arrays) -> Arrays:
    return {name: _constrained(a, PartitionSpec(*[None] * a.ndim)) for name, a in gradients.items()}


def _spec(array: jax.Array) -> PartitionSpec:
    spec: list[Any] = [None] * array.ndim
    axis = divided_axis(array.shape, dict(jax.sharding.get_abstract_mesh().shape)[DATA])
    if axis is not None:
        spec[axis] = DATA
    return PartitionSpec(*spec)


def _constrained(array: jax.Array, spec: PartitionSpec) -> jax.Array:
    return jax.lax.with_sharding_constraint(array, spec)
