"""The mesh axis ``model``: tensor parallelism, in which devices of a slice share one copy of a network.

The devices of a group see the same images. Each computes some of the heads and hidden units of every block
(Shoeybi et al. 2019, arXiv:1909.08053, section 3): one all-reduce after the attention and one after the MLP
add up what the devices of a group have, and one before each in the backward pass.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
from jax.sharding import PartitionSpec

from trainer.errors import ConfigError

MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the arrays of a network are divided over the devices of a group.

    Attributes:
      counts: what the devices must divide evenly, by name, such as {"heads": 12, "hidden units": 3072}.
      axis: ``axis(name of an array)`` returns which of its axes is divided; None: each device has all of it.
    """

    counts: Mapping[str, int]
    axis: Callable[[str], int | None]


def check_axis(size: int, arch: str, division: Division | None, devices: int) -> None:
    """Check that ``mesh.model`` suits a network and the slices of a run.

    Args:
      size: value of ``mesh.model``.
      arch: name of the network, for the message.
      division: of the network; None where it has no such axis.
      devices: devices of one slice.

    Raises:
      ConfigError: it does not; the hint says what would.
    """
    if size == 1:
        return
    if division is None:
        text = f"mesh.model: must be 1 for {arch}, whose layers cannot be divided over devices, got {size}"
        raise ConfigError(text, "--set train.shard=all divides the state of every network")
    counts = {**division.counts, "devices of a slice": devices}
    if any(count % size for count in counts.values()):
        *first, last = (f"{count} {name}" for name, count in counts.items())
        most = math.gcd(*counts.values())
        fitting = ", ".join(str(number) for number in range(1, most + 1) if most % number == 0)
        raise ConfigError(
            f"mesh.model: must divide the {', '.join(first)} of {arch} and the {last}, got {size}",
            f"--set mesh.model={most}; what divides all of them: {fitting}",
        )


def divided(x: jax.Array, axis: int) -> jax.Array:
    """Return x with an axis divided over the devices of a group; x itself where the mesh has no such axis.

    Args:
      x: an activation of any shape; its other axes stay as they are.
      axis: axis to divide, counted from 0 or from the end.
    """
    return _constrained(x, PartitionSpec.UNCONSTRAINED, axis % x.ndim)


def divided_weights(x: jax.Array, axis: int) -> jax.Array:
    """Return a parameter of any shape with one axis divided, and its other axes whole; see ``divided``."""
    return _constrained(x, None, axis % x.ndim)


def undivided(x: jax.Array) -> jax.Array:
    """Return activations, [B, ..., features], of which each device of a group has all; see ``divided``."""
    if not in_groups():
        return x
    spec = PartitionSpec(PartitionSpec.UNCONSTRAINED, *[None] * (x.ndim - 1))
    return jax.lax.with_sharding_constraint(x, spec)


def in_groups() -> bool:
    """Return whether the program that is traced is for a mesh with the axis ``model``."""
    return MODEL in jax.sharding.get_abstract_mesh().axis_names


def _constrained(x: jax.Array, others: object, axis: int) -> jax.Array:
    if not in_groups():
        return x
    spec = [MODEL if i == axis else others for i in range(x.ndim)]
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec))
