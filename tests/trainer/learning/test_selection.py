"""The largest numbers of an array, beside a stable sort."""

import jax.numpy as jnp
import numpy as np
import pytest

from trainer.learning.selection import largest, largest_of_groups


def by_sorting(scores, count, among=None):
    flat = scores.ravel().astype(np.float64)
    flat = flat if among is None else np.where(among.ravel(), flat, -1)
    mask = np.zeros(flat.size, bool)
    mask[np.argsort(-flat, kind="stable")[:count]] = True
    return mask.reshape(scores.shape)


@pytest.mark.parametrize(
    "scores",
    [
        np.random.default_rng(0).random((3, 3, 4, 5)).astype(np.float32),
        np.random.default_rng(1).integers(0, 4, (6, 7)).astype(np.float32),  # many equal ones
        np.zeros((4, 9), np.float32),
        np.array([[0.0, 1e-38, 3e38, 1e-45, np.inf, 2.0, 2.0]], np.float32),
    ],
)
def test_exactly_the_largest_and_of_equals_the_first(scores):
    among = np.random.default_rng(2).random(scores.shape) < 0.7
    for count in {0, 1, scores.size // 3, scores.size - 1, scores.size}:
        np.testing.assert_array_equal(largest(jnp.asarray(scores), count), by_sorting(scores, count))
        few = min(count, int(among.sum()))
        mask = largest(jnp.asarray(scores), jnp.int32(few), jnp.asarray(among))
        np.testing.assert_array_equal(mask, by_sorting(scores, few, among))


@pytest.mark.parametrize(("count", "length"), [(2, 4), (4, 8), (1, 2)])
@pytest.mark.parametrize("shape", [(8, 5), (3, 3, 16, 4), (1, 1, 8, 1)])
def test_each_group_of_inputs_has_its_largest(shape, count, length):
    scores = np.random.default_rng(0).integers(0, 3, shape).astype(np.float32)
    mask = np.asarray(largest_of_groups(jnp.asarray(scores), count, length))
    inputs, outputs = shape[-2:]
    rows = np.moveaxis(scores.reshape(-1, inputs // length, length, outputs), 2, -1).reshape(-1, length)
    wanted = np.stack([by_sorting(row, count) for row in rows])
    got = np.moveaxis(mask.reshape(-1, inputs // length, length, outputs), 2, -1).reshape(-1, length)
    np.testing.assert_array_equal(got, wanted)
