"""The training and the evaluation step: pure functions, written once."""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from trainer.config import OptimConfig, TrainConfig
from trainer.data.source import Source
from trainer.errors import ConfigError
from trainer.learning import optimizers
from trainer.learning.augmentation import apply_policy, augment, erase, resize
from trainer.learning.losses import cross_entropy, loss_of
from trainer.learning.mixing import Mix, mix
from trainer.models.network import Network
from trainer.state import Arrays, Averaging, Batch, EvalStep, Metrics, State, TrainStep

DEPTH_SALT = 0x646570  # the stream of stochastic depth, keyed by (seed, step)


def make_init(
    init: Callable, optimizer: optax.GradientTransformation, config: OptimConfig | None = None
) -> Callable[[jax.Array], State]:
    """Returns ``init_state(key) -> State`` at step 0."""

    def init_state(key: jax.Array) -> State:
        params, stats = init(key)
        opt = optimizer.init(params)
        if config and config.ema:
            opt = Averaging(opt, jax.tree.map(jnp.array, params), jax.tree.map(jnp.array, stats))
        return State(jnp.zeros((), jnp.int32), params, stats, opt)

    return init_state


def make_train_step(
    network: Network,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    source: Source,
    config: TrainConfig,
    pixels: int = 0,
) -> TrainStep:
    """Returns ``step(state, batch) -> (state, metrics)``: one update over one global batch.

    batch: image [B, H, W, C] uint8; label, epoch, index [B] int32. Metrics are scalars: loss (mean over the
    batch, label smoothing included), accuracy (before the update), grad_norm, lr.

    Args:
      pixels: sides that the images are resized to; 0: as they come.
    """
    frozen = _frozen(network, config.train.freeze)

    def train_step(state: State, batch: Batch) -> tuple[State, Metrics]:
        images, mixed = prepare(batch, state.step, source, config, pixels)
        key = None
        if config.model.stochastic_depth:
            key = jax.random.fold_in(jax.random.key(config.train.seed ^ DEPTH_SALT), state.step)
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
            opt = Averaging(rule, average(state.opt.params, params), average(state.opt.stats, stats))
        metrics = {**sums, "grad_norm": optax.tree.norm(grads)}
        metrics["lr"] = jnp.asarray(schedule(state.step), jnp.float32)
        return State(state.step + 1, params, stats, opt), metrics

    return train_step


def _frozen(network: Network, text: str) -> Callable[[str], bool]:
    """Raises ConfigError where a word of ``train.freeze`` begins no parameter's name."""
    words = tuple(f"{word.strip()}." for word in text.split(",") if word.strip())
    for word in words:
        if not any(name.startswith(word) for name in network.variables):
            known = ", ".join(dict.fromkeys(name.split(".")[0] for name in network.variables))
            raise ConfigError(f"train.freeze: must name parts of the network ({known}), got '{word[:-1]}'")
    return lambda name: name.startswith(words)


def evaluated(state: State, config: OptimConfig) -> dict[str, tuple[Arrays, Arrays]]:
    """Parameters and statistics to evaluate: "" stands for the run; with averages, "raw_" is beside them."""
    params = optimizers.evaluated_params(config, state.opt.rule if config.ema else state.opt, state.params)
    if config.ema:
        return {"": (state.opt.params, state.opt.stats), "raw_": (params, state.stats)}
    return {"": (params, state.stats)}


def prepare(
    batch: Batch, step: jax.Array, source: Source, config: TrainConfig, pixels: int
) -> tuple[jax.Array, Mix | None]:
    """What the network sees of a batch: [B, H, W, C] float32, and how labels were mixed."""
    seed, who = config.train.seed, (batch["epoch"], batch["index"])
    images = augment(batch["image"], *who, seed, config.data)
    images = apply_policy(resize(images, pixels), *who, seed, config.augment)
    images = erase(normalise(images, source), *who, seed, config.augment.erase)
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
    """Gradients and metrics of a batch, which goes through the network in ``train.accumulate`` parts.

    The parts are summed as the whole batch would be; BatchNorm sees one part at a time.
    """

    def part(stats: Arrays, images: jax.Array, labels: jax.Array, mixed: Mix | None, key: jax.Array | None):
        def objective(params: Arrays) -> tuple[jax.Array, tuple[jax.Array, Arrays]]:
            logits, changed = network.apply(params, stats, images, train=True, key=key)
            return jnp.mean(loss_of(logits, labels, mixed, config.optim)), (logits, changed)

        (loss, (logits, changed)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        hits = jnp.mean((jnp.argmax(logits, -1) == labels).astype(jnp.float32))
        return grads, changed, {"loss": loss, "accuracy": hits}

    parts = config.train.accumulate
    if parts == 1:
        return part(state.stats, images, labels, mixed, key)

    def one(carry: tuple[Arrays, Metrics, Arrays], at: tuple) -> tuple[tuple[Arrays, Metrics, Arrays], None]:
        grads, sums, stats = carry
        which, images, labels, mixed = at
        own = None if key is None else jax.random.fold_in(key, which)
        more, stats, values = part(stats, images, labels, mixed, own)
        added = jax.tree.map(lambda a, b: a + b / parts, (grads, sums), (more, values))
        return (*added, stats), None

    zeros = jax.tree.map(jnp.zeros_like, state.params)
    sums = {"loss": jnp.zeros(()), "accuracy": jnp.zeros(())}
    # Part i takes every parts-th example, so that each device keeps its own.
    inputs = jax.tree.map(
        lambda a: jnp.swapaxes(a.reshape(-1, parts, *a.shape[1:]), 0, 1), (images, labels, mixed)
    )
    (grads, sums, stats), _ = jax.lax.scan(one, (zeros, sums, state.stats), (jnp.arange(parts), *inputs))
    return grads, stats, sums


def make_eval_step(network: Network, source: Source) -> EvalStep:
    """Returns ``step(params, stats, batch) -> sums`` over the examples whose weight is 1.

    Sums are scalars: loss float32, correct and examples int32. They add up over batches without a rounding
    of the counts.
    """

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
    """[B, H, W, C], 0..255 -> float32 of mean 0 and deviation 1 a channel."""
    mean = jnp.asarray(source.mean, jnp.float32)
    std = jnp.asarray(source.std, jnp.float32)
    return (images.astype(jnp.float32) / 255.0 - mean) / std
