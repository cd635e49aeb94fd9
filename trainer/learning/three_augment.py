"""3-Augment of DeiT III (arXiv:2204.07118, section 4.2), and the jitter of colours that goes with it."""

import jax
import jax.numpy as jnp

from trainer.learning.auto_augment import TONES

BLUR_RADIUS = (0.1, 2.0)  # least and largest standard deviation in pixels
BLUR_REACH = 6  # pixels to each side, three of the largest deviation
THRESHOLD = 128.0  # levels from here on are inverted
JITTERED = ("brightness", "contrast", "color")


def three(image: jax.Array, key: jax.Array) -> jax.Array:
    """Turn the image grey, invert its bright levels or blur it, each in a third of the images.

    Args:
      image: [H, W, C] float32, 0 to 255; so is what is returned.
      key: a scalar key of the draws.
    """
    op_key, radius_key = jax.random.split(key)
    radius = jax.random.uniform(radius_key, minval=BLUR_RADIUS[0], maxval=BLUR_RADIUS[1])
    changes = [
        lambda image: TONES["color"](image, -1.0, 1.0),
        lambda image: TONES["solarize"](image, 256.0 - THRESHOLD, 1.0),
        lambda image: blurred(image, radius),
    ]
    return jax.lax.switch(jax.random.randint(op_key, (), 0, len(changes)), changes, image)


def blurred(image: jax.Array, radius: jax.Array) -> jax.Array:
    """Return the image under a Gaussian, whole levels; beyond the border its last pixels go on.

    Args:
      image: [H, W, C] float32, 0 to 255.
      radius: scalar float32, standard deviation in pixels.
    """
    places = jnp.arange(-BLUR_REACH, BLUR_REACH + 1, dtype=jnp.float32)
    weights = jnp.exp(-0.5 * jnp.square(places / radius))
    weights = weights / jnp.sum(weights)
    for axis in (0, 1):
        reach = [(BLUR_REACH, BLUR_REACH) if a == axis else (0, 0) for a in range(3)]
        padded = jnp.pad(image, reach, mode="edge")
        parts = [
            weights[i] * jax.lax.slice_in_dim(padded, i, i + image.shape[axis], axis=axis)
            for i in range(len(places))
        ]
        image = sum(parts[1:], parts[0])
    return jnp.round(image)


def jitter(image: jax.Array, key: jax.Array, strength: float) -> jax.Array:
    """Change brightness, contrast and saturation in random order, as torchvision's ColorJitter.

    Args:
      image: [H, W, C] float32, 0 to 255; so is what is returned.
      key: a scalar key of the draws.
      strength: each factor is drawn evenly from 1 - strength to 1 + strength; 0 to 1.
    """
    order_key, factor_key = jax.random.split(key)
    changes = jax.random.uniform(factor_key, (len(JITTERED),), minval=-strength, maxval=strength)
    tones = [TONES[name] for name in JITTERED]
    for op in jax.random.permutation(order_key, len(JITTERED)):
        image = jax.lax.switch(op, tones, image, changes[op], 1.0)
    return image
