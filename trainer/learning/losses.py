"""Losses of a batch, for plain and for mixed labels."""

import jax
import jax.numpy as jnp

from trainer.config import OptimConfig
from trainer.learning.mixing import Mix

MIXED_SHARE = 0.2  # with loss=binary a class counts where its share of the image is larger (as timm's does)


def loss_of(logits: jax.Array, labels: jax.Array, mix: Mix | None, config: OptimConfig) -> jax.Array:
    """[B, K] float32, [B] int32 -> [B] float32. ``mix``: the second labels and the share of the first."""
    if mix is None and config.loss == "softmax":
        return cross_entropy(logits, labels, config.label_smoothing)
    targets = soft_labels(labels, mix, logits.shape[-1], config.label_smoothing)
    if config.loss == "softmax":
        return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)
    return binary_cross_entropy(
        logits, targets if mix is None else (targets > MIXED_SHARE).astype(jnp.float32)
    )


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float) -> jax.Array:
    """[B, K] float32, [B] int32 -> [B] float32, with ``smoothing`` spread over all K classes."""
    log_probs = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(log_probs, labels[:, None], axis=-1)[:, 0]
    return -(1.0 - smoothing) * picked - smoothing * jnp.mean(log_probs, axis=-1)


def binary_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """A yes or no for each class, and their mean: [B, K], [B, K] in 0..1 -> [B]."""
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return -jnp.mean(targets * yes + (1.0 - targets) * no, axis=-1)


def soft_labels(labels: jax.Array, mix: Mix | None, classes: int, smoothing: float) -> jax.Array:
    """[B] int32 -> [B, K] float32, with ``smoothing`` spread over all classes."""
    targets = jax.nn.one_hot(labels, classes)
    if mix is not None:
        share = mix.share[:, None]
        targets = share * targets + (1.0 - share) * jax.nn.one_hot(mix.labels, classes)
    return (1.0 - smoothing) * targets + smoothing / classes
