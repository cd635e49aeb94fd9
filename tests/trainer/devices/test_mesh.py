"""The mesh of devices, and the placement of a host's rows in a global array."""

import jax
import numpy as np
import pytest

from trainer.devices import mesh
from trainer.devices.batches import BatchPlacer
from trainer.errors import ConfigError


def test_slices_are_the_outer_axis():
    grid = mesh.make_mesh(2)
    assert grid.shape == {"slice": 2, "data": 4}
    assert [d.id for d in grid.devices.ravel()] == list(range(8))


def test_devices_must_divide_over_slices():
    with pytest.raises(ConfigError, match="devices must divide over 3 slices, got 8 devices"):
        mesh.make_mesh(3)


@pytest.mark.parametrize("order", [range(8), (3, 1, 0, 2, 7, 5, 6, 4)], ids=["in order", "shuffled"])
def test_rows_are_placed_in_the_order_of_the_global_batch(order):
    grid = jax.sharding.Mesh(np.array([jax.devices()[i] for i in order]).reshape(2, 4), mesh.AXES)
    placer = BatchPlacer(grid, 16)
    images = np.arange(16 * 3).reshape(16, 3)
    placed = placer.place({"image": images[placer.rows]})["image"]
    np.testing.assert_array_equal(placed, images)
    assert placed.sharding == mesh.batch_sharding(grid)
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 3)}
