"""TrivialAugment (arXiv:2103.10158, wide) and RandAugment (arXiv:1909.13719, as timm has it) on the device.

Every image draws its operations from its own key. Turning, shearing and moving are one lookup with one
matrix, and the operations on colour are one switch, so that an image costs the same whatever it drew.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

Tone = Callable[[jax.Array, ArrayLike, ArrayLike], jax.Array]

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as PIL

# operation -> the value at full strength. Shears are ratios, turns degrees, moves pixels; in RAND moves are
# shares of the side. Tones have 0..1, "posterize" bits, "solarize" and "solarize_add" levels of 0..255.
GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
TRIVIAL = {
    "identity": 0.0,
    "shear_x": 0.99,
    "shear_y": 0.99,
    "translate_x": 32.0,
    "translate_y": 32.0,
    "rotate": 135.0,
    "brightness": 0.99,
    "color": 0.99,
    "contrast": 0.99,
    "sharpness": 0.99,
    "posterize": 6.0,
    "solarize": 255.0,
    "autocontrast": 0.0,
    "equalize": 0.0,
}
RAND = {
    "autocontrast": 0.0,
    "equalize": 0.0,
    "invert": 0.0,
    "rotate": 30.0,
    "posterize": 4.0,
    "solarize": 256.0,
    "solarize_add": 110.0,
    "color": 0.9,
    "contrast": 0.9,
    "brightness": 0.9,
    "sharpness": 0.9,
    "shear_x": 0.3,
    "shear_y": 0.3,
    "translate_x": 0.45,
    "translate_y": 0.45,
}
STRENGTHS = 31  # of TrivialAugment, evenly from nothing to the full value
APPLIED = 0.5  # probability that an operation of RandAugment is carried out


def trivial(image: jax.Array, key: jax.Array) -> jax.Array:
    """Apply one operation of a uniform strength (TrivialAugment, arXiv:2103.10158, algorithm 1).

    Args:
      image: [H, W, C] float32, 0 to 255; so is what is returned.
      key: a scalar key of the draws.
    """
    op_key, strength_key, sign_key = jax.random.split(key, 3)
    strength = jax.random.randint(strength_key, (), 0, STRENGTHS) / (STRENGTHS - 1)
    op = jax.random.randint(op_key, (), 0, len(TRIVIAL))
    return _apply(image, TRIVIAL, op, strength, random_sign(sign_key), relative=False)


def rand(image: jax.Array, key: jax.Array, magnitude: float, deviation: float, operations: int) -> jax.Array:
    """Apply operations, each with probability 1/2 (RandAugment, arXiv:1909.13719, figure 2, as timm).

    Args:
      image: [H, W, C] float32, 0 to 255; so is what is returned.
      key: a scalar key of the draws.
      magnitude, deviation: mean and standard deviation of the strength, of 10; drawn for each operation.
      operations: how many, one after another.
    """
    for layer_key in jax.random.split(key, operations):
        op_key, strength_key, sign_key, coin = jax.random.split(layer_key, 4)
        strength = jnp.clip(magnitude + deviation * jax.random.normal(strength_key), 0.0, 10.0) / 10.0
        op = jax.random.randint(op_key, (), 0, len(RAND))
        changed = _apply(image, RAND, op, strength, random_sign(sign_key), relative=True)
        image = jnp.where(jax.random.bernoulli(coin, APPLIED), changed, image)
    return image


def random_sign(key: jax.Array) -> jax.Array:
    """Return -1 or 1, a scalar float32, each with probability 1/2."""
    return jnp.where(jax.random.bernoulli(key), 1.0, -1.0)


def _apply(
    image: jax.Array,
    table: dict[str, float],
    op: jax.Array,
    strength: jax.Array,
    sign: jax.Array,
    relative: bool,
) -> jax.Array:
    """Operation ``op`` of the table. relative: whether moves are shares of the side instead of pixels."""
    names = list(table)
    value = jnp.array(list(table.values()))[op] * strength
    turn = {name: jnp.where(op == names.index(name), value * sign, 0.0) for name in GEOMETRIC}
    scale = jnp.array(image.shape[:2], jnp.float32) if relative else jnp.ones(2)
    moved = warp(
        image,
        turn["shear_x"],
        turn["shear_y"],
        turn["translate_x"] * scale[1],
        turn["translate_y"] * scale[0],
        jnp.deg2rad(turn["rotate"]),
    )
    tones = [TONES.get(name, unchanged) for name in names]
    return jax.lax.switch(op, tones, moved, value, sign)


def warp(
    image: jax.Array,
    shear_x: ArrayLike,
    shear_y: ArrayLike,
    move_x: ArrayLike,
    move_y: ArrayLike,
    angle: ArrayLike,
    fill: float = 0.0,
) -> jax.Array:
    """Turn and shear an image around its centre and move it, and take the nearest pixels.

    Args:
      image: [H, W, C] float32; so is what is returned.
      shear_x, shear_y: pixels of shift for each pixel across.
      move_x, move_y: pixels to the left and upwards.
      angle: radians.
      fill: level of what comes from outside the image.
    """
    height, width = image.shape[:2]
    y = (jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2)[:, None]  # [H, 1]
    x = (jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2)[None, :]  # [1, W]
    from_x = jnp.cos(angle) * x + jnp.sin(angle) * y + shear_x * y + move_x  # [H, W]
    from_y = jnp.cos(angle) * y - jnp.sin(angle) * x + shear_y * x + move_y  # [H, W]
    rows = jnp.round(from_y + (height - 1) / 2).astype(jnp.int32)
    columns = jnp.round(from_x + (width - 1) / 2).astype(jnp.int32)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    moved = image[jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)]  # [H, W, C]
    return jnp.where(inside[..., None], moved, fill)


# The tones: image [H, W, C] float32, 0 to 255; value, a scalar float32 of the table; sign, -1 or 1.


def unchanged(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    """Return the image."""
    return image


def _invert(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    return 255.0 - image


def _brightness(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    return _enhance(image, 0.0, value, sign)


def _color(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    return _enhance(image, _grey(image), value, sign)


def _contrast(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    return _enhance(image, jnp.round(jnp.mean(_grey(image))), value, sign)


def _sharpness(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    return _enhance(image, _smooth(image), value, sign)


def _enhance(image: jax.Array, degenerate: ArrayLike, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    """Away from ``degenerate``, or towards it: by a factor of 1 + sign x value, as PIL's enhancers."""
    return jnp.clip(jnp.floor(degenerate + (image - degenerate) * (1.0 + sign * value)), 0.0, 255.0)


