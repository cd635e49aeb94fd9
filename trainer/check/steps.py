"""A run's own steps on hardware that is not here: laid out by its compiler, or estimated."""

import argparse
import importlib.metadata
import os
import re
import sys
import time
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from trainer.check.result import PROGRESS, STEPS, CheckResult, Collective, Memory, StepResult
from trainer.config import DataConfig, TrainConfig
from trainer.cost import tpu_layout, traffic
from trainer.cost.collectives import collectives
from trainer.cost.estimate import estimate, nbytes
from trainer.data import datasets, pipeline
from trainer.data.formats import synthetic
from trainer.data.source import Source
from trainer.data.storage import GRANT
from trainer.devices import compilation, mesh, state_sharding
from trainer.devices.batches import check_batch
from trainer.errors import ConfigError, DataError, StorageError, TrainError, first_line
from trainer.program import Program, make_program
from trainer.registry import DATASETS

PACKAGES = ("jax", "flax", "libtpu")

# How the compiler says that a program is too large: its two passes have words of their own.
FULL = (
    re.compile(r"Used (?P<used>[\d.]+)(?P<u>[KMGT]?) of (?P<limit>[\d.]+)(?P<v>[KMGT]?) hbm"),
    re.compile(
        r"\((?P<used>[\d.]+)(?P<u>[KMGT]?)\) exceeds available HBM \((?P<limit>[\d.]+)(?P<v>[KMGT]?)\)"
    ),
)
PREFIX = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def check(config: TrainConfig, slice: argparse.Namespace) -> CheckResult:
    """What the compiler says of the run's steps on the slice, or an estimate; all sizes are a device's."""
    chosen = chosen_steps(slice.steps)
    platform, _, number = slice.estimate.partition(":")
    grid = None if platform else mesh.make_mesh(slice.slices, topology(slice))
    devices = grid.size if grid else int(number)
    check_batch(devices, config.train.batch, config.train.accumulate)
    train, test, assumed = sources(config.data)
    program = make_program(config, train, test, platform or "tpu")
    found: CheckResult = {
        "estimated": grid is None,
        "code": bool(grid and slice.code),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES if grid or name != "libtpu"},
        "device_kind": grid.devices.flat[0].device_kind if grid else platform,
        "devices": devices,
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
    per_step = config.train.batch if grid else config.train.batch // devices
    for name, sample in samples(config, train, test).items():
        if name in chosen:
            batch = compilation.batch_shapes(sample, per_step)
            found[name] = (
                measure(name, program, batch, grid, slice) if grid else guess(name, program, batch, platform)
            )
    return found


def chosen_steps(names: str) -> list[str]:
    """The steps of ``--steps``.

    Raises:
      ConfigError: one has another name, or there is none.
    """
    chosen = names.split(",")
    if not set(chosen) <= set(STEPS):
        raise ConfigError(f"--steps: must be {' or '.join(STEPS)} or both with a comma, got '{names}'")
    return chosen


def sources(config: DataConfig) -> tuple[Source, Source, str]:
    """Both splits, and why they are not the run's own: a path of the pods' or a bucket that is closed to us.

    Then they are as many examples and classes as ImageNet-1k has.

    Raises:
      DataError: the data is here and is no dataset.
    """
    try:
        if config.name in DATASETS or "://" in config.name or os.path.exists(config.name):
            return *datasets.load_both(config), ""
        why = f"{config.name} is not on this machine"
    except (DataError, StorageError) as error:
        if isinstance(error, DataError) and error.hint != GRANT:
            raise
        why = first_line(error, 300).partition(". ")[0]
    return synthetic.load("train", config), synthetic.load("test", config), why


def samples(config: TrainConfig, train: Source, test: Source) -> dict[str, dict[str, Any]]:
    """A batch of one example for each step, as the run's own pipeline makes it."""
    rows, size = np.arange(1), config.train.batch
    stream = pipeline.TrainStream(size=train.size, batch=size, seed=config.train.seed)
    return {
        "train": next(pipeline.train_batches(train, stream, rows, range(1), config.data)),
        "eval": next(pipeline.eval_batches(test, size, rows, config.data)),
    }


