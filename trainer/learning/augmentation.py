"""Augmentation on the device, keyed by (seed, epoch, index): the same on any number of hosts."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from trainer.config import AugmentConfig, DataConfig
from trainer.learning import auto_augment, google_augment, three_augment
from trainer.learning.mixing import box

AUTO_AUGMENT_SALT = 0x706F6C  # streams beside that of shift and flip, whose draws stay what they were
JITTER_SALT = 0x6A6974
ERASE_SALT = 0x657261
ERASE_AREA = (0.02, 1 / 3)  # least and largest share of the image, close to torchvision's RandomErasing
ERASE_ASPECT = (0.3, 3.3)  # least and largest height / width of the rectangle, as there


def augment(
    images: jax.Array, epoch: jax.Array, index: jax.Array, seed: int, config: DataConfig
) -> jax.Array:
    """Shift and mirror each image by draws of its own.

    Args:
      images: [B, H, W, C] of any dtype; so is what is returned.
      epoch, index: [B] int32, passes over the data before this one, and place of the example in the data.
      seed: seed of the run.
      config: ``shift_pixels`` is the largest shift, ``flip`` whether half of the images are mirrored.
    """
    if not config.shift_pixels and not config.flip:
        return images
    base = jax.random.key(seed)

    def augment_one(image: jax.Array, epoch: jax.Array, index: jax.Array) -> jax.Array:
        shift_key, flip_key = jax.random.split(jax.random.fold_in(jax.random.fold_in(base, epoch), index))
        if config.shift_pixels:
            image = _shift(image, shift_key, config.shift_pixels)
        if config.flip:
            image = jnp.where(jax.random.bernoulli(flip_key), image[:, ::-1], image)
        return image

    return jax.vmap(augment_one)(images, epoch, index)


def _shift(image: jax.Array, key: jax.Array, largest: int) -> jax.Array:
    height, width, channels = image.shape
    padded = jnp.pad(image, ((largest, largest), (largest, largest), (0, 0)))  # [H + 2 l, W + 2 l, C]
    y, x = jax.random.randint(key, (2,), 0, 2 * largest + 1)
    return jax.lax.dynamic_slice(padded, (y, x, jnp.zeros_like(y)), (height, width, channels))  # [H, W, C]


def resize(images: jax.Array, pixels: int) -> jax.Array:
    """Resize images by bilinear interpolation, smoothed where they shrink.

    Args:
      images: [B, H, W, C] uint8, 0 to 255.
      pixels: pixels of a side; 0: as the images are.

    Returns [B, pixels, pixels, C] float32, 0 to 255; the images themselves where they have that size.
    """
    if not pixels or images.shape[1:3] == (pixels, pixels):
        return images
    shape = (images.shape[0], pixels, pixels, images.shape[3])
    return jax.image.resize(images.astype(jnp.float32), shape, "linear")  # [B, pixels, pixels, C]


def apply_auto_augment(
    images: jax.Array, epoch: jax.Array, index: jax.Array, seed: int, config: AugmentConfig
) -> jax.Array:
    """Change each image by ``config.policy``, then by ``config.jitter``.

    Args:
      images: [B, H, W, C] uint8 or float32, 0 to 255.
      epoch, index: [B] int32, passes over the data before this one, and place of the example in the data.
      seed: seed of the run.
      config: ``magnitude`` and ``operations`` are for "rand" and "rand-google", ``magnitude_std`` for "rand".

    Returns [B, H, W, C] float32, 0 to 255; the images themselves without policy and jitter.
    """
    if config.policy != "none":
        keys = _keys(epoch, index, seed ^ AUTO_AUGMENT_SALT)
        images = jax.vmap(_policy(config))(images.astype(jnp.float32), keys)
    if config.jitter:
        jitter = functools.partial(three_augment.jitter, strength=config.jitter)
        images = jax.vmap(jitter)(images.astype(jnp.float32), _keys(epoch, index, seed ^ JITTER_SALT))
    return images


def _policy(config: AugmentConfig) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The change of one image by a key."""
    drawn = {"magnitude": config.magnitude, "operations": config.operations}
    return {
        "trivial": auto_augment.trivial,
        "rand": functools.partial(auto_augment.rand, deviation=config.magnitude_std, **drawn),
        "rand-google": functools.partial(google_augment.rand, **drawn),
        "auto": google_augment.auto,
        "three": three_augment.three,
    }[config.policy]


def erase(
    images: jax.Array,
    epoch: jax.Array,
    index: jax.Array,
    seed: int,
    share: float,
    fill: str = "mean",
) -> jax.Array:
    """Erase a rectangle of some images: random erasing (Zhong et al. 2017, arXiv:1708.04896, algorithm 1).

    The rectangle is cut to the image where it is longer, instead of drawn again.

    Args:
      images: [B, H, W, C] float32, normalised, so that 0 is the mean colour; so is what is returned.
      epoch, index: [B] int32, passes over the data before this one, and place of the example in the data.
      seed: seed of the run.
      share: probability that an image is erased; 0: none is.
      fill: what the rectangle becomes; "mean", the mean colour; "noise", a normal draw for each value.
    """
    if not share:
        return images

    def erase_one(image: jax.Array, key: jax.Array) -> jax.Array:
        coin, area_key, aspect_key, place_key = jax.random.split(key, 4)
        height, width = image.shape[:2]
        area = jax.random.uniform(area_key, minval=ERASE_AREA[0], maxval=ERASE_AREA[1]) * height * width
        low, high = map(jnp.log, jnp.array(ERASE_ASPECT))
        aspect = jnp.exp(jax.random.uniform(aspect_key, minval=low, maxval=high))
        box_height = jnp.minimum(jnp.sqrt(area * aspect), height)
        box_width = jnp.minimum(jnp.sqrt(area / aspect), width)
        place = jax.random.uniform(place_key, (2,))
        y, x = (
            box_height / 2 + place[0] * (height - box_height),
            box_width / 2 + place[1] * (width - box_width),
        )
        erased = box(height, width, y, x, box_height, box_width) & jax.random.bernoulli(coin, share)  # [H, W]
        # A stream of its own leaves the draws of the rectangle what they are without noise.
        noise = jax.random.normal(jax.random.fold_in(key, 0), image.shape) if fill == "noise" else 0.0
        return jnp.where(erased[..., None], noise, image)

    return jax.vmap(erase_one)(images, _keys(epoch, index, seed ^ ERASE_SALT))


def _keys(epoch: jax.Array, index: jax.Array, seed: int) -> jax.Array:
    """A key of each example, [B]."""
    base = jax.random.key(seed)
    return jax.vmap(lambda e, i: jax.random.fold_in(jax.random.fold_in(base, e), i))(epoch, index)
