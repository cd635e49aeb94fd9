"""Mixup (arXiv:1710.09412) and CutMix (arXiv:1905.04899) of a global batch, keyed by (seed, step)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.config import AugmentConfig

SALT = 0x6D6978  # another stream than the augmentation's, which is keyed by (seed, epoch, index)


class Mix(NamedTuple):
    """The labels of a mixed batch that its own do not say.

    Args:
      labels: [B] int32, the second label of each image.
      share: [B] float32, the share of the image that the first label has, 0 to 1.
    """

    labels: jax.Array
    share: jax.Array


def mix(
    images: jax.Array, labels: jax.Array, seed: int, step: jax.Array, config: AugmentConfig
) -> tuple[jax.Array, Mix | None]:
    """Mix each image with another one of the batch.

    One draw serves the whole batch, as in timm. With both alphas set, a coin for each step decides between
    mixup and CutMix.

    Args:
      images: [B, H, W, C] float32; so are the returned ones.
      labels: [B] int32.
      seed: seed of the run.
      step: scalar int32, updates done.
      config: ``mixup`` and ``cutmix`` are the alphas of their Beta distributions; 0: not used. ``partner`` is
        "mirror", the first with the last and so on, or "previous". With that, mixup leaves each image the
        larger share, as big_vision does; among mirrored pairs it is the same either way.

    Returns the images and how they were mixed; None where neither is used.
    """
    if not config.mixup and not config.cutmix:
        return images, None
    coin, mixup_key, cutmix_key = jax.random.split(jax.random.fold_in(jax.random.key(seed ^ SALT), step), 3)
    is_mirror = config.partner == "mirror"
    partners, other_labels = (a[::-1] if is_mirror else jnp.roll(a, 1, axis=0) for a in (images, labels))
    mixup = _mixup(images, partners, mixup_key, config.mixup, not is_mirror) if config.mixup else None
    cutmix = _cutmix(images, partners, cutmix_key, config.cutmix) if config.cutmix else None
    if mixup and cutmix:
        is_cut = jax.random.bernoulli(coin)
        mixed, share = (jnp.where(is_cut, c, m) for c, m in zip(cutmix, mixup, strict=True))
    else:
        mixed, share = mixup or cutmix  # pyright: ignore[reportGeneralTypeIssues]
    return mixed, Mix(other_labels, jnp.full(labels.shape, share))


def _mixup(
    images: jax.Array, partners: jax.Array, key: jax.Array, alpha: float, larger: bool
) -> tuple[jax.Array, jax.Array]:
    share = jax.random.beta(key, alpha, alpha)
    share = jnp.maximum(share, 1.0 - share) if larger else share
    return share * images + (1.0 - share) * partners, share


def _cutmix(
    images: jax.Array, partners: jax.Array, key: jax.Array, alpha: float
) -> tuple[jax.Array, jax.Array]:
    """The box may reach over the border, and the share is that of the part inside (arXiv:1905.04899, 3.1)."""
    share_key, place_key = jax.random.split(key)
    height, width = images.shape[1:3]
    side = jnp.sqrt(1.0 - jax.random.beta(share_key, alpha, alpha))
    y, x = jax.random.uniform(place_key, (2,)) * jnp.array([height, width], jnp.float32)
    inside = box(height, width, y, x, side * height, side * width)  # [H, W]
    share = 1.0 - jnp.mean(inside.astype(jnp.float32))
    return jnp.where(inside[None, :, :, None], partners, images), share


def box(
    height: int, width: int, y: jax.Array, x: jax.Array, box_height: jax.Array, box_width: jax.Array
) -> jax.Array:
    """Return whether the centre of each pixel lies in a rectangle, [height, width] bool.

    Args:
      height, width: pixels of the image.
      y, x: scalar float32, centre of the rectangle in pixels.
      box_height, box_width: scalar float32, its sides in pixels.
    """
    rows = jnp.arange(height, dtype=jnp.float32) + 0.5  # [H]
    columns = jnp.arange(width, dtype=jnp.float32) + 0.5  # [W]
    in_rows, in_columns = jnp.abs(rows - y) <= box_height / 2, jnp.abs(columns - x) <= box_width / 2
    return in_rows[:, None] & in_columns[None, :]  # [H, W]