def topology(slice: argparse.Namespace) -> list[Any]:
    """The devices of the slices, as the compiler describes them.

    Raises:
      ConfigError: there is no compiler here, or it does not know the generation.
    """
    from jax.experimental import topologies

    progress("asking the compiler for the slice")
    try:
        importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError("the TPU compiler is not installed", "pip install 'resnet-launch[check]'") from None
    given: dict[str, Any] = {"chips_per_host_bounds": _numbers(slice.host_bounds)}
    if slice.chip_config != "default":
        given["chip_config_name"] = slice.chip_config
    if slice.wrap:
        given["wrap"] = tuple(map(bool, _numbers(slice.wrap)))
    if slice.slices > 1:
        given["num_slices"] = slice.slices
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=slice.topology, **given)
    except Exception as error:  # the runtime's own kind of error, whose text is all there is
        version = importlib.metadata.version("libtpu")
        why = first_line(error, 300)
        raise ConfigError(f"libtpu {version} cannot compile for {slice.topology}: {why}") from None
    return list(found.devices)


def measure(
    name: str, program: Program, batch: dict[str, Any], grid: Mesh, slice: argparse.Namespace
) -> StepResult:
    """Lowers and compiles one step."""
    progress(f"tracing the {name} step")
    held = {**_state(program, name, grid), "batch": _batch(batch, grid.size)}
    begun = time.monotonic()
    if name == "train":
        lowered = compilation.lower_train(
            program.train_step, program.shapes, batch, grid, program.config.train.shard
        )
    else:
        lowered = compilation.lower_eval(program.eval_step, program.shapes, batch, grid)
    progress(f"compiling the {name} step" if slice.code else f"laying out the {name} step")
    try:
        found = tpu_layout.lay_out(lowered, slice.folder, f"{name}_step", slice.code)
    except jax.errors.JaxRuntimeError as error:
        if full := next(filter(None, (form.search(str(error)) for form in FULL)), None):
            used, limit = _size(full["used"], full["u"]), _size(full["limit"], full["v"])
            return StepResult(
                fits=False, peak=used, limit=limit, seconds=_since(begun), memory=Memory(**held)
            )
        raise TrainError(f"the compiler refuses the {name} step: {first_line(error, 300)}") from None
    parts = held | {"activations": max(found.memory - sum(held.values()), 0)}
    flops, moved = traffic.totals(found.text)
    return {
        "fits": True,
        "seconds": _since(begun),
        "peak": found.memory + (found.code or 0),
        "memory": Memory(**parts, **({} if found.code is None else {"program": found.code})),
        "flops": flops,
        "bytes": moved,
        "collectives": [Collective(**row) for row in collectives(found.text)],
    }


def guess(name: str, program: Program, batch: dict[str, Any], platform: str) -> StepResult:
    """The same of one device, without a compiler: fits is left to who knows the device."""
    progress(f"tracing the {name} step")
    shapes, begun = program.shapes, time.monotonic()
    if name == "train":
        cost = estimate(platform, program.train_step, shapes, batch)
    else:
        cost = estimate(platform, program.eval_step, shapes.params, shapes.stats, batch)
    held = {**_state(program, name), "batch": _batch(batch, 1), "activations": cost["activations"]}
    if name == "eval":
        held["activations"] = 0  # the next layer's take their place
    return {
        "fits": True,
        "flops": cost["flops"],
        "bytes": cost["bytes"],
        "seconds": _since(begun),
        "peak": sum(held.values()),
        "memory": Memory(**held),
        "collectives": [],
    }


def evaluations(program: Program, config: TrainConfig, examples: int) -> int:
    """Evaluation steps of the whole run."""
    plan = program.plan
    times = sum(plan.evaluates(step) for step in range(1, plan.steps + 1))
    return times * pipeline.eval_steps(examples, config.train.batch)


def _state(program: Program, name: str, grid: Mesh | None = None) -> dict[str, int]:
    """Bytes of what stays on every device; of what is divided over them, a device's part."""
    held = program.shapes
    if grid and name == "train":
        where = state_sharding.of_state(grid, held, program.config.train.shard)
        held = jax.tree.map(_part, held, where)
    parts = {"parameters": held.params, "statistics": held.stats}
    parts |= {"optimizer": held.opt} if name == "train" else {}
    return {part: sum(map(nbytes, jax.tree.leaves(tree))) for part, tree in parts.items()}


def _part(leaf: Any, where: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(where.shard_shape(leaf.shape), leaf.dtype)


def _batch(batch: dict[str, Any], devices: int) -> int:
    return sum(map(nbytes, batch.values())) // devices


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("x"))


def _size(number: str, prefix: str) -> int:
    return round(float(number) * PREFIX[prefix])


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 1)


def progress(text: str) -> None:
    print(f"{PROGRESS}{text}", file=sys.stderr, flush=True)
