"""Sparse training: an optimizer around another one, with a mask of each sparse kernel in its state.

"static" draws the masks once. "set" (Mocanu et al. 2018, arXiv:1707.04780) and "rigl" (Evci et al. 2020,
arXiv:1911.11134, algorithm 1) move some weights from time to time: the smallest are dropped, and others grow,
at random places or where the gradient is largest. "magnitude" starts dense and prunes by a cubic schedule
(Zhu and Gupta 2017, arXiv:1710.01878, equation 1). As in jaxpruner, a step that moves weights also updates
them; the paper of RigL leaves that update out.
"""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from trainer.config import SparseConfig, TrainConfig
from trainer.learning import sparsity
from trainer.learning.selection import largest, largest_of_groups
from trainer.learning.sparsity import Kernel
from trainer.state import Arrays

SALT = 0x737061  # the stream of masks, keyed by (seed, step, number of the layer)


class SparseState(NamedTuple):
    """State of the optimizer.

    Attributes:
      rule: state of the optimizer inside.
      masks: name -> bool in the shape of the kernel, True where it has a weight.
      count: scalar int32, updates done.
    """

    rule: Any
    masks: Arrays
    count: jax.Array


def wrap(
    optimizer: optax.GradientTransformation, config: TrainConfig, steps: int
) -> optax.GradientTransformation:
    """Return the optimizer of a run with ``sparse.method``; the same one where that is "none".

    Args:
      optimizer: the update rule of the weights that are left.
      config: settings of the run.
      steps: updates of the whole run.
    """
    if config.sparse.method == "none":
        return optimizer

    def init(params: Arrays) -> SparseState:
        layers = kernels_of(config, params)
        masks = {layer.name: _first_mask(config, layer, i) for i, layer in enumerate(layers)}
        return SparseState(optimizer.init(masked(params, masks)), masks, jnp.zeros((), jnp.int32))

    def update(grads: Arrays, state: SparseState, params: Arrays) -> tuple[Arrays, SparseState]:
        layers, masks = kernels_of(config, params), state.masks
        inner, rule = optimizer.update(masked(grads, masks), state.rule, cast(Any, params))
        updates, count = masked(cast(Arrays, inner), masks), state.count + 1
        moved = {layer.name: params[layer.name] + updates[layer.name] for layer in layers}

        def renew() -> tuple[Arrays, Any]:
            schedule = Schedule(config.sparse, steps, count)
            new = {
                layer.name: _renewed(
                    config, schedule, layer, i, masks[layer.name], moved[layer.name], grads[layer.name]
                )
                for i, layer in enumerate(layers)
            }
            return new, _masked_state(rule, new)

        if config.sparse.method != "static":
            masks, rule = jax.lax.cond(due(config.sparse, steps, count), renew, lambda: (masks, rule))
        # A weight that is dropped becomes exactly 0; one that grows starts there.
        exact = {name: jnp.where(mask, updates[name], -params[name]) for name, mask in masks.items()}
        return updates | exact, SparseState(rule, masks, count)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def kernels_of(config: TrainConfig, params: Arrays) -> list[Kernel]:
    """Return the sparse kernels among parameters; see ``sparsity.kernels``."""
    return sparsity.kernels(config, {name: array.shape for name, array in params.items()})


def masked(arrays: Arrays, masks: Arrays) -> Arrays:
    """Return the arrays with 0 where their mask is False; those without a mask as they are."""
    return arrays | {name: jnp.where(mask, arrays[name], 0.0) for name, mask in masks.items()}


def pruned(rule: Any, arrays: Arrays) -> Arrays:
    """Return parameters, or an average of them, with the zeros of an optimizer's state.

    Args:
      rule: state of the optimizer; without ``sparse.method`` the arrays stay as they are.
      arrays: float32 arrays by name.
    """
    return masked(arrays, rule.masks) if isinstance(rule, SparseState) else arrays


