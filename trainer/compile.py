"""Ahead-of-time compilation of the two steps, on flat leaves.

A step called through its pytree costs time on the host that grows with the number of arrays (ResNet-152 has
1,400 with its optimizer state). So a state is flattened once, the compiled program maps leaves to leaves,
and the tree is put together only while tracing. The leaves of the old state are donated: their memory
becomes the new state's.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from trainer.mesh import batch_sharding, replicated
from trainer.step import Batch, EvalStep, Metrics, State, TrainStep

CACHED_SECONDS = 0.5  # programs that compile faster than this are not worth a file

Leaves = tuple[jax.Array, ...]


def on_leaves(step: TrainStep, shapes: State) -> Callable[[Leaves, Batch], tuple[Leaves, Metrics]]:
    """The same step as a function of the state's leaves. ``shapes``: a State of anything with a shape."""
    treedef = jax.tree.structure(shapes)

    def flat_step(leaves: Leaves, batch: Batch) -> tuple[Leaves, Metrics]:
        state, metrics = step(jax.tree.unflatten(treedef, leaves), batch)
        return tuple(jax.tree.leaves(state)), metrics

    return flat_step


def compile_train(step: TrainStep, shapes: State, batch: dict[str, Any], mesh: Mesh):
    """Compiles the training step: ``(leaves, batch) -> (leaves, metrics)``.

    Args:
      shapes: a State of ShapeDtypeStruct.
      batch: name -> ShapeDtypeStruct of the global batch.
    """
    same = replicated(mesh)
    jitted = jax.jit(
        on_leaves(step, shapes),
        in_shardings=(same, batch_sharding(mesh)),
        out_shardings=(same, same),
        donate_argnums=0,
    )
    return jitted.lower(tuple(jax.tree.leaves(shapes)), batch).compile()


def compile_eval(step: EvalStep, shapes: State, batch: dict[str, Any], mesh: Mesh):
    """Compiles the evaluation step: ``(leaves of (params, stats), batch) -> sums``."""
    treedef = jax.tree.structure((shapes.params, shapes.stats))

    def flat_step(leaves: Leaves, batch: Batch) -> Metrics:
        params, stats = jax.tree.unflatten(treedef, leaves)
        return step(params, stats, batch)

    same = replicated(mesh)
    jitted = jax.jit(flat_step, in_shardings=(same, batch_sharding(mesh)), out_shardings=same)
    return jitted.lower(tuple(jax.tree.leaves((shapes.params, shapes.stats))), batch).compile()


def use_cache(choice: str, run_dir: str) -> None:
    """Keeps compiled programs in a folder, so that a restart loads them.

    Whoever can write the folder can run code in the pods; "auto" is the run's own directory, which is
    trusted with the checkpoints already.
    """
    if choice != "off":
        folder = f"{run_dir}/compile-cache" if choice == "auto" else choice
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", CACHED_SECONDS)


def batch_shapes(local: dict[str, np.ndarray], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of the global batch from one host's part of it."""
    return {name: jax.ShapeDtypeStruct((batch, *a.shape[1:]), a.dtype) for name, a in local.items()}
