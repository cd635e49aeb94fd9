"""The training and the evaluation step: pure functions, written once."""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from trainer.config import OptimConfig, TrainConfig
from trainer.data.source import Source
from trainer.devices import host_sums, slice_sums
from trainer.errors import ConfigError
from trainer.learning import optimizers, sparse
from trainer.learning.augmentation import apply_auto_augment, augment, erase, resize
from trainer.learning.losses import cross_entropy, example_losses
from trainer.learning.mixing import Mix, mix
from trainer.learning.promotion import strict_promotion
from trainer.models.architecture import Outputs
from trainer.models.network import Init, Network
from trainer.state import Arrays, Averaging, Batch, EvalStep, Metrics, State, TrainStep

Carry = tuple[Arrays, Metrics, Arrays]  # gradients and metrics so far, statistics
Inputs = tuple[jax.Array, jax.Array, Mix | None]  # images, labels, how they were mixed
Part = tuple[jax.Array, jax.Array, jax.Array, Mix | None]  # its number, images, labels, how they were mixed

DRAW_SALT = 0x646570  # the stream of what networks draw, such as stochastic depth, keyed by (seed, step)


def make_init(
    init: Init, optimizer: optax.GradientTransformation, config: OptimConfig | None = None
) -> Callable[[jax.Array], State]:
    """Return ``init_state(key) -> State`` at step 0, which may be traced and jitted.

    Args:
      init: ``init(key) -> (params, stats)``, as ``network.build`` returns it.
      optimizer: the update rule, whose state is made from the parameters.
      config: with ``ema``, the state holds averages too; None: no averages.
    """

    from_arrays = make_first_state(optimizer, config)

    @strict_promotion
    def init_state(key: jax.Array) -> State:
        return from_arrays(*init(key))

    return init_state


def make_first_state(
    optimizer: optax.GradientTransformation, config: OptimConfig | None = None
) -> Callable[[Arrays, Arrays], State]:
    """Return ``first_state(params, stats) -> State`` at step 0; arguments are those of ``make_init``."""

    @strict_promotion
    def first_state(params: Arrays, stats: Arrays) -> State:
        opt = optimizer.init(params)
        params = sparse.pruned(opt, params)
        if config and config.ema:
            opt = Averaging(opt, jax.tree.map(jnp.array, params), jax.tree.map(jnp.array, stats))
        return State(jnp.zeros((), jnp.int32), params, stats, opt)

    return first_state


def make_train_step(
    network: Network,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    source: Source,
    config: TrainConfig,
    pixels: int = 0,
    measure: Callable[[Any], Metrics] | None = None,
) -> TrainStep:
    """Return ``step(state, batch) -> (state, metrics)``: one update over one global batch.

    batch: image [B, H, W, C] uint8; label, epoch, index [B] int32. Metrics are scalar float32: loss (mean
    over the batch, label smoothing and penalties included), accuracy (before the update), grad_norm, lr, what
    the network reports, and the sum of its penalties where it has any.

    Args:
      network: the network that is trained.
      optimizer: its update rule.
      schedule: step -> learning rate, for the metric ``lr``.
      source: the training data, for the mean and deviation of each channel.
      config: the settings of the run.
      pixels: pixels of a side that the images are resized to; 0: as they come.
      measure: state of the optimizer -> further metrics; None: none.

    Raises:
      ConfigError: a word of ``train.freeze`` begins no parameter's name.
    """
    frozen = _frozen(network, config.train.freeze)

    @strict_promotion
    def train_step(state: State, batch: Batch) -> tuple[State, Metrics]:
        images, mixed = prepare(batch, state.step, source, config, pixels)
        key = None
        if network.draws:
            key = jax.random.fold_in(jax.random.key(config.train.seed ^ DRAW_SALT), state.step)
        grads, stats, sums = _gradients(network, state, images, batch["label"], mixed, key, config)
        rule = state.opt.rule if config.optim.ema else state.opt
        updates, rule = cast(Any, optimizer.update(grads, rule, state.params))
        updates = {name: jnp.zeros_like(u) if frozen(name) else u for name, u in updates.items()}
        stats = {name: state.stats[name] if frozen(name) else a for name, a in stats.items()}
        params = cast(Arrays, optax.apply_updates(state.params, updates))
        opt = rule
        if config.optim.ema:
            count = state.step + 1
            average = functools.partial(optimizers.averaged, config.optim, count)
            averages = sparse.pruned(rule, average(state.opt.params, params))
            opt = Averaging(rule, averages, average(state.opt.stats, stats))
        metrics = {**sums, "grad_norm": optax.tree.norm(grads)}
        metrics["lr"] = jnp.asarray(schedule(state.step), jnp.float32)
        metrics |= measure(rule) if measure else {}
        return State(state.step + 1, params, stats, opt), metrics

    return train_step


