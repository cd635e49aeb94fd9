"""One update of each optimizer by hand, what decays, clipping, averages, and that each of them learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trainer.config import OptimConfig
from trainer.learning import optimizers

KERNEL, SCALE = "stem.conv.kernel", "stem.norm.scale"
PARAMS = {KERNEL: np.full((1, 1, 2, 2), 3.0, np.float32), SCALE: np.full(2, 1.0, np.float32)}
GRADS = {KERNEL: np.full((1, 1, 2, 2), 0.5, np.float32), SCALE: np.full(2, 0.5, np.float32)}


def after(steps=1, grads=GRADS, **fields):
    """The first number of the kernel and of the scale after some updates at a rate of 0.1."""
    config = OptimConfig(**({"weight_decay": 0.0, "momentum": 0.0} | fields))
    rule = optimizers.make_optimizer(config, optax.constant_schedule(0.1))
    grads, params = jax.tree.map(jnp.asarray, (grads, PARAMS))
    state = rule.init(params)
    for _ in range(steps):
        updates, state = rule.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return [float(params[KERNEL].ravel()[0]), float(params[SCALE][0])]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, [2.95, 0.95]),
        ({"weight_decay": 0.1}, [2.92, 0.95]),  # 3 - 0.1 x (0.5 + 0.3)
        ({"weight_decay": 0.1, "decay": "all"}, [2.92, 0.94]),
        # Two updates: Nesterov moves 0.5 + 0.9 x 0.5, then 0.5 + 0.9 x 0.95; plain 0.5, then 0.95.
        ({"momentum": 0.9, "steps": 2}, [3 - 0.1 * (0.95 + 1.355), 1 - 0.1 * (0.95 + 1.355)]),
        ({"momentum": 0.9, "nesterov": False, "steps": 2}, [3 - 0.145, 1 - 0.145]),
        # The first step of Adam is the sign of the gradient; decay 0.1 x 0.1 x 3 apart from it.
        ({"name": "adamw", "momentum": 0.9, "weight_decay": 0.1, "epsilon": 0.0}, [3 - 0.1 - 0.03, 0.9]),
        # LAMB: lengths 6 of the weights and 2 of the signs, so three times the step; the scale's are alike.
        ({"name": "lamb", "momentum": 0.9, "epsilon": 0.0}, [3 - 0.3, 0.9]),
        # LARS: 0.01 x 6 / 1 of the gradient for the kernel; the scale moves by the plain gradient.
        ({"name": "lars", "trust": 0.01}, [3 - 0.1 * 0.06 * 0.5, 0.95]),
        # Lengths: sqrt(4 x 0.25 + 2 x 0.25) = 1.2247; cut to 0.6.
        ({"clip_norm": 0.6}, [3 - 0.05 * 0.6 / 1.5**0.5, 1 - 0.05 * 0.6 / 1.5**0.5]),
        # A unit of the kernel: weights 3 sqrt 2, gradient 0.5 sqrt 2; cut to 0.1 of the weights = 0.3.
        ({"clip_adaptive": 0.1}, [3 - 0.03, 1 - 0.1 * 0.1]),
    ],
)
def test_an_update_by_hand(fields, wanted):
    assert after(**fields) == pytest.approx(wanted, abs=1e-5)


def test_muon_turns_a_gradient_into_one_of_even_singular_values():
    grads = {KERNEL: jnp.array([[4.0, 0.0], [0.0, 0.01]])[None, None], SCALE: GRADS[SCALE]}
    rule = optimizers.make_optimizer(OptimConfig(name="muon", weight_decay=0.0), optax.constant_schedule(1.0))
    params = jax.tree.map(jnp.asarray, PARAMS)
    updates, _ = rule.update(grads, rule.init(params), params)
    values = np.linalg.svd(np.asarray(updates[KERNEL])[0, 0], compute_uv=False)
    assert values[0] / values[1] < 5  # of the gradient: 400


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "lars", "muon", "schedule-free"])
def test_each_one_goes_downhill(name):
    start = {"a.conv.kernel": jax.random.normal(jax.random.key(0), (1, 1, 4, 4)), "a.norm.bias": jnp.ones(4)}
    config = OptimConfig(name=name, trust=0.1, weight_decay=0.0)
    rule = optimizers.make_optimizer(config, optax.constant_schedule(0.1))

    def loss(params):
        return sum(jnp.sum(jnp.square(p - 0.5)) for p in params.values())

    def body(_, carry):
        params, state = carry
        updates, state = rule.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    params, state = jax.jit(lambda c: jax.lax.fori_loop(0, 100, body, c))((start, rule.init(start)))
    assert loss(optimizers.evaluated_params(config, state, params)) < 0.2 * loss(start)


def test_averages_by_hand():
    config = OptimConfig(ema=0.9, ema_every_steps=2)
    old, new = {"a": jnp.array(1.0)}, {"a": jnp.array(2.0)}
    values = [float(optimizers.averaged(config, jnp.array(n), old, new)["a"]) for n in (1, 2, 3, 20, 10_000)]
    # Nothing at odd steps; (1 + 1) / (10 + 1) and (1 + 10) / (10 + 10) of the old; at last 0.9 of it.
    assert values == pytest.approx([1.0, 2 - 2 / 11, 1.0, 2 - 11 / 20, 1.1], abs=1e-6)


def test_schedule_free_without_momentum_is_refused():
    with pytest.raises(Exception, match=r"optim.momentum: must be above 0 for schedule-free, got 0"):
        after(name="schedule-free")
