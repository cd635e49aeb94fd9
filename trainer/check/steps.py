"""Cost of a run's own steps on hardware that is not here: from its compiler, or estimated."""

import argparse
import importlib.metadata
import os
import re
import sys
import time
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding

from trainer import imports
from trainer.check.result import PROGRESS, STEPS, CheckResult, Collective, Memory, StepResult
from trainer.config import DataConfig, TrainConfig
from trainer.cost import tpu_layout, traffic
from trainer.cost.collectives import collectives
from trainer.cost.estimate import estimate, nbytes
from trainer.data import datasets, pipeline
from trainer.data.formats import synthetic
from trainer.data.source import Source
from trainer.data.storage import ABSENT, GRANT
from trainer.devices import compilation, mesh, state_sharding
from trainer.devices.batches import check_batch
from trainer.devices.model_axis import MODEL, check_axis
from trainer.errors import ConfigError, DataError, StorageError, TrainError, first_line
from trainer.models import network
from trainer.program import Program, make_program
from trainer.registry import DATASETS

PACKAGES = ("jax", "flax", "libtpu")

# Messages of the compiler for a program that is too large for HBM; two of its passes report it.
OUT_OF_MEMORY = (
    re.compile(
        r"Used (?P<used>[\d.]+)(?P<used_unit>[KMGT]?) of (?P<limit>[\d.]+)(?P<limit_unit>[KMGT]?) hbm"
    ),
    re.compile(
        r"\((?P<used>[\d.]+)(?P<used_unit>[KMGT]?)\) exceeds available HBM "
        r"\((?P<limit>[\d.]+)(?P<limit_unit>[KMGT]?)\)"
    ),
)
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def check(config: TrainConfig, args: argparse.Namespace) -> CheckResult:
    """Compile or estimate the run's steps for the slice that the flags describe.

    Args:
      config: the run's configuration.
      args: the flags of ``python -m trainer.check``, and ``folder``, where the compiler dumps programs.

    Returns:
      The result, with sizes in bytes per device.

    Raises:
      ConfigError: the configuration, the slice or ``--steps`` is wrong, or the compiler is not installed.
      DataError: the data is on this machine and is not a dataset.
      TrainError: the compiler refuses a step for another reason than its size.
    """
    chosen = chosen_steps(args.steps)
    platform, _, number = args.estimate.partition(":")
    described = None if platform else topology(args)
    devices, model = len(described) if described else int(number), config.mesh.model
    if model > 1:
        division = network.find(config.model.arch).division
        check_axis(model, config.model.arch, division, devices // args.slices)
    grid = mesh.make_mesh(args.slices, described, model) if described else None
    check_batch(devices, config.train.batch, config.train.accumulate, model)
    train, test, assumed = sources(config.data)
    program = make_program(config, train, test, platform or "tpu")
    result: CheckResult = {
        "estimated": grid is None,
        "code": bool(grid and args.code),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES if grid or name != "libtpu"},
        "device_kind": grid.devices.flat[0].device_kind if grid else platform,
        "devices": devices,
        "model": model,
        "batch": config.train.batch,
        "accumulate": config.train.accumulate,
        "bn_group": config.model.bn_group,
        "assumed": assumed,
        "image": list(train.image_shape),
        "examples": train.size,
        "steps": program.plan.steps,
        "steps_per_epoch": program.plan.steps_per_epoch,
        "evaluations": evaluations(program, config, test.size),
        "parameters": sum(int(np.prod(a.shape)) for a in program.shapes.params.values()),
    }
    examples = config.train.batch if grid else config.train.batch * model // devices
    for name, sample in samples(config, train, test).items():
        if name in chosen:
            batch = compilation.batch_shapes(sample, examples)
            if grid:
                result[name] = compile_step(name, program, batch, grid, args)
            else:
                result[name] = estimate_step(name, program, batch, platform, devices)
    return result


def chosen_steps(names: str) -> list[str]:
    """Split the value of ``--steps``: "train", "eval" or "train,eval".

    Raises:
      ConfigError: a name is unknown, or there is none.
    """
    chosen = names.split(",")
    if not set(chosen) <= set(STEPS):
        raise ConfigError(f"--steps: must be {', '.join(STEPS)} or {','.join(STEPS)}, got '{names}'")
    return chosen


