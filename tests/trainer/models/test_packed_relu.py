"""A ReLU that keeps bits for its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from trainer.models.packed_relu import packed_relu


@pytest.mark.parametrize(
    ("rows", "dtype"), [(7, jnp.bfloat16), (32, jnp.bfloat16), (33, jnp.bfloat16), (56, jnp.float32)]
)
def test_results_and_gradients_are_those_of_relu(rows, dtype):
    x = jax.random.normal(jax.random.key(0), (2, rows, 3, 5)).astype(dtype)
    x = x.at[0, 0].set(0).at[1, -1, 0, 0].set(jnp.inf).at[1, -1, 1, 0].set(jnp.nan)
    grad = jax.random.normal(jax.random.key(1), x.shape).astype(dtype)
    for ours, plain in zip(*(run(relu, x, grad) for relu in (packed_relu, nnx.relu)), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours.astype(jnp.float32), plain.astype(jnp.float32))


def run(relu, x, grad):
    @jax.jit
    def both(x, grad):
        y, back = jax.vjp(relu, x)
        return y, *back(grad)

    return both(x, grad)


@pytest.mark.parametrize(("rows", "kept"), [(28, "uint32[2,3,5]"), (56, "uint4[2,56,3,5]")])
def test_what_it_keeps(rows, kept):
    x = jnp.zeros((2, rows, 3, 5), jnp.bfloat16)
    residuals = jax.tree.leaves(jax.eval_shape(lambda x: jax.vjp(packed_relu, x)[1], x))
    assert [f"{array.dtype}[{','.join(map(str, array.shape))}]" for array in residuals] == [kept]
