"""Products over rows on a CPU: one function, the same gradients, other platforms untouched."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from trainer.devices import cpu_barrier, cpu_products

cpu_products.install()
cpu_products.install()  # the second call adds nothing

# examples, features before and after the matrix: results that stay as they are, and that are large
SMALL = [(24, 16, 384), (24, 384, 16), (24, 100, 100)]
LARGE = [(40, 2048, 260), (40, 260, 2048), (12, 768, 768)]


def arrays(sizes):
    rows, inputs, outputs = sizes
    draws = np.random.default_rng(1)
    shapes = [(8, rows, inputs), (inputs, outputs), (8, rows, outputs)]
    return [jnp.asarray(draws.normal(size=shape), jnp.float32) for shape in shapes]


def gradient(x, matrix, pull):
    return jax.grad(lambda matrix: jnp.vdot(x @ matrix, pull))(matrix)


def compiled(sizes):
    return jax.jit(gradient, compiler_options=cpu_barrier.OPTIONS).lower(*arrays(sizes))


@pytest.mark.parametrize("sizes", SMALL + LARGE)
def test_the_gradient_of_a_matrix_is_that_in_float64(sizes):
    x, matrix, pull = arrays(sizes)
    wanted = np.einsum("bri,bro->io", np.asarray(x, np.float64), np.asarray(pull, np.float64))
    np.testing.assert_allclose(
        compiled(sizes).compile()(x, matrix, pull), wanted, rtol=1e-4, atol=2e-5 * np.abs(wanted).max()
    )


@pytest.mark.parametrize("sizes", SMALL + LARGE)
def test_both_orders_of_the_operands_are_the_same_function(sizes):
    x, _, pull = arrays(sizes)
    first = jax.jit(lambda x, pull: jnp.einsum("bri,bro->io", x, pull))(x, pull)
    second = jax.jit(lambda x, pull: jnp.einsum("bro,bri->oi", pull, x))(x, pull)
    np.testing.assert_allclose(first, second.T, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("sizes", LARGE)
def test_a_large_result_is_xlas_fast_product_of_rows_and_columns(sizes):
    text = compiled(sizes).as_text()
    assert text.count("contracting_dims = [1] x [0]") == 1
    assert "contracting_dims = [0] x [0]" not in text


@pytest.mark.parametrize("sizes", SMALL)
def test_the_smaller_operand_of_a_small_result_comes_first_and_none_is_transposed(sizes):
    text = compiled(sizes).as_text()
    smaller, larger = sorted(sizes[1:])
    [line] = [line for line in text.splitlines() if "contracting_dims = [0] x [0]" in line]
    rows = 8 * sizes[0]
    assert f"(tensor<{rows}x{smaller}xf32>, tensor<{rows}x{larger}xf32>)" in line


@pytest.mark.parametrize(
    ("x", "y", "axes"),
    [
        ((64, 512), (512, 640), ((1,), (0,))),  # a row of one and a column of the other
        ((512, 64), (512, 640), ((0,), (0,))),  # in the best form already
        ((8, 8), (8, 8), ((0,), (0,))),  # too little work
        ((64, 260), (64, 2048), ((0,), (0,))),  # few rows, whose result costs more to transpose
        ((4, 64, 640), (64, 4, 640), ((0, 1), (1, 0))),  # other rows of each
    ],
)
def test_other_products_stay(x, y, axes):
    lowered = jax.jit(lambda x, y: jax.lax.dot_general(x, y, (axes, ((), ())))).lower(
        jnp.zeros(x), jnp.zeros(y)
    )
    assert "optimization_barrier" not in lowered.as_text()


def test_a_batch_of_products_and_a_second_derivative_are_the_same_function():
    x, matrix, pull = arrays(LARGE[0])
    many = jax.jit(jax.vmap(gradient, (0, None, 0)))(x[:2, None], matrix, pull[:2, None])
    for one, row, pulled in zip(many, x, pull, strict=False):
        np.testing.assert_allclose(one, row.T @ pulled, rtol=1e-4, atol=1e-3)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(gradient(x, matrix, pull))))(x)
    wanted = jnp.broadcast_to(pull.sum(-1, keepdims=True), x.shape)
    np.testing.assert_allclose(slope, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("sizes", [SMALL[1], LARGE[0]])
def test_it_is_exported_and_read_again(sizes):
    x, matrix, pull = arrays(sizes)
    program = export.deserialize(export.export(jax.jit(gradient))(x, matrix, pull).serialize())
    wanted = jax.jit(gradient)(x, matrix, pull)
    np.testing.assert_allclose(program.call(x, matrix, pull), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("sizes", [SMALL[1], LARGE[0]])
def test_several_devices_compute_the_same(sizes, axis_type):
    x, matrix, pull = arrays(sizes)
    wanted = jax.jit(gradient)(x, matrix, pull)
    devices = jax.make_mesh((8,), ("batch",), axis_types=(axis_type,))
    parts, whole = (NamedSharding(devices, PartitionSpec(axes)) for axes in ("batch", None))
    split = jax.device_put((x, matrix, pull), (parts, whole, parts))
    summed = jax.shard_map(
        lambda *arrays: jax.lax.psum(gradient(*arrays), "batch"),
        mesh=devices,
        in_specs=(PartitionSpec("batch"), PartitionSpec(), PartitionSpec("batch")),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    ways = [summed] if axis_type == AxisType.Explicit else [summed, gradient]
    for way in ways:
        np.testing.assert_allclose(jax.jit(way)(*split), wanted, rtol=1e-4, atol=1e-3)


PLATFORMS = """
import jax, jax.numpy as jnp
from trainer.devices import cpu_products

def texts():
    loss = jax.grad(lambda matrix, x: (x @ matrix).sum())
    trace = jax.jit(loss).trace(jnp.zeros((INPUTS, OUTPUTS)), jnp.zeros((8, ROWS, INPUTS)))
    return [trace.lower(lowering_platforms=(name,)).as_text() for name in ("tpu", "cuda", "cpu")]

before = texts()
cpu_products.install()
jax.clear_caches()
print([a == b for a, b in zip(before, texts())])
"""


@pytest.mark.parametrize("sizes", [SMALL[0], LARGE[0]])
def test_programs_for_other_platforms_are_the_same_bytes(sizes):
    code = f"ROWS, INPUTS, OUTPUTS = {sizes}\n{PLATFORMS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True, False]\n"
