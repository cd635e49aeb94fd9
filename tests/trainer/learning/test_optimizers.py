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


def numpy_run(update, steps=4):
    """A kernel of three numbers after updates by a formula in numpy, float64, and by the rule of ours."""
    generator = np.random.default_rng(0)
    w, grads = generator.normal(size=3), generator.normal(size=(steps, 3))
    rates = np.linspace(0.02, 0.1, steps)  # a schedule that changes shows where the rate is multiplied in
    return w, grads, rates, update(w.copy(), grads, rates)


def our_run(w, grads, rates, **fields):
    rule = optimizers.make_optimizer(
        OptimConfig(**fields), lambda count: jnp.asarray(rates, jnp.float32)[count]
    )
    params = {KERNEL: jnp.asarray(w, jnp.float32)}
    state = rule.init(params)
    for grad in grads:
        updates, state = rule.update({KERNEL: jnp.asarray(grad, jnp.float32)}, state, params)
        params = optax.apply_updates(params, updates)
    return params[KERNEL], state


@pytest.mark.parametrize(("momentum", "decay"), [(0.9, 0.0), (0.9, 1e-2), (0.0, 1e-2)])
def test_rmsprop_is_tensorflows(momentum, decay):
    # ApplyRMSProp of TensorFlow: ms += (1 - rho)(g^2 - ms); mom = momentum mom + lr g / sqrt(ms + epsilon)
    def tensorflow(w, grads, rates):
        squares, moved = np.ones(3), np.zeros(3)
        for grad, rate in zip(grads, rates, strict=True):
            grad = grad + decay * w
            squares += 0.1 * (grad**2 - squares)
            moved = momentum * moved + rate * grad / np.sqrt(squares + 1e-3)
            w -= moved
        return w

    *inputs, wanted = numpy_run(tensorflow)
    fields = {"name": "rmsprop", "beta2": 0.9, "epsilon": 1e-3}
    after, _ = our_run(*inputs, **fields, momentum=momentum, weight_decay=decay)
    np.testing.assert_allclose(after, wanted, rtol=2e-6)


@pytest.mark.parametrize("peak", [1e-3, 4e-3])
def test_a_decay_that_is_not_multiplied_by_the_rate_is_ours_divided_by_the_peak(peak):
    # big_vision: w -= schedule x (peak x adam + 1e-4 w), where the schedule is 1 at the peak.
    def big_vision(w, grads, rates):
        mean, squares = np.zeros(3), np.zeros(3)
        for step, (grad, rate) in enumerate(zip(grads, rates, strict=True), 1):
            mean, squares = 0.9 * mean + 0.1 * grad, 0.999 * squares + 0.001 * grad**2
            adam = mean / (1 - 0.9**step) / (np.sqrt(squares / (1 - 0.999**step)) + 1e-8)
            w -= rate / peak * (peak * adam + 1e-4 * w)
        return w

    *inputs, wanted = numpy_run(big_vision)
    after, _ = our_run(*inputs, name="adamw", epsilon=1e-8, weight_decay=1e-4 / peak)
    np.testing.assert_allclose(after, wanted, rtol=2e-6)


def test_adamw_keeps_its_momentum_in_bfloat16_and_nothing_else():
    *inputs, _ = numpy_run(lambda w, grads, rates: w)
    plain, state = our_run(*inputs, name="adamw")
    narrow, narrow_state = our_run(*inputs, name="adamw", momentum_dtype="bfloat16")
    np.testing.assert_allclose(narrow, plain, rtol=1e-2)
    assert (narrow != plain).any()
    dtypes = [str(leaf.dtype) for leaf in jax.tree.leaves(narrow_state) if leaf.ndim]
    assert dtypes == ["bfloat16", "float32"]  # mean, mean of squares
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(state) if leaf.ndim} == {"float32"}


def test_a_small_gain_moves_by_the_whole_rate_with_lamb_and_its_state_is_optaxs():
    # LayerScale begins at 1e-6. With a trust ratio it would move by 0.1 x 1e-6.
    params = {KERNEL: jnp.full((1, 1, 2, 2), 3.0), "blocks.0.gain1": jnp.full(4, 1e-6)}
    grads = jax.tree.map(jnp.ones_like, params)
    rule = optimizers.make_optimizer(
        OptimConfig(name="lamb", weight_decay=0.0, epsilon=0.0), optax.constant_schedule(0.1)
    )
    state = rule.init(params)
    updates, _ = rule.update(grads, state, params)
    np.testing.assert_allclose(updates["blocks.0.gain1"], -0.1, rtol=2e-5)
    np.testing.assert_allclose(updates[KERNEL], -0.1 * 6 / 2, rtol=2e-5)
    wanted = optax.lamb(optax.constant_schedule(0.1), mask=optimizers.kernels).init(params)
    assert jax.tree.structure(state) == jax.tree.structure(wanted)


def test_muon_turns_a_gradient_into_one_of_even_singular_values():
    grads = {KERNEL: jnp.array([[4.0, 0.0], [0.0, 0.01]])[None, None], SCALE: GRADS[SCALE]}
    rule = optimizers.make_optimizer(OptimConfig(name="muon", weight_decay=0.0), optax.constant_schedule(1.0))
    params = jax.tree.map(jnp.asarray, PARAMS)
    updates, _ = rule.update(grads, rule.init(params), params)
    values = np.linalg.svd(np.asarray(updates[KERNEL])[0, 0], compute_uv=False)
    assert values[0] / values[1] < 5  # of the gradient: 400


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "lars", "muon", "rmsprop", "schedule-free"])
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