def sources(config: DataConfig) -> tuple[Source, Source, str]:
    """Return the training and the test split, and why they are not the run's own; "" where they are.

    A path that only the pods have, or a bucket without access from here, is replaced by synthetic splits with
    the number of examples and classes of ImageNet-1k.

    Raises:
      DataError: the data is on this machine and is not a dataset.
    """
    try:
        is_named = config.name in DATASETS or imports.is_object(config.name)
        if is_named or "://" in config.name or os.path.exists(config.name):
            return *datasets.load_both(config), ""
        why = f"{config.name} is not on this machine"
    except (DataError, StorageError) as error:
        if isinstance(error, DataError) and error.hint not in (ABSENT, GRANT):
            raise
        why = first_line(error, 300).partition(". ")[0]
    return synthetic.load("train", config), synthetic.load("test", config), why


def samples(config: TrainConfig, train: Source, test: Source) -> dict[str, dict[str, Any]]:
    """Return a batch of one example for each step, as the run's own pipeline makes it: arrays [1, …]."""
    rows, size = np.arange(1), config.train.batch
    stream = pipeline.TrainStream(size=train.size, batch=size, seed=config.train.seed)
    return {
        "train": next(pipeline.train_batches(train, stream, rows, range(1), config.data)),
        "eval": next(pipeline.eval_batches(test, size, rows, config.data)),
    }


def topology(args: argparse.Namespace) -> list[Any]:
    """Return the devices of the slices, as the compiler describes them.

    Args:
      args: ``topology``, ``host_bounds``, ``chip_config``, ``wrap`` and ``slices``, as in the flags.

    Raises:
      ConfigError: the compiler is not installed, or does not know the generation.
    """
    from jax.experimental import topologies

    progress("asking the compiler for the slice")
    try:
        importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(
            "the TPU compiler is not installed", "pip install '.[check]' in a checkout"
        ) from None
    options: dict[str, Any] = {"chips_per_host_bounds": _numbers(args.host_bounds)}
    if args.chip_config != "default":
        options["chip_config_name"] = args.chip_config
    if args.wrap:
        options["wrap"] = tuple(map(bool, _numbers(args.wrap)))
    if args.slices > 1:
        options["num_slices"] = args.slices
    try:
        description = topologies.get_topology_desc(platform="tpu", topology_name=args.topology, **options)
    except Exception as error:  # libtpu raises many types; only the text says what is wrong
        version = importlib.metadata.version("libtpu")
        why = first_line(error, 300)
        raise ConfigError(f"libtpu {version} cannot compile for {args.topology}: {why}") from None
    return list(description.devices)


def compile_step(
    name: str, program: Program, batch: dict[str, Any], grid: Mesh, args: argparse.Namespace
) -> StepResult:
    """Compile one step for the mesh and return its cost on one device.

    Args:
      name: "train" or "eval".
      program: the run's network, plan and steps.
      batch: name -> ShapeDtypeStruct [batch, …] of the global batch.
      grid: mesh of the slices' devices.
      args: ``code``, and ``folder``, where the compiler dumps programs.

    Raises:
      TrainError: the compiler refuses the step for another reason than its size.
    """
    progress(f"tracing the {name} step")
    memory = {**_state_bytes(program, name, grid), "batch": _batch_bytes(batch, _groups(grid))}
    begun = time.monotonic()
    if name == "train":
        lowered = compilation.lower_train(
            *(program.train_step, program.stacked_shapes, batch, grid),
            shard=program.config.train.shard,
            division=program.division,
        )
    else:
        lowered = compilation.lower_eval(
            program.eval_step, program.stacked_shapes, batch, grid, division=program.division
        )
    progress(f"compiling the {name} step" if args.code else f"laying out the {name} step")
    try:
        layout = tpu_layout.lay_out(lowered, args.folder, f"{name}_step", args.code)
    except jax.errors.JaxRuntimeError as error:
        if full := next(filter(None, (form.search(str(error)) for form in OUT_OF_MEMORY)), None):
            used = _bytes(full["used"], full["used_unit"])
            limit = _bytes(full["limit"], full["limit_unit"])
            return StepResult(
                fits=False, peak=used, limit=limit, seconds=_since(begun), memory=Memory(**memory)
            )
        raise TrainError(f"the compiler refuses the {name} step: {first_line(error, 300)}") from None
    memory["activations"] = max(layout.memory - sum(memory.values()), 0)
    if layout.code is not None:
        memory["program"] = layout.code
    flops, moved = traffic.totals(layout.text)
    return {
        "fits": True,
        "seconds": _since(begun),
        "peak": layout.memory + (layout.code or 0),
        "memory": Memory(**memory),
        "flops": flops,
        "bytes": moved,
        "collectives": [Collective(**row) for row in collectives(layout.text)],
    }


