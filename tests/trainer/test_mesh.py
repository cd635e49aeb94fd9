"""From devices to a mesh, from a host's rows to a global array."""

import jax
import numpy as np
import pytest

from trainer import mesh
from trainer.augment import augment
from trainer.config import DataConfig
from trainer.errors import ConfigError


def test_slices_are_the_outer_axis():
    made = mesh.make_mesh(2)
    assert made.shape == {"slice": 2, "data": 4}
    assert [d.id for d in made.devices.ravel()] == list(range(8))


def test_devices_must_divide_over_slices():
    with pytest.raises(ConfigError, match="devices must divide over 3 slices, got 8 devices"):
        mesh.make_mesh(3)


@pytest.mark.parametrize("order", [range(8), (3, 1, 0, 2, 7, 5, 6, 4)], ids=["in order", "shuffled"])
def test_rows_arrive_where_they_belong(order):
    made = jax.sharding.Mesh(np.array([jax.devices()[i] for i in order]).reshape(2, 4), mesh.AXES)
    placer = mesh.BatchPlacer(made, 16)
    images = np.arange(16 * 3).reshape(16, 3)
    placed = placer.place({"image": images[placer.rows]})["image"]
    np.testing.assert_array_equal(placed, images)
    assert placed.sharding == mesh.batch_sharding(made)
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 3)}


def augmented(devices, epoch=0, seed=0, **fields):
    made = mesh.make_mesh(1, jax.devices()[:devices])
    images = np.random.default_rng(0).integers(0, 255, (8, 6, 6, 1), np.uint8)
    batch = mesh.BatchPlacer(made, 8).place(
        {"image": images, "epoch": np.full(8, epoch, np.int32), "index": np.arange(8, dtype=np.int32)}
    )
    config = DataConfig(**fields)
    return images, np.asarray(
        jax.jit(lambda b: augment(b["image"], b["epoch"], b["index"], seed, config))(batch)
    )


def test_augmentation_does_not_depend_on_the_devices():
    _, one = augmented(1, shift_pixels=2, flip=True)
    _, eight = augmented(8, shift_pixels=2, flip=True)
    np.testing.assert_array_equal(one, eight)


def test_augmentation_changes_with_seed_and_epoch():
    _, first = augmented(1, shift_pixels=2, flip=True)
    _, next_epoch = augmented(1, epoch=1, shift_pixels=2, flip=True)
    _, other_seed = augmented(1, seed=1, shift_pixels=2, flip=True)
    assert (first != next_epoch).any()
    assert (first != other_seed).any()


def test_a_flip_mirrors_some_images_and_keeps_the_others():
    images, flipped = augmented(1, flip=True)
    mirrored = [np.array_equal(f, i[:, ::-1]) for f, i in zip(flipped, images, strict=True)]
    kept = [np.array_equal(f, i) for f, i in zip(flipped, images, strict=True)]
    assert all(m or k for m, k in zip(mirrored, kept, strict=True))
    assert 0 < sum(mirrored) < 8


def test_a_shift_moves_and_fills_with_zeros():
    images, shifted = augmented(1, shift_pixels=1)
    for before, after in zip(images[..., 0], shifted[..., 0], strict=True):
        around = np.pad(before, 1)
        windows = [around[y : y + 6, x : x + 6] for y in range(3) for x in range(3)]
        assert any(np.array_equal(after, window) for window in windows)
