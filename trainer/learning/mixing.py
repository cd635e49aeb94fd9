"""Mixup (arXiv:1710.09412) and CutMix (arXiv:1905.04899) of a global batch, keyed by (seed, step)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.config import AugmentConfig

SALT = 0x6D6978  # another stream than the augmentation's, which is keyed by (seed, epoch, index)


class Mix(NamedTuple):
    """Second labels [B] int32, and the share [B] float32 that the first ones have."""

    labels: jax.Array
    share: jax.Array


def mix(
    images: jax.Array, labels: jax.Array, seed: int, step: jax.Array, config: AugmentConfig
) -> tuple[jax.Array, Mix | None]:
    """Mixes each image of [B, H, W, C] with its mirror in the batch; one draw for all, as in timm."""
    if not config.mixup and not config.cutmix:
        return images, None
    coin, mixed_key, cut_key = jax.random.split(jax.random.fold_in(jax.random.key(seed ^ SALT), step), 3)
    other = images[::-1]
    mixed = _mixup(images, other, mixed_key, config.mixup) if config.mixup else None
    cut = _cutmix(images, other, cut_key, config.cutmix) if config.cutmix else None
    if mixed and cut:
        cutting = jax.random.bernoulli(coin)
        made, share = (jnp.where(cutting, c, m) for c, m in zip(cut, mixed, strict=True))
    else:
        made, share = mixed or cut  # pyright: ignore[reportGeneralTypeIssues]
    return made, Mix(labels[::-1], jnp.full(labels.shape, share))


def _mixup(images: jax.Array, other: jax.Array, key: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    share = jax.random.beta(key, alpha, alpha)
    return share * images + (1.0 - share) * other, share


def _cutmix(images: jax.Array, other: jax.Array, key: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    """The box may reach over the border, and the share is that of what is left of it."""
    share_key, place_key = jax.random.split(key)
    height, width = images.shape[1:3]
    side = jnp.sqrt(1.0 - jax.random.beta(share_key, alpha, alpha))
    y, x = jax.random.uniform(place_key, (2,)) * jnp.array([height, width])
    inside = box(height, width, y, x, side * height, side * width)
    share = 1.0 - jnp.mean(inside.astype(jnp.float32))
    return jnp.where(inside[None, :, :, None], other, images), share


def box(height: int, width: int, y: jax.Array, x: jax.Array, tall: jax.Array, wide: jax.Array) -> jax.Array:
    """[height, width] bool: the pixels of a rectangle around (y, x), all in pixels."""
    rows, columns = jnp.arange(height) + 0.5, jnp.arange(width) + 0.5
    return (jnp.abs(rows - y) <= tall / 2)[:, None] & (jnp.abs(columns - x) <= wide / 2)[None, :]
