"""TrivialAugment (arXiv:2103.10158, wide) and RandAugment (arXiv:1909.13719, as timm has it) on the device.

Every image draws its operations from its own key. Turning, shearing and moving are one lookup with one
matrix, and the operations on colour are one switch, so that an image costs the same whatever it drew.
"""

import jax
import jax.numpy as jnp
import numpy as np

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as PIL

# operation: (TrivialAugment's largest value, RandAugment's at magnitude 10); translation: pixels, share
TURNING = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
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
LEVELS = 31  # of TrivialAugment's strength
USED = 0.5  # share of RandAugment's operations that are carried out
LAYERS = 2


def trivial(image: jax.Array, key: jax.Array) -> jax.Array:
    """One operation of a uniform strength. image: [H, W, C] float32, 0..255; so is what is returned."""
    which, level, sign = jax.random.split(key, 3)
    strength = jax.random.randint(level, (), 0, LEVELS) / (LEVELS - 1)
    op = jax.random.randint(which, (), 0, len(TRIVIAL))
    return _apply(image, TRIVIAL, op, strength, _sign(sign), relative=False)


def rand(image: jax.Array, key: jax.Array, magnitude: float, deviation: float) -> jax.Array:
    """Two operations, each carried out for half of the images, at a strength drawn around ``magnitude``."""
    for layer in jax.random.split(key, LAYERS):
        which, level, sign, coin = jax.random.split(layer, 4)
        strength = jnp.clip(magnitude + deviation * jax.random.normal(level), 0.0, 10.0) / 10.0
        op = jax.random.randint(which, (), 0, len(RAND))
        changed = _apply(image, RAND, op, strength, _sign(sign), relative=True)
        image = jnp.where(jax.random.bernoulli(coin, USED), changed, image)
    return image


def _sign(key: jax.Array) -> jax.Array:
    return jnp.where(jax.random.bernoulli(key), 1.0, -1.0)


def _apply(image, table: dict[str, float], op, strength, sign, relative: bool) -> jax.Array:
    names = list(table)
    value = jnp.array(list(table.values()))[op] * strength
    turn = {name: jnp.where(op == names.index(name), value * sign, 0.0) for name in TURNING}
    scale = jnp.array(image.shape[:2]) if relative else jnp.ones(2)
    moved = warp(
        image,
        turn["shear_x"],
        turn["shear_y"],
        turn["translate_x"] * scale[1],
        turn["translate_y"] * scale[0],
        jnp.deg2rad(turn["rotate"]),
    )
    tones = [TONES.get(name, _same) for name in names]
    return jax.lax.switch(op, tones, moved, value, sign)


def warp(image, shear_x, shear_y, move_x, move_y, angle) -> jax.Array:
    """Turns and shears around the centre and moves; the nearest pixel, black from outside."""
    height, width = image.shape[:2]
    y = (jnp.arange(height) - (height - 1) / 2)[:, None]
    x = (jnp.arange(width) - (width - 1) / 2)[None, :]
    from_x = jnp.cos(angle) * x + jnp.sin(angle) * y + shear_x * y + move_x
    from_y = jnp.cos(angle) * y - jnp.sin(angle) * x + shear_y * x + move_y
    rows = jnp.round(from_y + (height - 1) / 2).astype(jnp.int32)
    columns = jnp.round(from_x + (width - 1) / 2).astype(jnp.int32)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    found = image[jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)]
    return jnp.where(inside[..., None], found, 0.0)


def _same(image, value, sign):
    return image


def _blend(image, other, value, sign):
    """From ``image`` towards ``other``, or away from it: a factor of 1 + sign x value, as PIL's enhancers."""
    return jnp.clip(jnp.floor(other + (image - other) * (1.0 + sign * value)), 0.0, 255.0)


def _grey(image):
    weights = GREY if image.shape[-1] == 3 else jnp.full(image.shape[-1], 1.0 / image.shape[-1])
    return jnp.round(jnp.sum(image * weights, axis=-1, keepdims=True))


def _smooth(image):
    """PIL's SMOOTH filter; the border stays."""
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
    height, width = image.shape[:2]
    windows = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    smooth = jnp.round((sum(windows) + 4.0 * image) / 13.0)
    inner = jnp.zeros((height, width, 1), bool).at[1:-1, 1:-1].set(True)
    return jnp.where(inner, smooth, image)


def _posterize(image, value, sign):
    """Keeps the 8 - value highest bits."""
    step = 2.0 ** jnp.floor(value)
    return jnp.floor(image / step) * step


def _autocontrast(image, value, sign):
    low, high = jnp.min(image, axis=(0, 1)), jnp.max(image, axis=(0, 1))
    stretched = jnp.floor((image - low) * (255.0 / jnp.maximum(high - low, 1.0)))
    return jnp.where(high > low, jnp.clip(stretched, 0.0, 255.0), image)


def _equalize(image, value, sign):
    return jnp.moveaxis(jax.vmap(_equalized)(jnp.moveaxis(image, -1, 0)), 0, -1)


def _equalized(channel):
    """A flat histogram, by PIL's arithmetic on whole numbers. channel: [H, W]."""
    levels = jnp.clip(channel, 0, 255).astype(jnp.int32)
    counts = jnp.zeros(256, jnp.int32).at[levels.ravel()].add(1)
    last = counts[jnp.max(levels)]
    step = (levels.size - last) // 255
    table = (jnp.cumsum(counts) - counts + step // 2) // jnp.maximum(step, 1)
    return jnp.where(step > 0, jnp.clip(table, 0, 255)[levels].astype(jnp.float32), channel)


TONES = {
    "brightness": lambda i, v, s: _blend(i, 0.0, v, s),
    "color": lambda i, v, s: _blend(i, _grey(i), v, s),
    "contrast": lambda i, v, s: _blend(i, jnp.round(jnp.mean(_grey(i))), v, s),
    "sharpness": lambda i, v, s: _blend(i, _smooth(i), v, s),
    "posterize": _posterize,
    "solarize": lambda i, v, s: jnp.where(i >= 256.0 - v, 255.0 - i, i),
    "solarize_add": lambda i, v, s: jnp.where(i < 128.0, jnp.clip(i + jnp.floor(v), 0.0, 255.0), i),
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": lambda i, v, s: 255.0 - i,
}
