"""A stem's pooling in cells of two by two pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from trainer.models import stem_cells


def in_cells(y):
    """[B, H, W, C] -> [B, H / 2, W / 2, 4 * C]"""
    return jnp.concatenate([y[:, row::2, column::2] for row in (0, 1) for column in (0, 1)], axis=-1)


def layered(images, kernel, multiplier, shift):
    window = {"strides": (2, 2), "padding": ((1, 1), (1, 1))}
    pooled = nnx.max_pool(convolved(images, kernel), (3, 3), **window)
    return nnx.relu(pooled * multiplier + shift)


def convolved(images, kernel):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(images, kernel, (2, 2), ((3, 3), (3, 3)), dimension_numbers=layout)


def celled(images, kernel, multiplier, shift):
    places = stem_cells.cell_kernel(kernel)
    cells = stem_cells.convolve(images, places, stem_cells.PAD, stem_cells.PAD)
    return stem_cells.pooled_norm(cells, multiplier, shift, images, kernel)


@pytest.mark.parametrize("ties", [False, True])
def test_results_and_gradients_are_those_of_the_layers_in_float64(ties):
    """With ties, of whole numbers, the first of equal pixels has the gradient."""
    with jax.enable_x64(True):
        keys = iter(jax.random.split(jax.random.key(0), 4))
        images = jax.random.normal(next(keys), (2, 16, 20, 3), jnp.float64)
        kernel = jax.random.normal(next(keys), (7, 7, 3, 4), jnp.float64)
        if ties:
            images, kernel = jnp.round(images / 2), jnp.round(kernel / 2)
        multiplier, shift = jnp.array([0.5, 1.0, 2.0, 0.1]), jnp.array([-1.0, 0.0, 0.5, -0.1])
        grad = jax.random.normal(next(keys), (2, 4, 5, 4), jnp.float64)
        arrays = (images, kernel, multiplier, shift)
        (y, back), (wanted, wanted_back) = (jax.vjp(f, *arrays) for f in (celled, layered))
        np.testing.assert_allclose(y, wanted, rtol=1e-12, atol=1e-12)
        for ours, plain in zip(back(grad), wanted_back(grad), strict=True):
            np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-12)


def test_the_pixels_of_a_cell_lie_beside_each_other():
    images = jax.random.normal(jax.random.key(0), (1, 16, 12, 3))
    kernel = jax.random.normal(jax.random.key(1), (7, 7, 3, 2))
    places = stem_cells.cell_kernel(kernel)
    cells = stem_cells.convolve(images, places, stem_cells.PAD, stem_cells.PAD)
    np.testing.assert_allclose(cells, in_cells(convolved(images, kernel)), rtol=1e-4, atol=1e-4)
