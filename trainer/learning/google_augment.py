"""RandAugment (arXiv:1909.13719) and AutoAugment (arXiv:1805.09501) as EfficientNet and big_vision have them.

Unlike timm's RandAugment, each operation that is drawn is carried out, at one magnitude for all images, and
Cutout is among the sixteen. Pixels from outside the image are grey. Moves and Cutout count pixels, whatever
the size of the image. Source: big_vision/pp/archive/autoaugment.py, a fork of EfficientNet's file.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from trainer.learning.auto_augment import TONES, Tone, random_sign, unchanged, warp
from trainer.learning.mixing import box

FULL = 10.0  # magnitude at which turns are of 30 degrees; larger ones are allowed
GREY = 128.0  # fills what comes from outside, and Cutout
RAND_PIXELS, AUTO_PIXELS = (100.0, 40.0), (250.0, 100.0)  # full move, and full half of Cutout's side
OPERATIONS = (
    *("autocontrast", "equalize", "invert", "rotate", "posterize", "solarize", "color", "contrast"),
    *("brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y", "cutout"),
    "solarize_add",
)
# Policy v0, found on ImageNet: two operations one after the other, each with its probability and magnitude.
AUTO = (
    (("equalize", 0.8, 1), ("shear_y", 0.8, 4)),
    (("color", 0.4, 9), ("equalize", 0.6, 3)),
    (("color", 0.4, 1), ("rotate", 0.6, 8)),
    (("solarize", 0.8, 3), ("equalize", 0.4, 7)),
    (("solarize", 0.4, 2), ("solarize", 0.6, 2)),
    (("color", 0.2, 0), ("equalize", 0.8, 8)),
    (("equalize", 0.4, 8), ("solarize_add", 0.8, 3)),
    (("shear_x", 0.2, 9), ("rotate", 0.6, 8)),
    (("color", 0.6, 1), ("equalize", 1.0, 2)),
    (("invert", 0.4, 9), ("rotate", 0.6, 0)),
    (("equalize", 1.0, 9), ("shear_y", 0.6, 3)),
    (("color", 0.4, 7), ("equalize", 0.6, 0)),
    (("posterize", 0.4, 6), ("autocontrast", 0.4, 7)),
    (("solarize", 0.6, 8), ("color", 0.6, 9)),
    (("solarize", 0.2, 4), ("rotate", 0.8, 9)),
    (("rotate", 1.0, 7), ("translate_y", 0.8, 9)),
    (("shear_x", 0.0, 0), ("solarize", 0.8, 4)),
    (("shear_y", 0.8, 0), ("color", 0.6, 4)),
    (("color", 1.0, 0), ("rotate", 0.6, 2)),
    (("equalize", 0.8, 4), ("equalize", 0.0, 8)),
    (("equalize", 1.0, 4), ("autocontrast", 0.6, 2)),
    (("shear_y", 0.4, 7), ("solarize_add", 0.6, 7)),
    (("posterize", 0.8, 2), ("solarize", 0.6, 10)),
    (("solarize", 0.6, 8), ("equalize", 0.6, 1)),
    (("color", 0.8, 6), ("rotate", 0.4, 5)),
)


def rand(image: jax.Array, key: jax.Array, magnitude: float, operations: int) -> jax.Array:
    """Apply operations that are drawn evenly, one after another.

    Args:
      image: [H, W, C] float32, 0 to 255; so is what is returned.
      key: a scalar key of the draws.
      magnitude: strength of all of them; 10 is the full one.
      operations: how many.
    """
    values = jnp.array([value_of(name, magnitude, RAND_PIXELS) for name in OPERATIONS], jnp.float32)
    for layer_key in jax.random.split(key, operations):
        op_key, draw_key = jax.random.split(layer_key)
        op = jax.random.randint(op_key, (), 0, len(OPERATIONS))
        image = _apply(image, op, values[op], draw_key)
    return image


def auto(image: jax.Array, key: jax.Array) -> jax.Array:
    """Apply one of the 25 pairs of AutoAugment's policy for ImageNet.

    Args:
      image: [H, W, C] float32, 0 to 255; so is what is returned.
      key: a scalar key of the draws.
    """
    ops = jnp.array([[OPERATIONS.index(name) for name, _, _ in pair] for pair in AUTO])  # [25, 2]
    chances = jnp.array([[chance for _, chance, _ in pair] for pair in AUTO], jnp.float32)
    values = jnp.array(
        [[value_of(name, magnitude, AUTO_PIXELS) for name, _, magnitude in pair] for pair in AUTO],
        jnp.float32,
    )
    pair_key, *layer_keys = jax.random.split(key, 3)
    pair = jax.random.randint(pair_key, (), 0, len(AUTO))
    for place, layer_key in enumerate(layer_keys):
        coin, draw_key = jax.random.split(layer_key)
        changed = _apply(image, ops[pair, place], values[pair, place], draw_key)
        image = jnp.where(jax.random.bernoulli(coin, chances[pair, place]), changed, image)
    return image


def value_of(name: str, magnitude: float, pixels: tuple[float, float]) -> float:
    """Return what an operation takes at a magnitude, in the units of ``auto_augment.TONES``.

    Args:
      name: one of ``OPERATIONS``.
      magnitude: 0 to 10, or more.
      pixels: a full move, and half of the side of a full Cutout.
    """
    share = magnitude / FULL
    move, half = pixels
    if name in ("autocontrast", "equalize", "invert"):
        return 0.0
    if name in ("color", "contrast", "brightness", "sharpness"):
        return 1.8 * share + 0.1 - 1.0  # a factor of 0.1 to 1.9
    if name == "posterize":
        return float(min(8 - math.floor(4 * share), 7))  # bits that go; TensorFlow shifts by 7 at most
    if name == "solarize":
        return 256.0 - math.floor(256 * share)  # at the full magnitude no level is as high as 256
    if name == "solarize_add":
        return float(math.floor(110 * share))
    if name == "cutout":
        return float(math.floor(half * share))
    full = {"rotate": 30.0, "shear_x": 0.3, "shear_y": 0.3, "translate_x": move, "translate_y": move}
    return full[name] * share


def _apply(image: jax.Array, op: jax.Array, value: jax.Array, key: jax.Array) -> jax.Array:
    """Operation ``op`` of OPERATIONS, with a sign of its own where it turns or moves."""
    sign_key, place_key = jax.random.split(key)
    height, width = image.shape[:2]

    def drawn(name: str) -> jax.Array:
        return jnp.where(op == OPERATIONS.index(name), value * random_sign(sign_key), 0.0)

    shear_x, shear_y = drawn("shear_x"), drawn("shear_y")
    moved = warp(
        image,
        shear_x,
        shear_y,
        # TensorFlow shears around the first pixel, ``warp`` around the centre.
        drawn("translate_x") + shear_x * ((height - 1) / 2),
        drawn("translate_y") + shear_y * ((width - 1) / 2),
        jnp.deg2rad(drawn("rotate")),
        fill=GREY,
    )
    y, x = jax.random.randint(place_key, (2,), 0, jnp.array([height, width]))

    def cut(image: jax.Array, value: ArrayLike, sign: ArrayLike) -> jax.Array:
        side = 2 * jnp.asarray(value)
        inside = box(height, width, y.astype(jnp.float32), x.astype(jnp.float32), side, side)
        return jnp.where(inside[..., None], GREY, image)

    tones: list[Tone] = [cut if name == "cutout" else TONES.get(name, unchanged) for name in OPERATIONS]
    return jax.lax.switch(op, tones, moved, value, 1.0)
