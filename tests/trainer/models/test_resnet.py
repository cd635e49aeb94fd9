"""The networks: sizes, dtypes, padding, statistics, initialisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from trainer.config import ModelConfig
from trainer.models import network
from trainer.models.layers import BatchNorm, Conv, LayerConfig
from trainer.models.resnet import BasicBlock, Bottleneck, ConvNorm
from trainer.models.variants import PLAIN, Variant
from trainer.registry import ARCHS

NAMES = [name for name, (module, _) in ARCHS.items() if module == "resnet"]


def shapes(arch, classes=1000, channels=3, side=224, platform="cpu", **fields):
    net, init = network.build(ModelConfig(arch=arch, **fields), classes, channels, side, platform)
    return net, jax.eval_shape(init, jax.random.key(0))


@pytest.mark.parametrize("arch", NAMES)
def test_all_names_are_built(arch):
    net, (params, stats) = shapes(arch)
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    logits, changed = jax.eval_shape(lambda p, s, x: net.apply(p, s, x, True), params, stats, images)
    assert (logits.shape, logits.dtype) == ((2, 1000), jnp.float32)
    assert changed.keys() == stats.keys()


def test_names_are_paths_in_the_module_tree():
    _, (params, stats) = shapes("resnet-tiny", side=8)
    assert {
        "stem.conv.kernel",
        "blocks.1.shortcut.conv.kernel",
        "blocks.0.conv2.norm.scale",
        "head.bias",
    } < set(params)
    assert {"stem.norm.mean", "stem.norm.var"} < set(stats)


@pytest.mark.parametrize(
    ("platform", "dtype"), [("tpu", "bfloat16"), ("gpu", "bfloat16"), ("cpu", "float32")]
)
def test_arithmetic_follows_the_platform_and_the_state_stays_float32(platform, dtype):
    net, (params, stats) = shapes("resnet-tiny", 10, 1, 8, platform)
    images = jax.ShapeDtypeStruct((4, 8, 8, 1), jnp.float32)
    with jax.numpy_dtype_promotion("strict"):
        program = jax.make_jaxpr(lambda p, s, x: net.apply(p, s, x, True))(params, stats, images)
        logits, changed = jax.eval_shape(lambda p, s, x: net.apply(p, s, x, True), params, stats, images)
    convolutions = [e for e in program.jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    assert {str(e.outvars[0].aval.dtype) for e in convolutions} == {dtype}
    assert logits.dtype == jnp.float32
    assert {str(a.dtype) for a in (*params.values(), *changed.values())} == {"float32"}


@pytest.mark.parametrize(("side", "first"), [(8, (3, 3)), (64, (3, 3)), (65, (7, 7)), (224, (7, 7))])
def test_the_stem_follows_the_image(side, first):
    _, (params, _) = shapes("resnet-tiny", side=side)
    assert params["stem.conv.kernel"].shape[:2] == first


@pytest.mark.slow
@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_block_begins_as_the_identity(block):
    made = block(8 * block.expansion, 8, 1, LayerConfig(), rngs=nnx.Rngs(0))
    x = jax.random.uniform(jax.random.key(1), (2, 4, 4, 8 * block.expansion))
    np.testing.assert_array_equal(made(x, train=False), x)  # x is positive, so the last relu keeps it


@pytest.mark.slow
@pytest.mark.parametrize(("side", "size", "stride"), [(1, 3, 1), (2, 3, 1), (2, 3, 2), (4, 3, 2), (3, 3, 2)])
def test_a_tiny_output_is_the_same_convolution(side, size, stride):
    made = Conv(5, 7, size, stride, LayerConfig(), rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (3, side, side, 5))
    pad = ((size // 2, size // 2),) * 2
    wanted = jax.lax.conv_general_dilated(
        x, made.kernel[...], (stride, stride), pad, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    assert made(x).shape == wanted.shape
    np.testing.assert_allclose(made(x), wanted, atol=1e-5)
    assert "conv_general_dilated" not in str(jax.make_jaxpr(made)(x))


def test_batch_norm_by_hand():
    norm = BatchNorm(1, LayerConfig(norm_epsilon=0.0))
    x = jnp.array([1.0, 3.0, 5.0, 7.0]).reshape(4, 1, 1, 1)
    y = norm(x, train=True)
    # mean 4, variance 5; the unbiased variance is 20 / 3.
    np.testing.assert_allclose(y.ravel(), np.array([-3, -1, 1, 3]) / np.sqrt(5), rtol=1e-6)
    np.testing.assert_allclose(norm.mean[...], [0.1 * 4], rtol=1e-6)
    np.testing.assert_allclose(norm.var[...], [0.9 + 0.1 * 20 / 3], rtol=1e-6)


def test_evaluation_uses_the_running_statistics_in_float32():
    norm = BatchNorm(1, LayerConfig(norm_epsilon=0.0))
    norm.mean[...], norm.var[...] = jnp.array([256.5]), jnp.array([4.0])
    y = norm(jnp.full((1, 1, 1, 1), 258.0, jnp.bfloat16), train=False)
    assert y.dtype == jnp.bfloat16
    assert float(y[0, 0, 0, 0]) == 0.75  # (258 - 256.5) / 2; in bfloat16 the mean would be 256


@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("width", [26, 28])  # 28: pixels lie in cells
def test_a_stem_that_pools_first_is_the_same_function(groups, train, width):
    stem = ConvNorm(3, 4, 7, 2, LayerConfig(norm_groups=groups, pack_relu=True), rngs=nnx.Rngs(0))
    stem.norm.scale[...] = jnp.array([1.0, -1.0, 0.5, -2.0])  # where it is negative the least pixel counts
    stem.norm.bias[...] = jnp.array([0.0, 0.3, -0.3, 1.0])
    images = jax.random.normal(jax.random.key(1), (4, 24, width, 3))
    graph, state = nnx.split(stem)

    def run(function):
        def loss(state, images):
            module = nnx.merge(graph, state, copy=True)
            pooled = function(module, images)
            weight = jax.random.normal(jax.random.key(2), pooled.shape)
            return jnp.sum(pooled * weight), (pooled, nnx.state(module, nnx.BatchStat))

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(state, images)

    def plainly(module, x):
        window = {"strides": (2, 2), "padding": ((1, 1), (1, 1))}
        return nnx.relu(nnx.max_pool(module(x, train), (3, 3), **window))

    assert run(plainly)[0][1][0].shape == (4, 6, 7, 4)
    for ours, plain in zip(
        *(jax.tree.leaves(run(f)) for f in (lambda m, x: m.with_pooling(x, train, 2), plainly)), strict=True
    ):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-4)


def test_a_1x1_with_a_stride_reads_the_corners():
    conv = Conv(1, 1, 1, 2, LayerConfig(), rngs=nnx.Rngs(0))
    conv.kernel[...] = jnp.full((1, 1, 1, 1), 2.0)
    image = jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    out, back = jax.vjp(conv, image)
    np.testing.assert_array_equal(out[0, :, :, 0], [[2, 6], [14, 18]])
    [grad] = back(jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1))
    np.testing.assert_array_equal(grad[0, :, :, 0], [[2, 0, 4], [0, 0, 0], [6, 0, 8]])


def widening(fold, dtype, train=True):
    """A 1x1 from 16 to 64 channels and its BatchNorm; loss, gradients and statistics."""
    layer = ConvNorm(16, 64, 1, 1, LayerConfig(dtype=dtype, fold_norm=fold), rngs=nnx.Rngs(0))
    layer.norm.scale[...] = jnp.linspace(-1.0, 2.0, 64)
    layer.norm.bias[...] = jnp.linspace(0.5, -0.5, 64)
    return trained(layer, dtype, lambda layer, x: layer(x, train))


def shape_changing(fold, dtype, stride=2, variant=PLAIN, drop_rate=0.0, **config):
    """A block from 16 to 64 channels, whose last convolution and shortcut are folded into one product."""
    layers = LayerConfig(dtype=dtype, fold_norm=fold, **config)
    block = Bottleneck(16, 16, stride, layers, variant, drop_rate, rngs=nnx.Rngs(0))
    assert block.shortcut is not None
    for norm in (block.conv3.norm, block.shortcut.norm):
        norm.scale[...] = jnp.linspace(-1.0, 2.0, 64)
        norm.bias[...] = jnp.linspace(0.5, -0.5, 64)
    return trained(block, dtype, lambda block, x: block(x, True, jax.random.key(3)))


def trained(module, dtype, call):
    """Loss, result, running statistics and gradients of a module with 16 channels in and any number out."""
    graph, state = nnx.split(module)
    # As behind a ReLU: a mean far from zero, and channels of unlike size.
    images = nnx.relu(jax.random.normal(jax.random.key(1), (8, 6, 6, 16)) + 1) * jnp.linspace(0.1, 3, 16)

    def loss(state, images):
        module = nnx.merge(graph, state, copy=True)
        y = call(module, images.astype(dtype))
        weight = jax.random.normal(jax.random.key(2), y.shape)
        return jnp.sum(nnx.relu(y.astype(jnp.float32)) * weight), (y, nnx.state(module, nnx.BatchStat))

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(state, images)


@pytest.mark.slow
def test_batch_norm_folded_into_a_convolution_is_the_same_function():
    found, wanted = widening(True, jnp.float32), widening(False, jnp.float32)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), found, wanted)
    evaluated = widening(True, jnp.float32, train=False)[0][1][0]
    np.testing.assert_array_equal(evaluated, widening(False, jnp.float32, train=False)[0][1][0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        {"stride": 2},
        {"stride": 1, "drop_rate": 0.5},
        {"variant": Variant(pool_shortcut=True)},
        {"variant": Variant(squeeze=0.5, blur="before")},
        {"norm_groups": 2},
    ],
    ids=["joined", "skipped", "pooled", "squeezed", "in groups"],
)
def test_a_block_that_folds_its_shortcut_is_the_same_function(kind):
    apart, folded = (shape_changing(fold, jnp.float32, **kind) for fold in (False, True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), folded, apart)


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "limit"), [(widening, 0.05), (shape_changing, 0.1)])
def test_batch_norm_folded_is_as_exact_in_bfloat16_as_apart(layer, limit):
    def far(a, b):
        pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        return [
            float(jnp.linalg.norm(x.astype(y.dtype) - y) / jnp.linalg.norm(y)) for x, y in pairs if jnp.any(y)
        ]

    exact = layer(False, jnp.float32)
    apart, folded = far(layer(False, jnp.bfloat16), exact), far(layer(True, jnp.bfloat16), exact)
    # 0.005 of the loss and 0.047 of the kernel's gradient apart, 0.003 and 0.026 folded
    assert all(f < 1.5 * a + 1e-4 for f, a in zip(folded, apart, strict=True)), (folded, apart)
    assert max(folded) < limit


def test_a_block_that_folds_its_shortcut_has_one_product_of_both():
    """Of channels that lie beside each other: 16 of the branch and 16 of the image."""
    graph, state = nnx.split(Bottleneck(16, 16, 2, LayerConfig(fold_norm=True), rngs=nnx.Rngs(0)))
    images = jax.ShapeDtypeStruct((2, 8, 8, 16), jnp.float32)
    program = jax.make_jaxpr(lambda state, x: nnx.merge(graph, state, copy=True)(x, True))(state, images)
    convolutions = [e for e in program.jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    kernels = [e.invars[1].aval.shape for e in convolutions]
    # The third selects the pixels that the shortcut reads.
    assert kernels == [(1, 1, 16, 16), (3, 3, 16, 16), (1, 1, 16, 16), (1, 1, 32, 64)]


@pytest.mark.parametrize(
    ("fold", "platform", "dtype", "folded"),
    [
        ("auto", "tpu", "auto", True),
        ("auto", "tpu", "float32", False),
        ("auto", "gpu", "auto", False),
        ("on", "cpu", "float32", True),
        ("off", "tpu", "auto", False),
    ],
)
def test_what_folds_batch_norm(fold, platform, dtype, folded):
    config = ModelConfig(arch="resnet50", width=8, dtype=dtype, bn_fold=fold)
    made, init = network.build(config, 10, 3, 64, platform)
    shapes = jax.eval_shape(init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    text = str(jax.make_jaxpr(lambda p, s, x: made.apply(p, s, x, True))(*shapes, images))
    # The last convolution of each of the 16 blocks and the shortcuts of four.
    assert text.count("name=second_moments") == (20 if folded else 0), text[:2000]
    assert text.count("name=packed_relu") == (16 if folded and platform == "tpu" else 0)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "stride", "side"), [(3, 2, 8), (1, 1, 8), (3, 1, 2)])
def test_a_kernels_gradient_in_float32_is_the_nearer_one(size, stride, side):
    """side 2: the product over patches, for images that are smaller than the kernel."""
    images = nnx.relu(jax.random.normal(jax.random.key(1), (64, side, side, 8)))

    def run(dtype, wide):
        layers = LayerConfig(dtype=dtype, float32_kernel_grads=wide)
        conv = Conv(8, 16, size, stride, layers, rngs=nnx.Rngs(0))
        graph, state = nnx.split(conv)

        def loss(state):
            y = nnx.merge(graph, state)(images)
            return jnp.sum(jnp.sin(y.astype(jnp.float32))), y

        (_, y), by = jax.value_and_grad(loss, has_aux=True)(state)
        return y, by["kernel"][...]

    (narrow, by_narrow), (wide, by_wide) = run(jnp.bfloat16, False), run(jnp.bfloat16, True)
    np.testing.assert_array_equal(narrow, wide)
    # Of the same factors; only the sums differ, and what is not rounded to 8 bits is the exact one.
    rounded = by_wide.astype(jnp.bfloat16).astype(jnp.float32)
    assert float(jnp.linalg.norm(by_wide - rounded)) > 0
    np.testing.assert_allclose(by_narrow, by_wide, rtol=0.01, atol=0.01 * float(jnp.abs(by_wide).max()))
    exact = run(jnp.float32, False)[1]
    far = [float(jnp.linalg.norm(by - exact)) for by in (by_narrow, by_wide)]
    assert far[1] <= far[0]