def _frozen(network: Network, prefixes: str) -> Callable[[str], bool]:
    """Whether a name begins with one of the prefixes, which are separated by commas."""
    starts = tuple(f"{prefix.strip()}." for prefix in prefixes.split(",") if prefix.strip())
    for start in starts:
        if not any(name.startswith(start) for name in network.variables):
            known = ", ".join(dict.fromkeys(name.split(".")[0] for name in network.variables))
            raise ConfigError(f"train.freeze: must name parts of the network ({known}), got '{start[:-1]}'")
    return lambda name: name.startswith(starts)


def evaluated(state: State, config: OptimConfig) -> dict[str, tuple[Arrays, Arrays]]:
    """Return the (params, stats) to evaluate, by the prefix of their metrics.

    "" stands for the run. Where it keeps averages, those stand for it and "raw_" is for the trained arrays.
    """
    rule = state.opt.rule if config.ema else state.opt
    trained = (optimizers.evaluated_params(config, rule, state.params), state.stats)
    if config.ema:
        return {"": (state.opt.params, state.opt.stats), "raw_": trained}
    return {"": trained}


def prepare(
    batch: Batch, step: jax.Array, source: Source, config: TrainConfig, pixels: int
) -> tuple[jax.Array, Mix | None]:
    """Return the images that the network is trained on, [B, H, W, C] float32, and how they were mixed.

    Args:
      batch: image [B, H, W, C] uint8; label, epoch, index [B] int32.
      step: scalar int32, updates done.
      source: the training data, for the mean and deviation of each channel.
      config: the settings of the run.
      pixels: pixels of a side that the images are resized to; 0: as they come.
    """
    seed, example = config.train.seed, (batch["epoch"], batch["index"])
    images = augment(batch["image"], *example, seed, config.data)
    images = resize(images, pixels)  # [B, pixels, pixels, C]
    images = apply_auto_augment(images, *example, seed, config.augment)
    augmentation = config.augment
    images = erase(normalise(images, source), *example, seed, augmentation.erase, augmentation.erase_fill)
    return mix(images, batch["label"], seed, step, config.augment)


def _gradients(
    network: Network,
    state: State,
    images: jax.Array,
    labels: jax.Array,
    mixed: Mix | None,
    key: jax.Array | None,
    config: TrainConfig,
) -> tuple[Arrays, Arrays, Metrics]:
    """Gradients, statistics and metrics of a batch.

    Where each slice can compute its own examples, it adds up its parts before anything crosses to the others.
    Likewise each device of several CPU hosts.
    """
    batch, groups = (images, labels, mixed), network.layers.norm_groups
    arrays, shared = (state.params, state.stats), bool(network.statistics)
    if network.by_slice and not network.layers.fold_norm and host_sums.separable(groups, shared):

        def of_a_device(
            arrays: tuple[Arrays, Arrays], key: jax.Array | None, batch: Inputs
        ) -> tuple[Arrays, Arrays, Metrics]:
            return host_sums.mean(_sums_of_parts(network, *arrays, batch, key, config, lambda grads: grads))

        return host_sums.each_device(of_a_device, arrays, key, batch)
    apart = network.by_slice and slice_sums.separable(groups, shared)
    if config.train.accumulate == 1 or not apart:
        return _sums_of_parts(network, *arrays, batch, key, config, lambda grads: grads)

    def of_a_slice(
        arrays: tuple[Arrays, Arrays], key: jax.Array | None, batch: Inputs
    ) -> tuple[Arrays, Arrays, Metrics]:
        grads, stats, sums = _sums_of_parts(network, *arrays, batch, key, config, slice_sums.divided)
        grads = slice_sums.mean_of_gradients(grads, _summed_in(network, grads), config.train.shard == "none")
        return grads, *slice_sums.mean((stats, sums))

    return slice_sums.each_slice(of_a_slice, arrays, key, batch)


def _summed_in(network: Network, grads: Arrays) -> dict[str, jnp.dtype]:
    """The dtype in which gradients are summed over slices: that in which a slice sums those of its devices.

    With ``model.grad_dtype=auto`` kernels are summed in the dtype of the arithmetic; the head's is float32.
    """
    layers = network.layers
    narrow = jnp.dtype(jnp.float32 if layers.float32_kernel_grads else layers.dtype)
    is_narrow = {name: name.endswith("kernel") and not name.startswith("head.") for name in grads}
    return {name: narrow if is_narrow[name] else jnp.dtype(jnp.float32) for name in grads}


