"""The training and the evaluation step: pure functions, written once."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from trainer.augment import augment
from trainer.config import TrainConfig
from trainer.data.source import Source
from trainer.network import Arrays, Network


class State(NamedTuple):
    """All that changes from step to step, and all that a checkpoint holds."""

    step: jax.Array  # int32, updates done
    params: Arrays
    stats: Arrays  # running statistics of BatchNorm
    opt: Any  # optimizer state


Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
TrainStep = Callable[[State, Batch], tuple[State, Metrics]]
EvalStep = Callable[[Arrays, Arrays, Batch], Metrics]


def make_init(init: Callable, optimizer: optax.GradientTransformation) -> Callable[[jax.Array], State]:
    """Returns ``init_state(key) -> State`` at step 0."""

    def init_state(key: jax.Array) -> State:
        params, stats = init(key)
        return State(jnp.zeros((), jnp.int32), params, stats, optimizer.init(params))

    return init_state


def make_train_step(
    network: Network,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    source: Source,
    config: TrainConfig,
) -> TrainStep:
    """Returns ``step(state, batch) -> (state, metrics)``: one update over one global batch.

    batch: image [B, H, W, C] uint8; label, epoch, index [B] int32. Metrics are scalars: loss (mean over the
    batch, label smoothing included), accuracy (before the update), grad_norm, lr.
    """

    def train_step(state: State, batch: Batch) -> tuple[State, Metrics]:
        images = augment(batch["image"], batch["epoch"], batch["index"], config.train.seed, config.data)
        images = normalise(images, source)

        def loss_of(params: Arrays) -> tuple[jax.Array, tuple[jax.Array, Arrays]]:
            logits, stats = network.apply(params, state.stats, images, train=True)
            loss = jnp.mean(cross_entropy(logits, batch["label"], config.optim.label_smoothing))
            return loss, (logits, stats)

        (loss, (logits, stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        updates, opt = optimizer.update(grads, state.opt, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss": loss,
            "accuracy": jnp.mean((jnp.argmax(logits, -1) == batch["label"]).astype(jnp.float32)),
            "grad_norm": optax.tree.norm(grads),
            "lr": jnp.asarray(schedule(state.step), jnp.float32),
        }
        return State(state.step + 1, cast(Arrays, params), stats, opt), metrics

    return train_step


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
    """[B, H, W, C] uint8 -> float32 of mean 0 and deviation 1 a channel."""
    mean = jnp.asarray(source.mean, jnp.float32)
    std = jnp.asarray(source.std, jnp.float32)
    return (images.astype(jnp.float32) / 255.0 - mean) / std


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float) -> jax.Array:
    """[B, K] float32, [B] int32 -> [B] float32, with ``smoothing`` spread over all K classes."""
    log_probs = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(log_probs, labels[:, None], axis=-1)[:, 0]
    return -(1.0 - smoothing) * picked - smoothing * jnp.mean(log_probs, axis=-1)
