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
from jax.stages import Lowered, Traced

from trainer.devices.cpu_cache import KEEP_NOTHING, Executables
from trainer.devices.mesh import batch_sharding, replicated
from trainer.devices.state_sharding import of_state
from trainer.state import Batch, EvalStep, Metrics, State, TrainStep

CACHED_SECONDS = 0.5  # programs that compile faster than this are not worth a file

Leaves = tuple[jax.Array, ...]


def on_leaves(step: TrainStep, shapes: State) -> Callable[[Leaves, Batch], tuple[Leaves, Metrics]]:
    """The same step as a function of the state's leaves. ``shapes``: a State of anything with a shape."""
    treedef = jax.tree.structure(shapes)

    def train_step(leaves: Leaves, batch: Batch) -> tuple[Leaves, Metrics]:
        state, metrics = step(jax.tree.unflatten(treedef, leaves), batch)
        return tuple(jax.tree.leaves(state)), metrics

    return train_step


def compile_init(
    init_state: Callable[[jax.Array], State], key: jax.Array, mesh: Mesh, shardings: State | None = None
):
    """Compiles ``key -> State``, a copy on every device unless ``shardings`` says otherwise.

    It runs once, and on CPU the optimiser of machine code takes longer over its random numbers than over a
    whole training step: 15 s of ResNet-18's, 2.6 s without.
    """
    options = {"xla_backend_optimization_level": 0} if mesh.devices.flat[0].platform == "cpu" else None
    where = shardings or replicated(mesh)
    jitted = jax.jit(init_state, out_shardings=where, compiler_options=options)
    return jitted.lower(key).compile()


def compile_train(
    step: TrainStep,
    shapes: State,
    batch: dict[str, Any],
    mesh: Mesh,
    executables: Executables = KEEP_NOTHING,
    shard: str = "none",
):
    """Compiles the training step: ``(leaves, batch) -> (leaves, metrics)``.

    Args:
      shapes: a State of ShapeDtypeStruct.
      batch: name -> ShapeDtypeStruct of the global batch.
      executables: where the program is looked for first.
      shard: what of the state is divided, and of ``leaves`` with it (sharding.of_state).
    """
    return executables.compile(lower_train(step, shapes, batch, mesh, shard))


def lower_train(
    step: TrainStep, shapes: State, batch: dict[str, Any], mesh: Mesh, shard: str = "none"
) -> Lowered:
    """The training step for the devices of a mesh, which need not be here."""
    same = replicated(mesh)
    shardings = tuple(jax.tree.leaves(of_state(mesh, shapes, shard)))

    def whole_step(state: State, batch: Batch) -> tuple[State, Metrics]:
        # Gathered here: left to itself, the partitioner may divide images over their channels instead.
        params = jax.lax.with_sharding_constraint(state.params, same)
        return step(state._replace(params=params), batch)

    jitted = jax.jit(
        on_leaves(whole_step if shard == "all" else step, shapes),
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, same),
        donate_argnums=0,
    )
    return _lower(jitted.trace(tuple(jax.tree.leaves(shapes)), batch), mesh)


def compile_eval(
    step: EvalStep, shapes: State, batch: dict[str, Any], mesh: Mesh, executables: Executables = KEEP_NOTHING
):
    """Compiles the evaluation step: ``(leaves of (params, stats), batch) -> sums``."""
    return executables.compile(lower_eval(step, shapes, batch, mesh))


def lower_eval(step: EvalStep, shapes: State, batch: dict[str, Any], mesh: Mesh) -> Lowered:
    """The evaluation step for the devices of a mesh, which need not be here."""
    treedef = jax.tree.structure((shapes.params, shapes.stats))

    def eval_step(leaves: Leaves, batch: Batch) -> Metrics:
        params, stats = jax.tree.unflatten(treedef, leaves)
        return step(params, stats, batch)

    same = replicated(mesh)
    jitted = jax.jit(eval_step, in_shardings=(same, batch_sharding(mesh)), out_shardings=same)
    return _lower(jitted.trace(tuple(jax.tree.leaves((shapes.params, shapes.stats))), batch), mesh)


def _lower(traced: Traced, mesh: Mesh) -> Lowered:
    """TPUs that are not here have no backend to ask; the other platforms go by the one of this process."""
    tpu = mesh.devices.flat[0].platform == "tpu"
    return traced.lower(lowering_platforms=("tpu",) if tpu else None)


def use_cache(choice: str, run_dir: str, platform: str) -> Executables:
    """Keeps compiled programs in a folder, so that a restart loads them.

    Whoever can write the folder can run code in the pods; "auto" is the run's own directory, which is
    trusted with the checkpoints already.
    """
    folder = f"{run_dir}/compile-cache" if choice == "auto" else choice
    if choice == "off":
        return KEEP_NOTHING
    if platform == "cpu":
        return Executables(folder)
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", CACHED_SECONDS)
    return KEEP_NOTHING


def batch_shapes(local: dict[str, np.ndarray], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of the global batch from one host's part of it."""
    return {name: jax.ShapeDtypeStruct((batch, *a.shape[1:]), a.dtype) for name, a in local.items()}
