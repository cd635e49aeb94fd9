"""Gradients that each device of several CPU hosts adds up by itself, so that the hosts exchange few arrays.

Gloo, which exchanges arrays between CPU hosts, sends one array after the other, and each takes a millisecond
however small it is. The partitioner would exchange every gradient by itself, and every sum of every
BatchNorm. Inside ``each_device`` all axes of the mesh are manual: a function sees the examples of its own
device, and what is exchanged is written out below.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from trainer.devices.model_axis import in_groups
from trainer.devices.slice_sums import DATA, SLICE

AXES = SLICE, DATA
SMALL_BYTES = 1 << 20  # a larger array is sent by itself: packing it costs as much as it saves

_hosts: ContextVar[bool] = ContextVar("hosts", default=False)


@contextlib.contextmanager
def tracing(mesh: Mesh) -> Iterator[None]:
    """Tell a step that is traced in this block whether its mesh is that of several CPU hosts."""
    hosts = mesh.devices.flat[0].platform == "cpu" and mesh.is_multi_process
    token = _hosts.set(hosts)
    try:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh) if hosts else contextlib.nullcontext():
            yield
    finally:
        _hosts.reset(token)


def separable(groups: int, shared: bool) -> bool:
    """Return whether the traced step is for several CPU hosts, and may run device by device.

    Args:
      groups: equal parts of the batch, in order, that have BatchNorm statistics of their own.
      shared: whether the network has such statistics. Parts must be whole on a device, or the batch be one.
    """
    devices = jax.sharding.get_abstract_mesh().size
    return _hosts.get() and not in_groups() and (not shared or groups == 1 or groups % devices == 0)


def each_device(function: Callable[..., Any], arrays: Any, key: jax.Array | None, batch: Any) -> Any:
    """Call ``function(arrays, key, batch)`` on each device's examples; its result is equal on every device.

    Args:
      function: a traceable function, which must reduce what it returns with ``mean``.
      arrays: a tree of arrays, such as parameters, which every device gets whole.
      key: a scalar key, the same on every device; or None.
      batch: a tree of arrays [B, ...], divided over the devices in order.
    """
    return jax.shard_map(
        function,
        in_specs=(PartitionSpec(), PartitionSpec(), PartitionSpec(AXES)),
        out_specs=PartitionSpec(),
        check_vma=False,
    )(arrays, key, batch)


def mean(tree: Any) -> Any:
    """Return the mean over the devices of each float32 array; small ones are sent as one."""
    leaves, treedef = jax.tree.flatten(tree)
    small = [i for i, leaf in enumerate(leaves) if leaf.nbytes < SMALL_BYTES]
    packed = jnp.concatenate([leaves[i].ravel() for i in small])
    large = {i: leaf for i, leaf in enumerate(leaves) if i not in small}
    packed, large = jax.lax.pmean((packed, large), AXES)
    ends = np.cumsum([leaves[i].size for i in small])
    parts = jnp.split(packed, ends[:-1])
    means = large | {i: part.reshape(leaves[i].shape) for i, part in zip(small, parts, strict=True)}
    return jax.tree.unflatten(treedef, [means[i] for i in range(len(leaves))])