def estimate_step(
    name: str, program: Program, batch: dict[str, Any], platform: str, devices: int = 1
) -> StepResult:
    """Estimate the cost of one step on one device from the traced operations, without a compiler.

    ``fits`` is always true: the caller compares ``peak`` with the memory of the device. Where devices share a
    network (mesh.model), each is assumed to have its part of the operations and of the activations.

    Args:
      name: "train" or "eval".
      program: the run's network, plan and steps.
      batch: name -> ShapeDtypeStruct [examples per device or group of devices, …].
      platform: "tpu", "gpu" or "cpu".
      devices: number of devices of the run.
    """
    progress(f"tracing the {name} step")
    shapes, begun, model = program.shapes, time.monotonic(), program.config.mesh.model
    if name == "train":
        cost = estimate(platform, program.train_step, shapes, batch)
    else:
        cost = estimate(platform, program.eval_step, shapes.params, shapes.stats, batch)
    # An evaluation keeps no activations for gradients: each layer's replace those of the layer before.
    activations = 0 if name == "eval" else cost["activations"] // model
    groups = AbstractMesh((1, devices // model, model), (*mesh.AXES, MODEL)) if model > 1 else None
    state = _state_bytes(program, name, groups)
    memory = {**state, "batch": _batch_bytes(batch, 1), "activations": activations}
    return {
        "fits": True,
        "flops": cost["flops"] // model,
        "bytes": cost["bytes"] // model,
        "seconds": _since(begun),
        "peak": sum(memory.values()),
        "memory": Memory(**memory),
        "collectives": [],
    }


def evaluations(program: Program, config: TrainConfig, examples: int) -> int:
    """Return the number of evaluation steps of the whole run, for a test split of ``examples``."""
    plan = program.plan
    times = sum(plan.evaluates(step) for step in range(1, plan.steps + 1))
    return times * pipeline.eval_steps(examples, config.train.batch)


def _state_bytes(program: Program, name: str, grid: Mesh | AbstractMesh | None = None) -> dict[str, int]:
    """Return the bytes of each part of the state on one device; arrays that are sharded count their shard."""
    state = program.shapes
    if grid:
        shard = program.config.train.shard if name == "train" else "none"
        shardings = state_sharding.of_state(grid, state, shard, program.division)
        state = jax.tree.map(_shard, state, shardings)
    parts = {"parameters": state.params, "statistics": state.stats}
    parts |= {"optimizer": state.opt} if name == "train" else {}
    return {part: sum(map(nbytes, jax.tree.leaves(tree))) for part, tree in parts.items()}


def _shard(leaf: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sharding.shard_shape(leaf.shape), leaf.dtype)


def _groups(grid: Mesh) -> int:
    return grid.size // grid.shape.get(MODEL, 1)


def _batch_bytes(batch: dict[str, Any], devices: int) -> int:
    return sum(map(nbytes, batch.values())) // devices


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("x"))


def _bytes(number: str, unit: str) -> int:
    return round(float(number) * UNITS[unit])


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 1)


def progress(text: str) -> None:
    """Write a line on stderr that says what is being done; the launcher shows it on a terminal."""
    print(f"{PROGRESS}{text}", file=sys.stderr, flush=True)