class Schedule(NamedTuple):
    """The settings at an update.

    Attributes:
      config: settings of sparsity.
      steps: updates of the whole run.
      count: scalar int32, updates done, this one included.
    """

    config: SparseConfig
    steps: int
    count: jax.Array

    def dropped_share(self) -> jax.Array:
        """Return the share of the weights that move: a half cosine to 0 (arXiv:1911.11134, section 3)."""
        progress = self.count.astype(jnp.float32) / max(1, round(self.config.end * self.steps))
        return self.config.drop / 2 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0.0, 1.0)))

    def pruned_share(self) -> jax.Array:
        """Return the share of its zeros that a layer has by now, 0 to 1 (arXiv:1710.01878, equation 1)."""
        begin, end = (round(share * self.steps) for share in (self.config.begin, self.config.end))
        progress = (self.count - begin).astype(jnp.float32) / max(1, end - begin)
        return 1 - (1 - jnp.clip(progress, 0.0, 1.0)) ** 3


def due(config: SparseConfig, steps: int, count: jax.Array) -> jax.Array:
    """Return whether masks change with an update: each ``every_steps``, from the begin to the end.

    RigL and SET begin at once and leave out the end. A magnitude schedule ends with the whole sparsity.
    """
    end = round(config.end * steps)
    if config.method != "magnitude":
        return (count % config.every_steps == 0) & (count < end)
    begin = round(config.begin * steps)
    regular = ((count - begin) % config.every_steps == 0) & (count >= begin) & (count < end)
    return regular | (count == max(1, end))


def _first_mask(config: TrainConfig, layer: Kernel, number: int) -> jax.Array:
    if config.sparse.method == "magnitude":
        return jnp.ones(layer.shape, bool)
    return _select(config, layer, _draws(config, 0, number, layer.shape), layer.active)


def _draws(config: TrainConfig, step: Any, number: int, shape: tuple[int, ...]) -> jax.Array:
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.train.seed ^ SALT), step), number)
    return jax.random.uniform(key, shape)


def _select(config: TrainConfig, layer: Kernel, scores: jax.Array, count: Any) -> jax.Array:
    """Return the mask of the largest scores: ``count`` of the layer, or N of each group of M inputs."""
    if groups := sparsity.pattern(config.sparse):
        return largest_of_groups(scores, *groups)
    return largest(scores, count)


def _renewed(
    config: TrainConfig,
    schedule: Schedule,
    layer: Kernel,
    number: int,
    mask: jax.Array,
    weights: jax.Array,
    grad: jax.Array,
) -> jax.Array:
    """Return the new mask of a layer; arrays are in its shape, the gradient is that of all weights."""
    sizes = jnp.where(mask, jnp.abs(weights), 0.0)
    if config.sparse.method == "magnitude":
        zeros = layer.size - layer.active
        ended = schedule.count >= round(config.sparse.end * schedule.steps)
        by_now = jnp.floor(schedule.pruned_share() * zeros).astype(jnp.int32)
        return _select(config, layer, sizes, layer.size - jnp.where(ended, zeros, by_now))
    dropped = jnp.floor(schedule.dropped_share() * layer.active).astype(jnp.int32)
    kept = largest(sizes, layer.active - dropped, mask)
    growth = (
        jnp.abs(grad)
        if config.sparse.method == "rigl"
        else _draws(config, schedule.count, number, layer.shape)
    )
    if not sparsity.pattern(config.sparse):
        return kept | largest(growth, dropped, ~kept)
    # What is kept comes before all that may grow in its group.
    return _select(config, layer, jnp.where(kept, jnp.inf, growth), layer.active)


def _masked_state(rule: Any, masks: Arrays) -> Any:
    """Return the inner state with 0 where no weight is, so that one that grows has no momentum."""

    def mend(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        mask = masks.get(getattr(path[-1], "key", "")) if path else None
        return (
            leaf if mask is None or mask.shape != leaf.shape else jnp.where(mask, leaf, jnp.zeros_like(leaf))
        )

    return jax.tree_util.tree_map_with_path(mend, rule)


def active_counts(state: SparseState) -> dict[str, jax.Array]:
    """Return the number of weights of each sparse kernel, scalar int32 by name."""
    count = functools.partial(jnp.sum, dtype=jnp.int32)
    return {name: count(mask) for name, mask in state.masks.items()}
