"""Networks by depth: their rule, their sizes, the blocks that are compiled once, and a thousand layers."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from trainer.config import ModelConfig, resolve
from trainer.errors import ConfigError
from trainer.models import network
from trainer.models.cifar import Block
from trainer.models.layers import LayerConfig


def build(arch, **fields):
    model = resolve("", "", "", {"model.arch": arch}, {f"model.{k}": v for k, v in fields.items()}).model
    classes, side = (10, 32) if arch.startswith("cifar") else (1000, 224)
    return network.build(model, classes, 3, side, "cpu")


@pytest.mark.parametrize(
    ("arch", "depth", "nearest"),
    [
        ("cifar-resnet20", 1001, "998 or 1004"),
        ("cifar-plain56", 1, "8"),
        ("cifar-preact164", 1000, "1001"),
        ("cifar-preact1001", 9, "11"),
        ("cifar-resnet110", 112, "110"),
    ],
)
def test_a_depth_that_the_rule_does_not_give_names_the_nearest(arch, depth, nearest):
    step = 9 if "preact" in arch else 6
    text = f"model.depth: must be {step}n + 2 for {arch}, nearest {nearest}, got {depth}"
    with pytest.raises(ConfigError, match=re.escape(text)) as refused:
        build(arch, depth=depth)
    build(arch, depth=int(str(refused.value.hint).removeprefix("--set model.depth=")), repeat="scan")


@pytest.mark.parametrize("arch", ["cifar-resnet20", "cifar-preact164", "cifar-plain20", "resnetv2-tiny"])
@pytest.mark.parametrize(
    "setting", [{"squeeze": 0.5}, {"bn_fold": "on"}, {"dropout": 0.1}, {"blur": "after"}]
)
def test_settings_that_a_network_does_not_honour_are_refused(arch, setting):
    with pytest.raises(ConfigError, match=f"for {arch}, got"):
        build(arch, **setting)


def test_what_only_some_networks_honour_is_refused_by_the_others():
    for arch, setting in (
        ("cifar-plain20", {"stochastic_depth": 0.2}),
        ("resnetv2-50", {"depth": 101}),
        ("resnet50", {"depth": 101}),
        ("resnet50", {"dropout": 0.1}),
        ("cifar-resnet20", {"stem": "deep"}),
    ):
        with pytest.raises(ConfigError, match=f"for {arch}, got"):
            build(arch, **setting)


def test_hundreds_of_layers_are_compiled_as_one_block_unless_the_request_says_otherwise():
    def settings(arch, **model):
        model = resolve("", "", "", {"model.arch": arch}, {f"model.{k}": v for k, v in model.items()}).model
        return model.width, model.repeat, model.remat

    assert settings("cifar-resnet110") == (16, "loop", "none")
    assert settings("cifar-preact1001") == (16, "scan", "full")
    assert settings("cifar-plain20", depth="1202") == (16, "scan", "full")
    assert settings("cifar-preact1001", repeat="loop", width=4) == (4, "loop", "full")
    assert settings("cifar-preact1001", depth=20) == (16, "loop", "none")


def test_a_shortcut_takes_every_second_pixel_and_adds_empty_channels():
    block = Block(2, 4, 2, LayerConfig(), shortcut=True, rngs=nnx.Rngs(0))
    block.norm2.scale.set_value(jnp.zeros(4))  # nothing comes from the convolutions
    x = jnp.arange(32.0).reshape(1, 4, 4, 2)
    expected = np.zeros((1, 2, 2, 4), np.float32)
    expected[0, :, :, :2] = [[[0, 1], [4, 5]], [[16, 17], [20, 21]]]
    np.testing.assert_array_equal(block(x, train=False), expected)


def test_a_plain_block_has_no_way_around():
    blocks = [Block(2, 2, 1, LayerConfig(), shortcut=way, rngs=nnx.Rngs(0)) for way in (True, False)]
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 2))
    for block in blocks:
        block.norm2.scale.set_value(jnp.zeros(2))
    assert np.array_equal(blocks[0](x, train=False), nnx.relu(x))
    assert not blocks[1](x, train=False).any()


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "depth"), [("cifar-resnet20", 20), ("cifar-preact164", 29)])
def test_blocks_compiled_once_compute_what_a_loop_computes(arch, depth):
    fields = {"depth": depth, "width": 4, "stochastic_depth": 0.3}
    results = []
    for mode in ("loop", "scan"):
        model = resolve(
            "",
            "",
            "",
            {"model.arch": arch, "model.repeat": mode, "model.remat": "none" if mode == "loop" else "full"},
            {f"model.{k}": v for k, v in fields.items()},
        ).model
        net, init = network.build(model, 10, 1, 8, "cpu")
        params, stats = jax.jit(init)(jax.random.key(0))
        images = jax.random.normal(jax.random.key(1), (8, 8, 8, 1))

        def loss(params, net=net, stats=stats, images=images):
            logits, after = net.apply(params, stats, images, True, jax.random.key(2))
            return jnp.mean(jnp.square(logits)), (logits, after)

        results.append(jax.jit(jax.value_and_grad(loss, has_aux=True))(params))
    for a, b in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_keys_of_a_network_are_those_of_a_plain_stream():
    drawn, plain = network._streams(jax.random.key(3)), nnx.Rngs(jax.random.key(3))
    for _ in range(3):
        assert jax.random.key_data(drawn.params()).tolist() == jax.random.key_data(plain.params()).tolist()
    dropout = nnx.Dropout(0.5, rngs=drawn)
    assert type(dropout.rngs) is nnx.RngStream
    assert ModelConfig().depth == 0
