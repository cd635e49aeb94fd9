"""TrivialAugment and RandAugment: each operation by hand or beside Pillow, and the draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from trainer.config import AugmentConfig
from trainer.learning import auto_augment
from trainer.learning.augmentation import apply_auto_augment, erase

PIXELS = np.random.default_rng(0).integers(20, 200, (16, 16, 3), np.uint8)
PICTURE = Image.fromarray(PIXELS)


@functools.partial(jax.jit, static_argnums=(0,))
def tone(name, value, sign):
    return auto_augment.TONES[name](jnp.asarray(PIXELS, jnp.float32), value, sign)


# operation, its value and sign, what Pillow makes of it, and by how much rounding may differ
PILLOW = {
    "brightness": (0.4, 1.0, lambda p: ImageEnhance.Brightness(p).enhance(1.4), 1),
    "color": (0.5, -1.0, lambda p: ImageEnhance.Color(p).enhance(0.5), 1),
    "contrast": (0.5, 1.0, lambda p: ImageEnhance.Contrast(p).enhance(1.5), 2),
    "sharpness": (0.9, 1.0, lambda p: ImageEnhance.Sharpness(p).enhance(1.9), 2),
    "posterize": (4.0, 1.0, lambda p: ImageOps.posterize(p, 4), 0),
    "solarize": (156.0, 1.0, lambda p: ImageOps.solarize(p, 100), 0),
    "autocontrast": (0.0, 1.0, ImageOps.autocontrast, 1),
    "equalize": (0.0, 1.0, ImageOps.equalize, 0),
    "invert": (0.0, 1.0, ImageOps.invert, 0),
}


@pytest.mark.parametrize("name", PILLOW)
def test_an_operation_is_that_of_pillow(name):
    value, sign, theirs, off = PILLOW[name]
    found = np.asarray(tone(name, value, sign))
    assert np.abs(found - np.asarray(theirs(PICTURE), np.float32)).max() <= off
    assert (found != PIXELS).any()


def test_solarize_add_by_hand():
    image = jnp.array([[[0.0], [127.0], [128.0], [250.0]]])
    np.testing.assert_array_equal(
        auto_augment.TONES["solarize_add"](image, 50.4, 1.0)[0, :, 0], [50, 177, 128, 250]
    )


@pytest.mark.parametrize(
    ("turn", "wanted"),
    [
        ((0, 0, 1, 0, 0), [[2, 3, 0], [5, 6, 0], [8, 9, 0]]),  # by one column
        ((0, 0, 0, -1, 0), [[0, 0, 0], [1, 2, 3], [4, 5, 6]]),  # by one row, downwards
        ((0, 0, 0, 0, np.pi / 2), [[7, 4, 1], [8, 5, 2], [9, 6, 3]]),  # a quarter
        ((1, 0, 0, 0, 0), [[0, 1, 2], [4, 5, 6], [8, 9, 0]]),  # rows against each other
    ],
)
def test_turning_by_hand(turn, wanted):
    image = jnp.arange(1.0, 10.0).reshape(3, 3, 1)
    np.testing.assert_array_equal(auto_augment.warp(image, *turn)[..., 0], wanted)


@pytest.mark.parametrize("name", ["trivial", "rand"])
def test_draws_are_of_the_example_and_the_epoch(name):
    config = AugmentConfig(policy=name)
    images = jnp.broadcast_to(jnp.asarray(PIXELS), (32, *PIXELS.shape))
    run = jax.jit(lambda e, i: apply_auto_augment(images, e, i, 0, config))
    epoch, index = jnp.zeros(32, jnp.int32), jnp.arange(32, dtype=jnp.int32)
    first = np.asarray(run(epoch, index))
    np.testing.assert_array_equal(run(epoch, index[::-1])[::-1], first)
    assert (np.asarray(run(epoch + 1, index)) != first).any()
    assert len({image.tobytes() for image in first}) > 12
    assert (first.min(), first.max()) >= (0, 0)
    assert first.max() <= 255


def test_erasing_takes_the_stated_share_of_images_and_area():
    images = jnp.ones((400, 24, 24, 1))
    at = jnp.arange(400, dtype=jnp.int32)
    erased = np.asarray(jax.jit(lambda i: erase(images, at * 0, at, 0, 0.25))(images))
    gone = 1 - erased.mean(axis=(1, 2, 3))
    hit = gone > 0
    assert hit.mean() == pytest.approx(0.25, abs=0.06)  # 400 draws: a deviation of 0.022
    assert gone[hit].min() > 0.005
    assert gone[hit].max() < 0.45  # a third, and the border's rounding
