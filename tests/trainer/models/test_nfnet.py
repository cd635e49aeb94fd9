"""Networks without normalisation: their formulas by hand, and what they lack."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from trainer.config import ModelConfig, OptimConfig
from trainer.errors import ConfigError
from trainer.learning import optimizers
from trainer.models import network, nfnet
from trainer.models.nfnet import NFNetConfig, ScaledConv
from trainer.models.variants import drop_branch
from trainer.registry import ARCHS

# SiLU and GELU are small functions of float32; their moments by a fine sum over a normal density.
GRID = np.linspace(-12, 12, 200_001)
DENSITY = np.exp(-np.square(GRID) / 2) / np.sqrt(2 * np.pi)


def built(arch="nfnet-tiny", pixels=8, **settings):
    net, init = network.build(ModelConfig(arch=arch, **settings), 10, 1, pixels, "cpu")
    return net, init


@pytest.mark.parametrize("name", nfnet.ACTIVATIONS)
def test_a_scaled_activation_of_a_standard_normal_has_variance_1(name):
    values = np.asarray(NFNetConfig(depths=(1,), activation=name).activate(jnp.asarray(GRID, jnp.float32)))
    mean = np.trapezoid(values * DENSITY, GRID)
    assert np.trapezoid(np.square(values - mean) * DENSITY, GRID) == pytest.approx(
        1, abs=3e-3
    )  # the authors drew their constants


def test_the_running_variance_of_f0_by_hand():
    rows = list(nfnet.places(NFNetConfig(depths=(1, 2, 6, 3))))
    # The variances that enter: 1, then 1 + 0.04; each stage's first block resets it to 1, and adds 0.04.
    variances = [1, 1.04, 1.04, 1.08, 1.04, 1.08, 1.12, 1.16, 1.2, 1.24, 1.04, 1.08]
    assert [row.beta for row in rows] == pytest.approx([v**-0.5 for v in variances])
    assert [row.beta for row in rows[:4]] == pytest.approx([1, 0.98058, 0.98058, 0.96225], abs=1e-5)
    assert [row.stride for row in rows] == [1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1]


@pytest.mark.parametrize("epsilon", [0.0, 1e-5])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_kernel_is_standardised_over_the_inputs_of_each_output(groups, epsilon):
    config = NFNetConfig(depths=(1,), epsilon=epsilon)
    conv = ScaledConv(4, 6, 3, 1, config, jnp.float32, rngs=nnx.Rngs(0), groups=groups)
    kernel = np.random.default_rng(0).normal(2, 3, (3, 3, 4 // groups, 6))
    gains = np.arange(1.0, 7.0)
    conv.kernel.set_value(jnp.asarray(kernel, jnp.float32))
    conv.gain.set_value(jnp.asarray(gains, jnp.float32))
    fan_in = 9 * 4 // groups
    flat = kernel.reshape(fan_in, 6)
    wanted = (flat - flat.mean(0)) * gains / np.sqrt((flat.var(0) + epsilon) * fan_in)
    got = np.asarray(conv.standardised()).reshape(fan_in, 6)
    np.testing.assert_allclose(got, wanted, atol=2e-6)
    assert np.square(got).sum(0) == pytest.approx(np.square(gains), rel=1e-4)


def test_a_kernel_of_equal_numbers_stays_finite():
    conv = ScaledConv(4, 6, 3, 1, NFNetConfig(depths=(1,)), jnp.float32, rngs=nnx.Rngs(0))
    conv.kernel.set_value(jnp.full((3, 3, 4, 6), 0.5))
    assert not np.asarray(conv.standardised()).any()


def test_a_block_begins_as_its_shortcut():
    config = NFNetConfig(depths=(2,), widths=(8,), stem=8, group_width=4)
    layers = network.LayerConfig()
    row = nfnet.Place(stage=0, before=8, after=8, stride=1, beta=1.0)
    block = nfnet.Block(row, config, layers, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 8))
    drop = nfnet.Drop(jnp.ones(()), None)
    np.testing.assert_array_equal(block(x, drop), x)
    block.skip_gain.set_value(jnp.ones(()))
    assert float(jnp.max(jnp.abs(block(x, drop) - x))) > 0.1


def test_survivors_of_stochastic_depth_are_not_scaled_up():
    x = jnp.ones((1000, 1, 1, 2))
    kept = np.asarray(drop_branch(x, 0.25, jax.random.key(0), rescale=False))
    assert set(np.unique(kept)) == {0.0, 1.0}
    assert 0.2 < 1 - kept.mean() < 0.3


def test_a_scan_gives_the_numbers_of_a_loop(monkeypatch):
    sizes = {"depths": (1, 3), "widths": (8, 16), "stem": 8, "group_width": 4, "last": 16}
    monkeypatch.setitem(ARCHS, "nfnet-tiny", ("nfnet", sizes))
    images = jax.random.normal(jax.random.key(2), (4, 8, 8, 1))
    outputs, params = [], None
    for settings in ({}, {"repeat": "scan"}, {"repeat": "scan", "remat": "full"}):
        net, init = built(stochastic_depth=0.5, **settings)
        if params is None:
            params, _ = init(jax.random.key(0))
            keys = jax.random.split(jax.random.key(1), len(params))
            params = {
                name: array + 0.3 * jax.random.normal(key, array.shape)
                for key, (name, array) in zip(keys, params.items(), strict=True)
            }
        apply = jax.jit(lambda p, key, net=net: net.apply(p, {}, images, train=True, key=key)[0])
        outputs.append(np.asarray(apply(params, jax.random.key(5))))
    for other in outputs[1:]:
        np.testing.assert_allclose(other, outputs[0], atol=1e-5)
    assert not np.allclose(outputs[0], np.asarray(apply(params, jax.random.key(6))))


@pytest.mark.parametrize("arch", ["nfnet-tiny", "nfnet-f0", "nf-resnet50"])
def test_the_state_has_no_statistics(arch):
    net, init = built(arch, 64)
    params, stats = jax.eval_shape(init, jax.random.key(0))
    assert not stats
    assert not net.statistics
    assert "head.kernel" in params


@pytest.mark.parametrize(
    ("arch", "settings", "named"),
    [
        ("nfnet-f0", {"bn_group": 128}, ["model.bn_group"]),
        ("nfnet-tiny", {"bn_momentum": 0.99}, ["model.bn_momentum"]),
        ("nf-resnet50", {"bn_fold": "on", "bn_epsilon": 1e-3}, ["model.bn_epsilon", "model.bn_fold"]),
        ("vit-tiny", {"bn_group": 8, "squeeze": 0.5, "blur": "after"},
         ["model.blur", "model.squeeze", "model.bn_group"]),
    ],
)  # fmt: skip
def test_settings_of_batchnorm_are_refused_in_one_error(arch, settings, named):
    with pytest.raises(ConfigError) as caught:
        built(arch, 64, **settings)
    *lines, hint = str(caught.value).splitlines()
    assert hint.startswith(f"hint: the settings of {arch}: model.")
    assert "bn_" not in hint
    assert len(lines) == len(named)
    for line, name in zip(lines, named, strict=True):
        assert line.startswith(f"{name}: must be ")
        assert f"for {arch}, got {settings[name.removeprefix('model.')]!r}" in line


def test_adaptive_clipping_leaves_the_heads_kernel_alone_and_nothing_else():
    shapes = {"stem.convs.0.kernel": (1, 1, 2, 2), "stem.convs.0.gain": (2,), "blocks.0.skip_gain": ()}
    shapes |= {"head.kernel": (2, 2), "head.bias": (2,)}
    params = {name: jnp.full(shape, 2.0) for name, shape in shapes.items()}
    grads = {name: jnp.full(shape, 10.0) for name, shape in shapes.items()}
    config = OptimConfig(clip_adaptive=0.01, weight_decay=0.0, momentum=0.0, nesterov=False)
    rule = optimizers.make_optimizer(config, optax.constant_schedule(1.0))
    updates, _ = rule.update(grads, rule.init(params), params)
    assert float(updates["head.kernel"][0, 0]) == -10.0
    for name in set(shapes) - {"head.kernel"}:  # 0.01 of the weights' length, whatever the gradient's
        np.testing.assert_allclose(updates[name], jnp.full(shapes[name], -0.02), rtol=1e-5, err_msg=name)
