"""Augmentation on the device, keyed by (seed, epoch, index): the same on any number of hosts."""

import functools

import jax
import jax.numpy as jnp

from trainer.config import AugmentConfig, DataConfig
from trainer.learning import auto_augment
from trainer.learning.mixing import box

POLICY_SALT = 0x706F6C  # streams beside that of shift and flip, whose draws stay what they were
ERASE_SALT = 0x657261
ERASE_AREA = (0.02, 1 / 3)  # of the image (arXiv:1708.04896, section 4)
ERASE_ASPECT = (0.3, 3.3)


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


def resize(images: jax.Array, pixels: int) -> jax.Array:
    """[B, H, W, C] uint8 -> [B, pixels, pixels, C] float32, bilinear, smoothed; 0: as it is."""
    if not pixels or images.shape[1:3] == (pixels, pixels):
        return images
    shape = (images.shape[0], pixels, pixels, images.shape[3])
    return jax.image.resize(images.astype(jnp.float32), shape, "linear")


def apply_policy(
    images: jax.Array, epoch: jax.Array, index: jax.Array, seed: int, config: AugmentConfig
) -> jax.Array:
    """TrivialAugment or RandAugment of [B, H, W, C], 0..255; returns float32 where there is a policy."""
    if config.policy == "none":
        return images
    one = auto_augment.trivial
    if config.policy == "rand":
        one = functools.partial(auto_augment.rand, magnitude=config.magnitude, deviation=config.magnitude_std)
    return jax.vmap(one)(images.astype(jnp.float32), _keys(epoch, index, seed ^ POLICY_SALT))


def erase(images: jax.Array, epoch: jax.Array, index: jax.Array, seed: int, share: float) -> jax.Array:
    """A rectangle of mean colour in a ``share`` of the normalised images [B, H, W, C]."""
    if not share:
        return images

    def one(image: jax.Array, key: jax.Array) -> jax.Array:
        coin, area_key, aspect_key, place_key = jax.random.split(key, 4)
        height, width = image.shape[:2]
        area = jax.random.uniform(area_key, minval=ERASE_AREA[0], maxval=ERASE_AREA[1]) * height * width
        low, high = map(jnp.log, jnp.array(ERASE_ASPECT))
        aspect = jnp.exp(jax.random.uniform(aspect_key, minval=low, maxval=high))
        tall = jnp.minimum(jnp.sqrt(area * aspect), height)
        wide = jnp.minimum(jnp.sqrt(area / aspect), width)
        room = jax.random.uniform(place_key, (2,))
        y, x = tall / 2 + room[0] * (height - tall), wide / 2 + room[1] * (width - wide)
        inside = box(height, width, y, x, tall, wide) & jax.random.bernoulli(coin, share)
        return jnp.where(inside[..., None], 0.0, image)

    return jax.vmap(one)(images, _keys(epoch, index, seed ^ ERASE_SALT))


def _keys(epoch: jax.Array, index: jax.Array, seed: int) -> jax.Array:
    base = jax.random.key(seed)
    return jax.vmap(lambda e, i: jax.random.fold_in(jax.random.fold_in(base, e), i))(epoch, index)


def _shift(image: jax.Array, key: jax.Array, most: int) -> jax.Array:
    height, width, channels = image.shape
    padded = jnp.pad(image, ((most, most), (most, most), (0, 0)))
    y, x = jax.random.randint(key, (2,), 0, 2 * most + 1)
    return jax.lax.dynamic_slice(padded, (y, x, jnp.zeros_like(y)), (height, width, channels))
