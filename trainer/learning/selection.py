"""Exactly so many of the largest numbers of an array, without sorting it.

A sort would compile for seconds per layer and gather an array that is sharded. A bisection over the bits of
the numbers, then one over their places among equals, takes 62 sums over the array instead.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

BITS = 31  # of a non-negative float32 or int32


def largest(scores: jax.Array, count: ArrayLike, among: jax.Array | None = None) -> jax.Array:
    """Return where the ``count`` largest scores are: bool in their shape, with exactly so many True.

    Of equal scores the first in row-major order are taken.

    Args:
      scores: float32 of any shape, none below 0.
      count: how many, a whole number or a scalar int32; at most as many as there are.
      among: bool in the same shape: which of them may be taken; None: all.
    """
    bits = jax.lax.bitcast_convert_type(scores, jnp.int32)  # ordered as the floats, which are not negative
    bits = bits if among is None else jnp.where(among, bits, -1)
    places = jnp.arange(scores.size, dtype=jnp.int32).reshape(scores.shape)
    wanted = jnp.asarray(count, jnp.int32)

    def at_least(bound: jax.Array) -> jax.Array:
        return jnp.sum(bits >= bound, dtype=jnp.int32) >= wanted

    # The largest bound that still has enough scores at or above it.
    bound = _last(at_least)
    above, equal = bits > bound, bits == bound
    left = wanted - jnp.sum(above, dtype=jnp.int32)

    def few_enough(place: jax.Array) -> jax.Array:
        return jnp.sum(equal & (places < place), dtype=jnp.int32) <= left

    # The first places among equals: their number grows by at most one from a place to the next.
    return above | (equal & (places < _last(few_enough)))


def largest_of_groups(scores: jax.Array, count: int, length: int) -> jax.Array:
    """Return where the ``count`` largest of each group of ``length`` consecutive inputs are, as bool.

    Of equal scores the first inputs are taken.

    Args:
      scores: [..., inputs, outputs] float32; ``length`` divides the inputs.
      count, length: N and M of the pattern N:M (Zhou et al. 2021, arXiv:2102.04010).
    """
    *before, inputs, outputs = scores.shape
    groups = scores.reshape(*before, inputs // length, length, outputs)
    mine, others = groups[..., :, None, :], groups[..., None, :, :]  # [..., mine, others, outputs]
    earlier = jnp.tril(jnp.ones((length, length), bool), -1)[..., None]
    ahead = (others > mine) | ((others == mine) & earlier)
    return (jnp.sum(ahead, axis=-2, dtype=jnp.int32) < count).reshape(scores.shape)


def _last(holds: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Return the largest int32 from 0 for which ``holds`` is True; up to it, it is, and after it, not."""

    def refine(i: jax.Array, known: jax.Array) -> jax.Array:
        candidate = known | jnp.left_shift(jnp.int32(1), jnp.int32(BITS - 1) - i)
        return jnp.where(holds(candidate), candidate, known)

    return jax.lax.fori_loop(0, BITS, refine, jnp.int32(0))
