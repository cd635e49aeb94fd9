"""Ahead-of-time compilation of the training and the evaluation step, on flat leaves.

Calling a step with a pytree takes host time that grows with the number of arrays: ResNet-152 has 1,400 with
its optimizer state. So a state is flattened once, the compiled program maps leaves to leaves, and the tree is
built only while tracing. The leaves of the old state are donated: the new state reuses their memory.
"""

import contextlib
import functools
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.stages import Compiled, Lowered, Traced

from trainer.devices import cpu_barrier, host_sums
from trainer.devices.cpu_cache import NO_CACHE, Executables
from trainer.devices.mesh import batch_sharding, replicated
from trainer.devices.model_axis import MODEL, Division
from trainer.devices.state_sharding import of_state
from trainer.runtime.exchange import Exchange
from trainer.runtime.messages import warn
from trainer.runtime.private import open_parent, others_write
from trainer.state import Batch, EvalStep, Metrics, State, TrainStep

CACHED_SECONDS = 0.5  # a program that compiles faster is not worth a file in the cache

Leaves = tuple[jax.Array, ...]


class Later:
    """A program whose compilation waits until there is time for it, or until it is needed.

    Args:
      submit: begins to compile it in a thread.
    """

    def __init__(self, submit: Callable[[], Future[Compiled]]):
        self._submitted = functools.cache(submit)

    def begin(self) -> None:
        """Begin to compile the program, unless that has begun."""
        self._submitted()

    def result(self) -> Compiled:
        """Return the compiled program; wait until it is."""
        return self._submitted().result()


def on_leaves(step: TrainStep, shapes: State) -> Callable[[Leaves, Batch], tuple[Leaves, Metrics]]:
    """Return the step as a function of the state's leaves.

    Args:
      step: the training step on a State.
      shapes: a State with any leaves; only its structure counts.
    """
    treedef = jax.tree.structure(shapes)

    def train_step(leaves: Leaves, batch: Batch) -> tuple[Leaves, Metrics]:
        state, metrics = step(jax.tree.unflatten(treedef, leaves), batch)
        return tuple(jax.tree.leaves(state)), metrics

    return train_step


def compile_init(
    init_state: Callable[[jax.Array], State],
    key: jax.Array,
    mesh: Mesh,
    shardings: State | None = None,
    executables: Executables = NO_CACHE,
):
    """Compile ``key -> State``, replicated unless ``shardings`` says otherwise.

    The program runs once. On CPU, machine-code optimisation of its random numbers takes longer than that of a
    whole training step, so it is off: 2.6 s instead of 15 s for ResNet-18.

    Args:
      init_state: makes the first state from a key.
      key: a typed key, as of ``jax.random.key``.
      mesh: mesh of the run.
      shardings: a State of NamedSharding.
      executables: cache that is searched first.
    """
    options = {"xla_backend_optimization_level": 0} if mesh.devices.flat[0].platform == "cpu" else None
    jitted = jax.jit(init_state, out_shardings=shardings or replicated(mesh), compiler_options=options)
    return executables.compile(jitted.lower(key), "init")


def init_by_operation(init_state: Callable[[jax.Array], State], key: jax.Array, shardings: State) -> State:
    """Return the first state, whose operations are compiled one by one: those of equal shapes once.

    The draws of 1,001 layers take 12 s so. In one program they took more than eight minutes to compile on two
    CPUs. The last bits of a draw may be others than there.

    Args:
      init_state: makes the first state from a key.
      key: a typed key, as of ``jax.random.key``.
      shardings: a State of NamedSharding.
    """

    def placed(array: jax.Array, sharding: NamedSharding) -> jax.Array:
        values = np.asarray(array)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    return jax.tree.map(placed, init_state(key), shardings)


def compile_train(
    step: TrainStep,
    shapes: State,
    batch: dict[str, Any],
    mesh: Mesh,
    executables: Executables = NO_CACHE,
    shard: str = "none",
    division: Division | None = None,
):
    """Compile the training step: ``(leaves, batch) -> (leaves, metrics)``.

    Args:
      step: the training step on a State.
      shapes: a State of ShapeDtypeStruct.
      batch: name -> ShapeDtypeStruct [batch, …] of the global batch.
      mesh: mesh of the run.
      executables: cache that is searched first.
      shard: how the state, and so ``leaves``, is sharded: train.shard.
      division: what the axis ``model`` of the mesh divides, where it has that axis.
    """
    return executables.compile(lower_train(step, shapes, batch, mesh, shard, division), "train")