def _sums_of_parts(
    network: Network,
    params: Arrays,
    stats: Arrays,
    batch: Inputs,
    key: jax.Array | None,
    config: TrainConfig,
    placed: Callable[[Arrays], Arrays],
) -> tuple[Arrays, Arrays, Metrics]:
    """Gradients and metrics of a batch, which goes through the network in ``train.accumulate`` parts.

    The parts are summed as the whole batch would be; BatchNorm sees one part at a time. ``placed`` says how
    gradients are laid out over the devices.
    """

    def part_gradients(
        stats: Arrays, images: jax.Array, labels: jax.Array, mixed: Mix | None, key: jax.Array | None
    ) -> tuple[Arrays, Arrays, Metrics]:
        def objective(params: Arrays) -> tuple[jax.Array, tuple[Outputs, Arrays]]:
            outputs, new_stats = network.forward(params, stats, images, train=True, key=key)
            loss = jnp.mean(example_losses(outputs.logits, labels, mixed, config.optim))
            for penalty in outputs.penalties.values():
                loss = loss + penalty.astype(jnp.float32)
            return loss, (outputs, new_stats)

        (loss, (outputs, new_stats)), grads = jax.value_and_grad(objective, has_aux=True)(params)
        accuracy = jnp.mean((jnp.argmax(outputs.logits, -1) == labels).astype(jnp.float32))
        metrics = {name: value.astype(jnp.float32) for name, value in outputs.metrics.items()}
        if outputs.penalties:
            metrics["penalty"] = sum(value.astype(jnp.float32) for value in outputs.penalties.values())
        return placed(grads), new_stats, {"loss": loss, "accuracy": accuracy, **metrics}

    parts = config.train.accumulate
    if parts == 1:
        return part_gradients(stats, *batch, key)

    def add_part(carry: Carry, part: Part) -> tuple[Carry, None]:
        grads, sums, stats = carry
        i, images, labels, mixed = part
        part_key = None if key is None else jax.random.fold_in(key, i)
        part_grads, stats, metrics = part_gradients(stats, images, labels, mixed, part_key)
        grads, sums = jax.tree.map(lambda a, b: a + b / parts, (grads, sums), (part_grads, metrics))
        return (grads, sums, stats), None

    # Part i takes every parts-th example, so that each device keeps its own.
    inputs = jax.tree.map(
        lambda a: jnp.swapaxes(a.reshape(-1, parts, *a.shape[1:]), 0, 1), batch
    )  # each [parts, B / parts, ...]
    first = jax.tree.map(lambda a: a[0], inputs)
    shapes = jax.eval_shape(part_gradients, stats, *first, key)
    zeros, sums = (jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes[i]) for i in (0, 2))
    start = placed(zeros), sums, stats
    (grads, sums, stats), _ = jax.lax.scan(add_part, start, (jnp.arange(parts), *inputs))
    return grads, stats, sums


def make_eval_step(network: Network, source: Source) -> EvalStep:
    """Return ``step(params, stats, batch) -> sums`` over the examples whose weight is 1.

    batch: image [B, H, W, C] uint8; label [B] int32; weight [B] float32, 0 or 1. Sums are scalars: loss
    float32, correct and examples int32. They add up over batches without a rounding of the counts.

    Args:
      network: the network that is evaluated.
      source: the data, for the mean and deviation of each channel.
    """

    @strict_promotion
    def eval_step(params: Arrays, stats: Arrays, batch: Batch) -> Metrics:
        logits, _ = network.apply(params, stats, normalise(batch["image"], source), train=False)
        real = batch["weight"] > 0  # [B]
        hit = (jnp.argmax(logits, -1) == batch["label"]) & real
        losses = cross_entropy(logits, batch["label"], smoothing=0.0)
        return {
            "loss": jnp.sum(jnp.where(real, losses, 0.0)),
            "correct": jnp.sum(hit, dtype=jnp.int32),
            "examples": jnp.sum(real, dtype=jnp.int32),
        }

    return eval_step


def normalise(images: jax.Array, source: Source) -> jax.Array:
    """Return (images / 255 - mean) / deviation, which has mean 0 and deviation 1 in each channel.

    Args:
      images: [B, H, W, C] of any dtype, 0 to 255; returns [B, H, W, C] float32.
      source: the data, for the mean and deviation of each channel.
    """
    mean = jnp.asarray(source.mean, jnp.float32)
    std = jnp.asarray(source.std, jnp.float32)
    return (images.astype(jnp.float32) / 255.0 - mean) / std
