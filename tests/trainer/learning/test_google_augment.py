"""RandAugment and AutoAugment of TensorFlow's code beside formulas in numpy, and 3-Augment beside Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from trainer.config import AugmentConfig, TrainConfig
from trainer.learning import google_augment, three_augment
from trainer.learning.augmentation import apply_auto_augment, erase

SIDE = 120
PIXELS = np.random.default_rng(0).integers(20, 200, (SIDE, SIDE, 3), np.uint8)
PICTURE = Image.fromarray(PIXELS)


@jax.jit
def applied(op, value, key):
    return google_augment._apply(jnp.asarray(PIXELS, jnp.float32), op, value, key)


def changed(name, magnitude, seed=0, pixels=google_augment.RAND_PIXELS):
    value = jnp.float32(google_augment.value_of(name, magnitude, pixels))
    op = jnp.int32(google_augment.OPERATIONS.index(name))
    return np.asarray(applied(op, value, jax.random.key(seed)))


# What TensorFlow's functions do at level 5 and 10, written out with Pillow's or numpy's own operations.
@pytest.mark.parametrize(
    ("name", "magnitude", "wanted", "off"),
    [
        ("brightness", 10, lambda: ImageEnhance.Brightness(PICTURE).enhance(1.9), 1),
        ("brightness", 5, lambda: PICTURE, 1),  # a factor of 1: the middle leaves the image as it is
        ("color", 0, lambda: ImageEnhance.Color(PICTURE).enhance(0.1), 1),
        ("contrast", 10, lambda: ImageEnhance.Contrast(PICTURE).enhance(1.9), 2),
        ("posterize", 10, lambda: PIXELS & 0b11110000, 0),
        ("posterize", 5, lambda: PIXELS & 0b11000000, 0),  # fewer bits at a smaller level
        ("posterize", 2, lambda: PIXELS & 0b10000000, 0),  # none asked for: TensorFlow shifts by 7 at most
        ("solarize", 5, lambda: ImageOps.solarize(PICTURE, 128), 0),
        ("solarize", 10, lambda: PIXELS, 0),
        ("solarize_add", 10, lambda: np.where(PIXELS < 128, PIXELS + 110, PIXELS), 0),
        ("invert", 10, lambda: 255 - PIXELS, 0),
    ],
)
def test_an_operation_at_a_magnitude(name, magnitude, wanted, off):
    theirs = np.asarray(wanted(), np.float32)
    assert np.abs(changed(name, magnitude) - theirs).max() <= off


@pytest.mark.parametrize(("name", "axis"), [("translate_x", 1), ("translate_y", 0)])
@pytest.mark.parametrize(("magnitude", "pixels"), [(10, 100), (3, 30)])
def test_a_move_counts_pixels_and_is_filled_with_grey(name, axis, magnitude, pixels):
    moved = [changed(name, magnitude, seed) for seed in range(8)]
    left = np.full_like(PIXELS, 128)
    right = left.copy()
    ahead = [slice(None), slice(None)]
    behind = [slice(None), slice(None)]
    ahead[axis], behind[axis] = slice(pixels, None), slice(None, SIDE - pixels)
    left[tuple(behind)], right[tuple(ahead)] = PIXELS[tuple(ahead)], PIXELS[tuple(behind)]
    kinds = [(np.array_equal(image, left), np.array_equal(image, right)) for image in moved]
    assert set(kinds) == {(True, False), (False, True)}


def test_a_shear_begins_at_the_first_pixel():
    sheared = [changed("shear_x", 10, seed) for seed in range(6)]
    rows = np.arange(SIDE)
    for image in sheared:
        np.testing.assert_array_equal(image[0], PIXELS[0])  # the first row stays
        grey = (image == 128).all(-1).sum(1)  # pixels of each row that come from outside
        assert (np.abs(grey - np.floor(0.3 * rows)) <= 3).all()


@pytest.mark.parametrize(
    ("magnitude", "pixels", "half"), [(10, (100, 40), 40), (5, (100, 40), 20), (5, (250, 100), 50)]
)
def test_cutout_is_a_grey_square_cut_at_the_border(magnitude, pixels, half):
    areas = []
    for seed in range(12):
        gone = (changed("cutout", magnitude, seed, pixels) == 128).all(-1)
        rows, columns = np.flatnonzero(gone.any(1)), np.flatnonzero(gone.any(0))
        assert gone[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert max(len(rows), len(columns)) <= 2 * half
        areas.append(int(gone.sum()))
    assert min(areas) >= half**2  # a quarter stays where the centre is a corner
    assert len(set(areas)) > 3


def test_every_operation_is_carried_out_and_the_policy_has_its_25_pairs():
    assert len(google_augment.AUTO) == 25
    images = jnp.broadcast_to(jnp.asarray(PIXELS[:16, :16], jnp.float32), (256, 16, 16, 3))
    keys = jax.random.split(jax.random.key(0), 256)
    one = jax.jit(jax.vmap(lambda i, k: google_augment.rand(i, k, 9.0, 1)))(images, keys)
    same = np.mean((np.asarray(one) == PIXELS[:16, :16]).all((1, 2, 3)))
    # timm's RandAugment leaves half of the images; here only Solarize at 9 of 10 leaves these levels.
    assert same == pytest.approx(1 / 16, abs=0.05)


@pytest.mark.parametrize(
    "fields", [{"policy": "rand-google"}, {"policy": "auto"}, {"policy": "three"}, {"jitter": 0.3}]
)
def test_draws_are_of_the_example_and_the_epoch(fields):
    config = AugmentConfig(**fields)
    images = jnp.broadcast_to(jnp.asarray(PIXELS[:16, :16]), (32, 16, 16, 3))
    run = jax.jit(lambda e, i: apply_auto_augment(images, e, i, 0, config))
    epoch, index = jnp.zeros(32, jnp.int32), jnp.arange(32, dtype=jnp.int32)
    first = np.asarray(run(epoch, index))
    np.testing.assert_array_equal(run(epoch, index[::-1])[::-1], first)
    assert (np.asarray(run(epoch + 1, index)) != first).any()
    assert len({image.tobytes() for image in first}) > 9
    assert 0 <= first.min() < first.max() <= 255


def test_three_makes_an_image_grey_or_solarized_or_blurred():
    run = jax.jit(jax.vmap(lambda key: three_augment.three(jnp.asarray(PIXELS, jnp.float32), key)))
    images = np.asarray(run(jax.random.split(jax.random.key(0), 48)))
    grey = np.asarray(PICTURE.convert("L"), np.float32)[..., None]
    solarized = np.asarray(ImageOps.solarize(PICTURE, 128), np.float32)
    kinds = [
        "grey" if np.abs(i - grey).max() <= 1 else "solarized" if (i == solarized).all() else "blurred"
        for i in images
    ]
    assert all(8 <= kinds.count(kind) <= 24 for kind in ("grey", "solarized", "blurred"))


@pytest.mark.parametrize("radius", [0.1, 1.0, 2.0])
def test_blur_is_a_gaussian(radius):
    smooth = PICTURE.resize((12, 12)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    ours = np.asarray(
        jax.jit(three_augment.blurred)(jnp.asarray(np.asarray(smooth), jnp.float32), jnp.float32(radius))
    )
    theirs = np.asarray(smooth.filter(ImageFilter.GaussianBlur(radius)), np.float32)
    assert np.abs(ours - theirs).max() <= 2  # Pillow's is three boxes
    assert (ours != np.asarray(smooth)).any() == (radius >= 1)


def test_jitter_stays_within_its_strength():
    grey = jnp.full((1, 1, 3), 100.0)
    run = jax.jit(jax.vmap(lambda key: three_augment.jitter(grey, key, 0.3)))
    levels = np.asarray(run(jax.random.split(jax.random.key(0), 200)))[:, 0, 0, 0]
    # Contrast and saturation leave a grey image; brightness multiplies by 0.7 to 1.3.
    assert (levels.min() >= 69, levels.max() <= 130) == (True, True)
    assert levels.std() == pytest.approx(60 / 12**0.5, rel=0.15)


def test_erasing_with_noise_keeps_the_rectangles_of_erasing_with_the_mean():
    images, at = jnp.full((64, 12, 12, 3), 9.0), jnp.arange(64, dtype=jnp.int32)
    run = jax.jit(erase, static_argnums=(3, 4, 5))
    mean, noise = (np.asarray(run(images, at * 0, at, 0, 0.5, fill)) for fill in ("mean", "noise"))
    np.testing.assert_array_equal(noise == 9, mean == 9)
    drawn = noise[noise != 9]
    assert (drawn.mean(), drawn.std()) == pytest.approx((0, 1), abs=0.1)


@pytest.mark.parametrize("policy", ["rand", "trivial", "none"])
def test_a_magnitude_above_10_is_for_rand_google(policy):
    TrainConfig(augment=AugmentConfig(policy="rand-google", magnitude=20.0))
    with pytest.raises(
        Exception, match=r"augment.magnitude: must be at most 10 unless augment.policy is rand"
    ):
        TrainConfig(augment=AugmentConfig(policy=policy, magnitude=11.0))
