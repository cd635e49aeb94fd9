"""Equal blocks one after another, as a loop or as one scanned block, with rematerialisation.

A scan compiles one block in the place of all: minutes become seconds for deep networks. The parameters keep
a name per block, so that checkpoints, optimizers that look at single arrays, and exports see no difference.
They come stacked (``trainer.models.stacks``), or are stacked inside the step. Without rematerialisation a
scan keeps all arrays of all blocks.
"""

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
from flax import nnx

from trainer.config import ModelConfig
from trainer.devices import cpu_barrier
from trainer.errors import ConfigError
from trainer.models import sight, stacks

# model.remat -> policy of jax.checkpoint: what a block keeps for its gradient; None: everything.
POLICIES: dict[str, Callable[..., Any] | None] = {
    "none": None,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}
Call = Callable[[Any, jax.Array, Any], jax.Array]


def repeat(
    blocks: Sequence[nnx.Module], x: jax.Array, each: Any, model: ModelConfig, call: Call
) -> jax.Array:
    """Return x after all blocks, whose running statistics are updated in place.

    Args:
      blocks: modules with the same structure, attributes and shapes.
      x: input of the first block; each block returns an array of the same shape and dtype, unless there is
        only one.
      each: a tree of arrays [number of blocks, ...]: what differs between the blocks, such as keys and drop
        rates; None where nothing does.
      model: its ``repeat`` is "loop" or "scan", and its ``remat`` "none", "dots" or "full".
      call: ``call(block, x, part)`` returns the block's output; ``part`` is the block's row of ``each``.

    Raises:
      ConfigError: the blocks are not equal.
    """
    taken_apart = [nnx.split(block) for block in blocks]
    graphdef = taken_apart[0][0]
    if different := [i for i, (other, _) in enumerate(taken_apart) if other != graphdef]:
        raise ConfigError(f"model.repeat: blocks must be equal, block {different[0]} differs from the first")

    def run(x: jax.Array, inputs: tuple[nnx.State, Any]) -> tuple[jax.Array, nnx.State]:
        state, part = inputs
        block = nnx.merge(graphdef, state)
        y = cpu_barrier.once(call(block, x, part))
        return y, nnx.state(block, nnx.BatchStat)

    scanned = model.repeat == "scan" and len(blocks) > 1
    if POLICIES[model.remat] is not None:
        # In a scan nothing merges the computations of the two passes, which preventing would slow down.
        run = jax.checkpoint(run, policy=POLICIES[model.remat], prevent_cse=not scanned)
    states = [state for _, state in taken_apart]
    parts = [jax.tree.map(lambda array, i=i: array[i], each) for i in range(len(blocks))]
    if scanned:
        stacked = jax.tree.map(lambda *arrays: stacks.stack(arrays), *states)
        x, after = jax.lax.scan(run, x, (stacked, each))
        stats = _of_each(after, len(blocks))
    else:
        stats = []
        for state, part in zip(states, parts, strict=True):
            x, changed = run(x, (state, part))
            stats.append(changed)
    for block, changed in zip(blocks, stats, strict=True):
        nnx.update(block, changed)
    return x


def _of_each(after: nnx.State, blocks: int) -> list[nnx.State]:
    """Return the state of each block, from arrays [blocks, ...]."""
    rows = [stacks.rows_of(array) for array in jax.tree.leaves(after)]
    return [jax.tree.unflatten(jax.tree.structure(after), [of[i] for of in rows]) for i in range(blocks)]


def repeat_equal(
    blocks: Sequence[nnx.Module],
    shapes: Sequence[Hashable],
    x: jax.Array,
    each: Any,
    model: ModelConfig,
    call: Call,
) -> jax.Array:
    """Return x after all blocks, of which neighbours with the same shape are repeated.

    What comes out of each group is named for ``trainer.models.sight``.

    Args:
      blocks: modules; those with the same shape have the same structure and attributes.
      shapes: a shape for each block, equal where the blocks are.
      x: input of the first block.
      each, model, call: as for ``repeat``.
    """
    done = 0
    for _, group in itertools.groupby(shapes):
        part = slice(done, done + len(list(group)))
        of_part = jax.tree.map(lambda array, part=part: array[part], each)
        x = sight.spatial(repeat(list(blocks)[part], x, of_part, model, call))
        done = part.stop
    return x
