"""What may be added to a block, by hand, and what it is refused for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.config import ModelConfig, resolve
from trainer.models import network
from trainer.models.layers import BatchNorm, LayerConfig
from trainer.models.variants import blur, drop_branch, mean_pool


def test_a_blur_by_hand():
    point = jnp.zeros((1, 4, 4, 1)).at[0, 1, 1, 0].set(16.0)
    np.testing.assert_array_equal(
        blur(point, 1, "constant")[0, ..., 0], [[1, 2, 1, 0], [2, 4, 2, 0], [1, 2, 1, 0], [0, 0, 0, 0]]
    )
    # Reflected, pixel 1 stands beside pixel 0 on both sides: 2 x 2 / 4.
    np.testing.assert_array_equal(blur(point, 2, "reflect")[0, ..., 0], [[4, 2], [2, 1]])


def test_pooling_at_an_odd_border_counts_what_is_there():
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(mean_pool(x)[0, ..., 0], [[2, 3.5], [6.5, 8]])


def test_a_dropped_branch_is_zero_or_scaled_up_and_right_on_average():
    x = jnp.ones((4000, 1, 1, 2))
    y = np.asarray(drop_branch(x, 0.2, jax.random.key(0)))
    assert {round(float(v), 6) for v in np.unique(y)} == {0.0, 1.25}
    assert (y[:, 0, 0, 0] == y[:, 0, 0, 1]).all()
    assert y.mean() == pytest.approx(1.0, abs=0.03)  # 4000 draws: a deviation of 0.008


@pytest.mark.slow
def test_stochastic_depth_rises_from_the_first_block_to_the_last():
    config = ModelConfig(arch="resnet-tiny", width=8, stochastic_depth=0.5)
    net, init = network.build(config, 10, 1, 8, "cpu")
    params, stats = init(jax.random.key(0))
    params = {k: jnp.ones_like(v) if k.endswith("norm.scale") else v for k, v in params.items()}
    images = jax.random.normal(jax.random.key(1), (64, 8, 8, 1))
    apply = jax.jit(lambda key: net.apply(params, stats, images, True, key)[0])
    logits, again, other = (apply(jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(logits, again)
    differs = np.abs(np.asarray(logits - other)).max(axis=1) > 1e-6
    assert 0.25 < differs.mean() < 0.75  # two draws of a coin differ for half of the examples


def test_statistics_in_groups_by_hand():
    norm = BatchNorm(1, LayerConfig(norm_epsilon=0.0, norm_groups=2))
    x = jnp.array([1.0, 3.0, 10.0, 30.0]).reshape(4, 1, 1, 1)
    np.testing.assert_allclose(norm(x, train=True).ravel(), [-1, 1, -1, 1], rtol=1e-6)
    np.testing.assert_allclose(norm.mean[...], [[0.2], [2.0]], rtol=1e-6)
    # Variances 1 and 100; unbiased 2 and 200.
    np.testing.assert_allclose(norm.var[...], [[0.9 + 0.2], [0.9 + 20.0]], rtol=1e-6)


@pytest.mark.slow
def test_running_statistics_are_the_mean_of_those_of_the_groups():
    """As if each group had gone through a network of its own."""
    config = ModelConfig(arch="resnet-tiny", width=8, bn_group=16)
    grouped, init = network.build(config, 10, 1, 8, "cpu", batch=48)
    alone, _ = network.build(config, 10, 1, 8, "cpu", batch=16)
    params, stats = init(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (48, 8, 8, 1)) * jnp.arange(1.0, 49.0).reshape(-1, 1, 1, 1)
    logits, found = grouped.apply(params, stats, images, True)
    each = [alone.apply(params, stats, part, True) for part in jnp.split(images, 3)]
    np.testing.assert_allclose(logits, jnp.concatenate([own for own, _ in each]), rtol=1e-4, atol=1e-5)
    for name, value in found.items():
        expected = np.mean([own[name] for _, own in each], axis=0)
        assert np.abs(each[0][1][name] - each[2][1][name]).max() > 1e-3  # the groups differ
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.bn_group": 24}, "model.bn_group: must divide the 64 examples .* got 24"),
        (
            {"model.arch": "resnext50-32x4d", "model.width": 8},
            "model.width: must be at least 16 for resnext50",
        ),
        (
            {"model.stochastic_depth": 1.5},
            "model.stochastic_depth: must be a number of at most 0.99, got 1.5",
        ),
        ({"model.blur": "on"}, "model.blur: must be one of off, after, before, got 'on'"),
    ],
)
def test_what_contradicts_itself_is_refused(settings, message):
    with pytest.raises(Exception, match=message):
        network.build(resolve("r", "/d", "", settings).model, 10, 3, 32, "cpu", batch=64)