def lower_train(
    step: TrainStep,
    shapes: State,
    batch: dict[str, Any],
    mesh: Mesh,
    shard: str = "none",
    division: Division | None = None,
) -> Lowered:
    """Lower the training step for a mesh whose devices need not be attached; see ``compile_train``."""
    everywhere = replicated(mesh)
    shardings = tuple(jax.tree.leaves(of_state(mesh, shapes, shard, division)))
    gathered = of_state(mesh, shapes, "none", division).params

    def gathering_step(state: State, batch: Batch) -> tuple[State, Metrics]:
        # Without this constraint the partitioner may shard the images over their channels instead.
        params = jax.lax.with_sharding_constraint(state.params, gathered)
        return step(state._replace(params=params), batch)

    jitted = jax.jit(
        on_leaves(gathering_step if shard == "all" else step, shapes),
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, everywhere),
        donate_argnums=0,
        compiler_options=cpu_barrier.options(mesh.devices.flat[0].platform),
    )
    with _axes_of(mesh), host_sums.tracing(mesh):
        return _lower(jitted.trace(tuple(jax.tree.leaves(shapes)), batch), mesh)


def compile_eval(
    step: EvalStep,
    shapes: State,
    batch: dict[str, Any],
    mesh: Mesh,
    executables: Executables = NO_CACHE,
    division: Division | None = None,
):
    """Compile the evaluation step: ``(leaves of (params, stats), batch) -> sums``; see ``compile_train``."""
    return executables.compile(lower_eval(step, shapes, batch, mesh, division), "eval")


def lower_eval(
    step: EvalStep, shapes: State, batch: dict[str, Any], mesh: Mesh, division: Division | None = None
) -> Lowered:
    """Lower the evaluation step for a mesh whose devices need not be attached; see ``compile_train``."""
    treedef = jax.tree.structure((shapes.params, shapes.stats))

    def eval_step(leaves: Leaves, batch: Batch) -> Metrics:
        params, stats = jax.tree.unflatten(treedef, leaves)
        return step(params, stats, batch)

    state = of_state(mesh, shapes, "none", division)
    shardings = tuple(jax.tree.leaves((state.params, state.stats)))
    jitted = jax.jit(
        eval_step,
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=replicated(mesh),
        compiler_options=cpu_barrier.options(mesh.devices.flat[0].platform),
    )
    with _axes_of(mesh):
        return _lower(jitted.trace(tuple(jax.tree.leaves((shapes.params, shapes.stats))), batch), mesh)


def _axes_of(mesh: Mesh) -> contextlib.AbstractContextManager[Any]:
    """Tell a step that is traced which axes the mesh has, where its program depends on one of them."""
    if MODEL not in mesh.shape and mesh.shape["slice"] == 1:
        return contextlib.nullcontext()
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def _lower(traced: Traced, mesh: Mesh) -> Lowered:
    """Lower for TPU by name, because a TPU that is not attached has no backend; else for this process."""
    tpu = mesh.devices.flat[0].platform == "tpu"
    return traced.lower(lowering_platforms=("tpu",) if tpu else None)


def use_cache(choice: str, run_dir: str, platform: str) -> Executables:
    """Set up a persistent cache of compiled programs, so that a restart loads them.

    Whoever can write the folder can run code in the pods. "auto" is a folder in the run's directory, whose
    checkpoints the pods trust already.

    Args:
      choice: "off", "auto", or a folder: a path or gs://….
      run_dir: the run's directory.
      platform: "cpu", "gpu" or "tpu".

    Returns:
      The cache of CPU hosts; one without a folder elsewhere, where JAX's own cache is switched on.
    """
    if choice == "off":
        return NO_CACHE
    folder = f"{run_dir}/compile-cache" if choice == "auto" else choice
    trusted = _is_trusted(folder)
    if platform == "cpu" and jax.process_count() > 1:
        return Executables(folder if trusted else None, Exchange())
    if not trusted:
        return NO_CACHE
    if platform == "cpu":
        return Executables(folder)
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", CACHED_SECONDS)
    return NO_CACHE


def _is_trusted(folder: str) -> bool:
    """Return whether only this user and root can put programs into a folder; warn if others can."""
    path = Path(folder)
    if "://" in folder:
        return True
    if not path.exists():
        with contextlib.suppress(OSError):  # whoever writes a program reports it
            path.mkdir(mode=0o700, parents=True)
        return True
    link = path.is_symlink() and path.lstat().st_uid not in (0, os.geteuid())
    if not link and not others_write(path) and not open_parent(path):
        return True
    warn(
        f"train.compile_cache: {folder} is not used, because other users may write to it; "
        f"chmod go-w it, or name a folder of this user"
    )
    return False


def batch_shapes(local: dict[str, np.ndarray], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of the global batch, name -> [batch, …], from arrays [n, …] of one host."""
    return {name: jax.ShapeDtypeStruct((batch, *a.shape[1:]), a.dtype) for name, a in local.items()}
