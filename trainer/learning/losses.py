"""Losses of each example of a batch, for plain and for mixed labels. B examples, K classes."""

import jax
import jax.numpy as jnp

from trainer.config import OptimConfig
from trainer.learning.mixing import Mix

MIXED_SHARE = 0.2  # with loss=binary a class counts where its share of the image is larger (as timm's does)


def example_losses(logits: jax.Array, labels: jax.Array, mix: Mix | None, config: OptimConfig) -> jax.Array:
    """Return the configured loss of each example, [B] float32.

    With ``config.loss`` "binary", a class of a mixed image is present where its share of the image is above
    0.2 (Wightman et al. 2021, arXiv:2110.00476, section 3, with timm's threshold).

    Args:
      logits: [B, K] float32.
      labels: [B] int32.
      mix: the second labels and the share of the first; None: the images are not mixed.
    """
    if mix is None and config.loss == "softmax":
        return cross_entropy(logits, labels, config.label_smoothing)
    targets = soft_labels(labels, mix, logits.shape[-1], config.label_smoothing)  # [B, K]
    if config.loss == "softmax":
        return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)  # [B]
    if mix is not None:
        targets = (targets > MIXED_SHARE).astype(jnp.float32)
    return binary_cross_entropy(logits, targets)


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float) -> jax.Array:
    """Return the softmax cross-entropy with smoothed labels (arXiv:1512.00567, section 7).

    Args:
      logits: [B, K] float32; returns [B] float32.
      labels: [B] int32.
      smoothing: probability that is spread evenly over all K classes, 0 to 1.
    """
    log_probs = jax.nn.log_softmax(logits)  # [B, K]
    label_log_probs = jnp.take_along_axis(log_probs, labels[:, None], axis=-1)[:, 0]  # [B]
    return -(1.0 - smoothing) * label_log_probs - smoothing * jnp.mean(log_probs, axis=-1)


def binary_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Return the mean over the classes of a binary cross-entropy for each (arXiv:2110.00476, section 3).

    Args:
      logits: [B, K] float32; returns [B] float32.
      targets: [B, K] float32, 0 to 1.
    """
    log_present, log_absent = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)  # [B, K], [B, K]
    return -jnp.mean(targets * log_present + (1.0 - targets) * log_absent, axis=-1)  # [B]


def soft_labels(labels: jax.Array, mix: Mix | None, classes: int, smoothing: float) -> jax.Array:
    """Return the probability of each class, [B, K] float32.

    Args:
      labels: [B] int32.
      mix: the second labels and the share of the first; None: the images are not mixed.
      classes: K.
      smoothing: probability that is spread evenly over all K classes, 0 to 1.
    """
    targets = jax.nn.one_hot(labels, classes)  # [B, K]
    if mix is not None:
        share = mix.share[:, None]  # [B, 1]
        targets = share * targets + (1.0 - share) * jax.nn.one_hot(mix.labels, classes)
    return (1.0 - smoothing) * targets + smoothing / classes
