"""A value that a CPU's program computes once: the same function, and none of it elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from step_runs import Run

from trainer.config import ModelConfig
from trainer.devices import cpu_barrier

DEPTH = 6


def network(x, weights, once):
    """A loss over residual branches, each behind a LayerNorm."""
    for weight in weights:
        normal = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + 1)
        x = once(x + jnp.tanh(normal @ weight))
    return (x**2).mean()


def arrays():
    keys = jax.random.split(jax.random.key(0), DEPTH + 1)
    return jax.random.normal(keys[0], (8, 16)), [jax.random.normal(key, (16, 16)) / 4 for key in keys[1:]]


def gradients(once):
    x, weights = arrays()
    function = jax.value_and_grad(lambda x, weights: network(x, weights, once), (0, 1))
    return jax.jit(function, compiler_options=cpu_barrier.OPTIONS), x, weights


def test_values_and_gradients_are_those_without_it():
    (plain, x, weights), (barred, *_) = gradients(lambda x: x), gradients(cpu_barrier.once)
    for a, b in zip(*(jax.tree.leaves(f(x, weights)) for f in (plain, barred)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_the_program_for_a_cpu_keeps_a_barrier_for_each_value_and_each_gradient():
    barred, x, weights = gradients(cpu_barrier.once)
    assert barred.lower(x, weights).compile().as_text().count(" opt-barrier(") == 2 * DEPTH


def test_the_training_program_of_a_network_keeps_its_barriers():
    run = Run(1, **{"model.arch": "vit-tiny", "model.width": ModelConfig.width})
    blocks = sum(name.endswith("qkv.kernel") for name in run.shapes.params)
    assert run.train.as_text().count(" opt-barrier(") == 4 * blocks  # two branches each, and their gradients


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_programs_for_other_platforms_are_the_same_bytes(platform):
    (plain, x, weights), (barred, *_) = gradients(lambda x: x), gradients(cpu_barrier.once)
    texts = [f.trace(x, weights).lower(lowering_platforms=(platform,)).as_text() for f in (plain, barred)]
    assert texts[0] == texts[1]


def test_it_is_mapped_over_batches_scanned_and_checkpointed():
    x, _ = arrays()
    mapped = jax.vmap(lambda row: cpu_barrier.once(2 * row))(x)
    assert jnp.array_equal(mapped, 2 * x)
    step = jax.checkpoint(lambda carry, row: (cpu_barrier.once(carry + row), None))
    total = jax.grad(lambda x: jax.lax.scan(step, jnp.zeros(16), x)[0].sum())(x)
    assert jnp.array_equal(total, jnp.ones_like(x))