def _grey(image: jax.Array) -> jax.Array:
    channels = image.shape[-1]
    weights = GREY if channels == 3 else jnp.full(channels, 1.0 / channels)
    return jnp.round(jnp.sum(image * weights, axis=-1, keepdims=True))  # [H, W, 1]


def _smooth(image: jax.Array) -> jax.Array:
    """PIL's SMOOTH filter: weights 1, and 5 in the middle, of 13; the border stays."""
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))  # [H + 2, W + 2, C]
    height, width = image.shape[:2]
    windows = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    smooth = jnp.round((sum(windows) + 4.0 * image) / 13.0)
    inner = jnp.zeros((height, width, 1), bool).at[1:-1, 1:-1].set(True)
    return jnp.where(inner, smooth, image)


def _posterize(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    """Keeps the 8 - value highest bits."""
    step = 2.0 ** jnp.floor(value)
    return jnp.floor(image / step) * step


def _solarize(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    """Inverts the levels from 256 - value."""
    return jnp.where(image >= 256.0 - value, 255.0 - image, image)


def _solarize_add(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    """Adds whole levels to those below 128."""
    return jnp.where(image < 128.0, jnp.clip(image + jnp.floor(value), 0.0, 255.0), image)


def _autocontrast(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    low, high = jnp.min(image, axis=(0, 1)), jnp.max(image, axis=(0, 1))  # [C], [C]
    stretched = jnp.floor((image - low) * (255.0 / jnp.maximum(high - low, 1.0)))
    return jnp.where(high > low, jnp.clip(stretched, 0.0, 255.0), image)


def _equalize(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
    channels_first = jnp.moveaxis(image, -1, 0)  # [C, H, W]
    return jnp.moveaxis(jax.vmap(_equalize_channel)(channels_first), 0, -1)  # [H, W, C]


def _equalize_channel(channel: jax.Array) -> jax.Array:
    """A flat histogram, by PIL's arithmetic on whole numbers. channel: [H, W]."""
    levels = jnp.clip(channel, 0, 255).astype(jnp.int32)
    counts = jnp.zeros(256, jnp.int32).at[levels.ravel()].add(1)
    last = counts[jnp.max(levels)]
    step = (levels.size - last) // 255
    table = (jnp.cumsum(counts) - counts + step // 2) // jnp.maximum(step, 1)
    return jnp.where(step > 0, jnp.clip(table, 0, 255)[levels].astype(jnp.float32), channel)


TONES: dict[str, Tone] = {
    "brightness": _brightness,
    "color": _color,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": _invert,
}
