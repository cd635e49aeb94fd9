"""Augmentation: keyed by (seed, epoch, index), the same on any devices, and what it does to an image."""

import jax
import numpy as np
import pytest

from trainer.config import DataConfig
from trainer.devices import mesh
from trainer.devices.batches import BatchPlacer
from trainer.learning.augmentation import augment

IMAGES = np.random.default_rng(0).integers(1, 255, (8, 6, 6, 1), np.uint8)  # no zeros: a shift's fill shows


def augmented(devices=1, epoch=0, seed=0, index=range(8), **fields):
    made = mesh.make_mesh(1, jax.devices()[:devices])
    chosen = np.array(index, np.int32)
    batch = BatchPlacer(made, len(chosen)).place(
        {"image": IMAGES[chosen], "epoch": np.full(len(chosen), epoch, np.int32), "index": chosen}
    )
    config = DataConfig(**fields)
    return np.asarray(jax.jit(lambda b: augment(b["image"], b["epoch"], b["index"], seed, config))(batch))


def test_it_does_not_depend_on_the_devices():
    one, eight = (augmented(devices, shift_pixels=2, flip=True) for devices in (1, 8))
    np.testing.assert_array_equal(one, eight)


def test_it_does_not_depend_on_the_place_in_the_batch():
    forward = augmented(shift_pixels=2, flip=True)
    backward = augmented(index=range(7, -1, -1), shift_pixels=2, flip=True)
    np.testing.assert_array_equal(forward, backward[::-1])


@pytest.mark.parametrize("changed", [{"epoch": 1}, {"seed": 1}])
def test_it_changes_with_seed_and_epoch(changed):
    assert (augmented(shift_pixels=2, flip=True) != augmented(shift_pixels=2, flip=True, **changed)).any()


def test_a_flip_mirrors_some_images_and_keeps_the_others():
    flipped = augmented(flip=True)
    mirrored = [np.array_equal(f, i[:, ::-1]) for f, i in zip(flipped, IMAGES, strict=True)]
    kept = [np.array_equal(f, i) for f, i in zip(flipped, IMAGES, strict=True)]
    assert [m or k for m, k in zip(mirrored, kept, strict=True)] == [True] * 8
    assert 0 < sum(mirrored) < 8


def test_a_shift_moves_and_fills_with_zeros():
    places = set()
    for before, after in zip(IMAGES[..., 0], augmented(shift_pixels=1)[..., 0], strict=True):
        around = np.pad(before, 1)
        windows = {(y, x): around[y : y + 6, x : x + 6] for y in range(3) for x in range(3)}
        places.update(place for place, window in windows.items() if np.array_equal(after, window))
    assert len(places) > 1
    assert {y for y, _ in places} | {x for _, x in places} == {0, 1, 2}


def test_without_settings_images_stay_as_they_are():
    np.testing.assert_array_equal(augmented(), IMAGES)
