"""Augmentation on the device, keyed by (seed, epoch, index): the same on any number of hosts."""

import jax
import jax.numpy as jnp

from trainer.config import DataConfig


def augment(
    images: jax.Array, epoch: jax.Array, index: jax.Array, seed: int, config: DataConfig
) -> jax.Array:
    """Shifts and mirrors each image of [B, H, W, C] by draws of its own key; epoch, index: [B] int32."""
    if not config.shift_pixels and not config.flip:
        return images
    base = jax.random.key(seed)

    def one(image: jax.Array, epoch: jax.Array, index: jax.Array) -> jax.Array:
        shift_key, flip_key = jax.random.split(jax.random.fold_in(jax.random.fold_in(base, epoch), index))
        if config.shift_pixels:
            image = _shift(image, shift_key, config.shift_pixels)
        if config.flip:
            image = jnp.where(jax.random.bernoulli(flip_key), image[:, ::-1], image)
        return image

    return jax.vmap(one)(images, epoch, index)


def _shift(image: jax.Array, key: jax.Array, most: int) -> jax.Array:
    height, width, channels = image.shape
    padded = jnp.pad(image, ((most, most), (most, most), (0, 0)))
    y, x = jax.random.randint(key, (2,), 0, 2 * most + 1)
    return jax.lax.dynamic_slice(padded, (y, x, jnp.zeros_like(y)), (height, width, channels))
