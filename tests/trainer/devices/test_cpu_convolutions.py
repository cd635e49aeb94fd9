"""Convolutions as products and sums on a CPU: one function, the same gradients, other platforms untouched."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from trainer.devices import cpu_convolutions, cpu_kernel_gradients

cpu_convolutions.install()
cpu_convolutions.install()  # the second call adds nothing

NHWC, NCHW = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")

# kernel size, stride, padding, groups, image's height and width: those that are products, forward and in both
# gradients, and those that stay convolutions
PRODUCTS = [(1, 1, 0, 1, (5, 4)), (1, 2, 0, 1, (6, 6)), (1, 2, 0, 1, (7, 5)), (1, 3, 0, 1, (7, 8))]
OTHERS = [(1, 1, 1, 1, (5, 4)), (1, 2, 1, 1, (5, 4)), (3, 1, 1, 1, (6, 5)), (3, 2, 1, 1, (7, 6))]
OTHERS += [(4, 1, 0, 1, (4, 4)), (4, 2, 0, 1, (5, 5)), (2, 2, 0, 1, (4, 6))]
GROUPED = [(1, 1, 0, 2, (5, 4)), (1, 2, 0, 4, (6, 6)), (3, 1, 1, 4, (5, 5))]
# groups of one channel: sums of shifted products
DEPTHWISE = [(3, 1, 1, 4, (6, 5)), (3, 2, 1, 4, (7, 6)), (5, 2, 2, 4, (8, 8)), (2, 2, 0, 4, (4, 6))]
DEPTHWISE += [(7, 1, 3, 4, (5, 5)), (4, 3, 1, 4, (9, 7))]
# gradients of kernels that are products over pixels, all rows of the kernel at once or each: odd sides, a
# kernel of even size, margins that no pixel reaches, pixels that no position reaches
LARGE = [(3, 1, 1, 1, (9, 8)), (3, 1, 1, 1, (4, 5)), (3, 2, 1, 1, (8, 9)), (5, 1, 4, 1, (10, 7))]
LARGE += [(4, 3, 0, 1, (17, 18)), (3, 4, 0, 1, (21, 20)), (2, 1, 0, 1, (8, 8))]


def convolution(size, stride, padding, groups, numbers=NHWC):
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            ((padding, padding), (padding, padding)),
            dimension_numbers=numbers,
            feature_group_count=groups,
        )

    return convolve


def arrays(case, dtype=jnp.float32):
    size, _, _, groups, side = case
    draws = np.random.default_rng(1)
    x = draws.normal(size=(8, *side, 4))
    outputs = 4 if case in DEPTHWISE else 12
    return jnp.asarray(x, dtype), jnp.asarray(draws.normal(size=(size, size, 4 // groups, outputs)), dtype)


def by_hand(case, x, kernel, pull):
    """The convolution and the gradients of its sum with ``pull``, tap by tap in float64."""
    size, stride, padding, groups, (height, width) = case
    x, kernel, pull = (np.asarray(a, np.float64) for a in (x, kernel, pull))
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    y, x_grad, kernel_grad = np.zeros(pull.shape), np.zeros(x.shape), np.zeros(kernel.shape)
    rows, columns = pull.shape[1:3]
    inputs, outputs = kernel.shape[2], kernel.shape[3] // groups
    for i in range(size):
        for j in range(size):
            for group in range(groups):
                reads = np.s_[
                    :,
                    i : i + stride * (rows - 1) + 1 : stride,
                    j : j + stride * (columns - 1) + 1 : stride,
                    group * inputs : (group + 1) * inputs,
                ]
                writes = np.s_[..., group * outputs : (group + 1) * outputs]
                tap = kernel[i, j][writes]
                y[writes] += x[reads] @ tap
                x_grad[reads] += pull[writes] @ tap.T
                kernel_grad[i, j][writes] += np.einsum("bhwi,bhwo->io", x[reads], pull[writes])
    inner = np.s_[:, padding : padding + height, padding : padding + width]
    return y, x_grad[inner], kernel_grad


def results(convolve, x, kernel):
    """The convolution, its gradients, and what they were pulled with."""
    shape = jax.eval_shape(convolve, x, kernel).shape
    pull = jnp.asarray(np.random.default_rng(3).normal(size=shape), x.dtype)

    @jax.jit
    def both(x, kernel, pull):
        y, vjp = jax.vjp(convolve, x, kernel)
        return y, *vjp(pull)

    return both(x, kernel, pull), pull


def lowered(case, platform):
    """The program of a convolution and both gradients, each alone."""
    convolve = convolution(*case[:4])
    x, kernel = arrays(case)
    pull = jnp.ones(jax.eval_shape(convolve, x, kernel).shape)
    functions = (
        convolve,
        lambda x, kernel: jax.vjp(lambda x: convolve(x, kernel), x)[1](pull),
        lambda x, kernel: jax.vjp(lambda kernel: convolve(x, kernel), kernel)[1](pull),
    )
    traces = (jax.jit(f).trace(x, kernel) for f in functions)
    return [trace.lower(lowering_platforms=(platform,)).as_text() for trace in traces]


@pytest.mark.parametrize("case", [*PRODUCTS, *OTHERS, *GROUPED, *DEPTHWISE])
def test_the_function_and_both_gradients_are_those_worked_out_by_hand(case):
    x, kernel = arrays(case)
    computed, pull = results(convolution(*case[:4]), x, kernel)
    for array, wanted in zip(computed, by_hand(case, x, kernel, pull), strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=1e-4)


@pytest.fixture
def every_gradient(monkeypatch):
    """Gradients of small kernels are products too, in parts of few pixels."""
    monkeypatch.setattr(cpu_kernel_gradients, "FEWEST_FLOPS", 0)
    monkeypatch.setattr(cpu_kernel_gradients, "PIXELS", 40)


def kernel_gradient(case, numbers=NHWC):
    """The function (x, kernel, pull) -> gradient of the kernel."""
    convolve = convolution(*case[:4], numbers=numbers)
    return lambda x, kernel, pull: jax.vjp(lambda kernel: convolve(x, kernel), kernel)[1](pull)[0]


def pulled(case, dtype=jnp.float32):
    """Arrays of a case and a gradient of its result, which is of channels last."""
    x, kernel = arrays(case, dtype)
    shape = jax.eval_shape(convolution(*case[:4]), x, kernel).shape
    return x, kernel, jnp.asarray(np.random.default_rng(3).normal(size=shape), dtype)


@pytest.mark.usefixtures("every_gradient")
@pytest.mark.parametrize("case", LARGE)
@pytest.mark.parametrize("numbers", [NHWC, NCHW])
def test_the_gradient_of_a_kernel_as_products_is_the_one_worked_out_by_hand(case, numbers):
    x, kernel, pull = pulled(case)
    wanted = by_hand(case, x, kernel, pull)[2]
    if numbers == NCHW:
        x, pull, kernel = x.transpose(0, 3, 1, 2), pull.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)
        wanted = wanted.transpose(3, 2, 0, 1)
    lowered = jax.jit(kernel_gradient(case, numbers)).lower(x, kernel, pull)
    assert "stablehlo.convolution" not in lowered.as_text()
    np.testing.assert_allclose(lowered.compile()(x, kernel, pull), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("every_gradient")
def test_a_dilated_kernel_has_its_gradient():
    def gradient(x, kernel, pull):
        dilated = lambda kernel: jax.lax.conv_general_dilated(  # noqa: E731
            x, kernel, (1, 1), ((2, 2), (2, 2)), rhs_dilation=(2, 2), dimension_numbers=NHWC
        )
        return jax.vjp(dilated, kernel)[1](pull)[0]

    draws = np.random.default_rng(1)
    x, pull = (jnp.asarray(draws.normal(size=(8, 9, 9, 4)), jnp.float32) for _ in range(2))
    kernel = jnp.zeros((3, 3, 4, 4))
    around = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    computed = jax.jit(gradient)(x, kernel, pull)
    for i in range(3):
        for j in range(3):
            wanted = np.einsum("bhwi,bhwo->io", around[:, 2 * i : 2 * i + 9, 2 * j : 2 * j + 9], pull)
            np.testing.assert_allclose(computed[i, j], wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("every_gradient")
def test_bfloat16_images_are_summed_in_float32():
    case = LARGE[0]
    x, kernel, pull = pulled(case, jnp.bfloat16)
    computed = jax.jit(kernel_gradient(case))(x, kernel, pull)
    assert computed.dtype == jnp.bfloat16
    wanted = by_hand(case, x, kernel, pull)[2]
    np.testing.assert_allclose(np.asarray(computed, np.float64), wanted, rtol=1e-2, atol=0.05)


@pytest.mark.usefixtures("every_gradient")
@pytest.mark.parametrize("case", [LARGE[0], LARGE[2]])
def test_devices_sum_the_gradient_of_their_images_once(case):
    """Each adds up its own images. One array crosses, as with the convolution, and no image does."""
    x, kernel, pull = pulled(case)
    x, pull = (jnp.concatenate([array] * 4) for array in (x, pull))  # four images for each device
    devices = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    split, split_pull = (jax.device_put(a, NamedSharding(devices, PartitionSpec("batch"))) for a in (x, pull))
    compiled = (
        jax.jit(kernel_gradient(case), out_shardings=NamedSharding(devices, PartitionSpec()))
        .lower(split, kernel, split_pull)
        .compile()
    )
    text = compiled.as_text()
    assert text
    assert " convolution(" not in text
    assert " while(" in text
    assert text.count(" all-reduce(") == 1
    assert not [name for name in ("all-gather", "all-to-all", "collective-permute") if f" {name}(" in text]
    wanted = by_hand(case, x, kernel, pull)[2]
    np.testing.assert_allclose(compiled(split, kernel, split_pull), wanted, rtol=1e-5, atol=1e-3)


def test_the_gradient_of_a_small_kernel_stays_a_convolution():
    text = jax.jit(kernel_gradient(LARGE[0])).lower(*pulled(LARGE[0])).as_text()
    assert text.count("stablehlo.convolution") == 1


@pytest.mark.parametrize("case", [PRODUCTS[0], PRODUCTS[2], OTHERS[1], DEPTHWISE[1]])
def test_channels_first_is_the_same_function(case):
    x, kernel = arrays(case)
    first = convolution(*case[:4], numbers=NCHW)
    computed, pull = results(first, x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1))
    wanted = by_hand(case, x, kernel, pull.transpose(0, 2, 3, 1))
    for array, back, same in zip(computed, [(0, 2, 3, 1), (0, 2, 3, 1), (2, 3, 1, 0)], wanted, strict=True):
        np.testing.assert_allclose(array.transpose(back), same, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("case", [PRODUCTS[1], DEPTHWISE[1]])
def test_bfloat16_stays_bfloat16(case):
    x, kernel = arrays(case, jnp.bfloat16)
    computed, pull = results(convolution(*case[:4]), x, kernel)
    for array, wanted in zip(computed, by_hand(case, x, kernel, pull), strict=True):
        assert array.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(array, np.float64), wanted, rtol=2e-2, atol=0.2)


@pytest.mark.parametrize("case", PRODUCTS)
def test_on_a_cpu_it_is_a_product_in_all_three(case):
    for text in lowered(case, "cpu"):
        assert text.count("stablehlo.dot_general") == 1
        assert "stablehlo.convolution" not in text


@pytest.mark.parametrize("case", DEPTHWISE)
def test_on_a_cpu_a_depthwise_one_is_a_sum_in_all_three(case):
    assert not [text for text in lowered(case, "cpu") if "stablehlo.convolution" in text]


def test_a_large_depthwise_kernel_stays_a_convolution():
    for text in lowered((9, 1, 4, 4, (12, 12)), "cpu"):
        assert text.count("stablehlo.convolution") == 1


@pytest.mark.parametrize("case", [OTHERS[2], OTHERS[3], *GROUPED])
def test_what_is_no_product_stays_a_convolution(case):
    for text in lowered(case, "cpu"):
        assert "stablehlo.dot_general" not in text
        assert text.count("stablehlo.convolution") == 1


@pytest.mark.parametrize("case", [PRODUCTS[1], DEPTHWISE[0]])
def test_several_devices_compute_the_same(case):
    x, kernel = arrays(case)
    devices = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.device_put(x, NamedSharding(devices, PartitionSpec("batch")))
    alone, _ = results(convolution(*case[:4]), x, kernel)
    together, _ = results(convolution(*case[:4]), split, kernel)
    for one, eight in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, eight, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [PRODUCTS[0], DEPTHWISE[0]])
def test_under_shard_map_and_with_explicit_axes_it_is_the_same_function(case):
    x, kernel = arrays(case)
    convolve = convolution(*case[:4])
    wanted = convolve(x, kernel)
    for axis_type in (jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit):
        devices = jax.make_mesh((8,), ("batch",), axis_types=(axis_type,))
        rows = PartitionSpec("batch")
        mapped = jax.shard_map(convolve, mesh=devices, in_specs=(rows, PartitionSpec()), out_specs=rows)
        split = jax.device_put(x, NamedSharding(devices, rows))
        whole = jax.device_put(kernel, NamedSharding(devices, PartitionSpec()))
        np.testing.assert_allclose(jax.jit(mapped)(split, whole), wanted, rtol=1e-5, atol=1e-5)


PLATFORMS = """
import jax, jax.numpy as jnp
from trainer.devices import cpu_convolutions

def loss(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=GROUPS
    ).sum()

def texts():
    kernel = jnp.zeros((SIZE, SIZE, 4 // GROUPS, 8 if GROUPS == 1 else 4))
    trace = jax.jit(jax.grad(loss, (0, 1))).trace(jnp.zeros((2, 6, 6, 4)), kernel)
    return [trace.lower(lowering_platforms=(name,)).as_text() for name in ("tpu", "cuda", "cpu")]

before = texts()
cpu_convolutions.install()
jax.clear_caches()
print([a == b for a, b in zip(before, texts())])
"""


@pytest.mark.parametrize(("size", "groups"), [(1, 1), (3, 4)])
def test_programs_for_other_platforms_are_the_same_bytes(size, groups):
    code = f"SIZE, GROUPS = {size}, {groups}\n{PLATFORMS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True, False]\n"
