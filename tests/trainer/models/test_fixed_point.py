"""Fixed points of maps whose answer is known, and their gradients against converged unrolling in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.models import fixed_point
from trainer.models.fixed_point import Solver

EXAMPLES = 3


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def linear(radius, rotation=0.0, seed=0):
    """A map z -> A z + b of two resolutions for each example, and its fixed point.

    Args:
      radius: largest absolute eigenvalue of A.
      rotation: how much of A turns, so that its eigenvalues are complex.
    """
    rng = np.random.default_rng(seed)
    root, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    symmetric = root @ np.diag(np.linspace(-radius, radius, 6)) @ root.T
    skew = rng.normal(size=(6, 6))
    matrix = symmetric + rotation * (skew - skew.T)
    offset = rng.normal(size=(EXAMPLES, 6))

    def f(point):
        z = jnp.concatenate([point[0].reshape(EXAMPLES, -1), point[1]], axis=1) @ matrix.T + offset
        return z[:, :4].reshape(EXAMPLES, 2, 2), z[:, 4:]

    answer = np.linalg.solve(np.eye(6) - matrix, offset.T).T
    return f, (answer[:, :4].reshape(EXAMPLES, 2, 2), answer[:, 4:])


START = (np.zeros((EXAMPLES, 2, 2)), np.zeros((EXAMPLES, 2)))


def found(f, **solver):
    return jax.jit(lambda z: fixed_point.solve(f, z, Solver(**solver)))(tuple(map(jnp.asarray, START)))


def distance(point, answer):
    return max(float(np.abs(a - b).max()) for a, b in zip(point, answer, strict=True))


@pytest.mark.parametrize(
    ("solver", "within"),
    [
        ({"name": "plain", "iterations": 40}, 1e-3),
        ({"name": "plain", "iterations": 60, "damping": 0.5}, 1e-2),
        ({"name": "anderson", "iterations": 40, "memory": 4}, 1e-8),
        ({"name": "anderson", "iterations": 40, "memory": 3, "damping": 0.7}, 1e-6),
        ({"name": "broyden", "iterations": 15, "memory": 15}, 1e-8),
        ({"name": "broyden", "iterations": 40, "memory": 6}, 1e-6),
    ],
    ids=str,
)
def test_each_solver_finds_the_fixed_point(solver, within):
    f, answer = linear(0.8)
    solved = found(f, **solver)
    assert distance(solved.point, answer) < within
    assert (solved.residual < within).all()
    assert (solved.evaluations <= solver["iterations"]).all()


@pytest.mark.parametrize(("name", "memory"), [("anderson", 6), ("broyden", 30)])
def test_the_others_find_points_that_plain_iterations_leave(name, memory):
    f, answer = linear(1.5)
    assert distance(found(f, name="plain", iterations=30).point, answer) > 1e3
    assert distance(found(f, name=name, iterations=30, memory=memory).point, answer) < 1e-5


@pytest.mark.parametrize("name", ["anderson", "broyden"])
def test_an_example_keeps_its_best_point_where_later_ones_are_worse(name):
    """A map that nothing converges on: the answer is the first point, whose residual is the smallest."""

    def f(point):
        z = point[0]
        return (jnp.where(z == 0, 1e-3, jnp.sign(z) * (jnp.abs(z) + 1e3) * jnp.nan),)

    solver = Solver(name=name, iterations=5, memory=3)
    solved = jax.jit(lambda z: fixed_point.solve(f, z, solver))((jnp.zeros((2, 4)),))
    assert np.asarray(solved.point[0]) == pytest.approx(1e-3)
    assert (solved.evaluations == 1).all()


def test_broyden_stands_still_at_the_fixed_point():
    """Nothing moves and nothing changes: no division by zero, no NaN."""
    solved = found(lambda point: point, name="broyden", iterations=4, memory=4)
    assert distance(solved.point, START) == 0
    assert (solved.residual == 0).all()


def test_the_residual_is_the_change_relative_to_the_new_point():
    def f(point):
        return (point[0] / 2 + 1,)

    solved = jax.jit(lambda z: fixed_point.solve(f, z, Solver(name="plain", iterations=3)))(
        (jnp.zeros((2, 1)),)
    )
    assert solved.point[0].tolist() == [[1.75], [1.75]]  # 0, 1, 1.5, 1.75
    assert solved.residual.tolist() == pytest.approx([0.25 / 1.75] * 2)
    assert solved.evaluations.tolist() == [3, 3]


def body(theta, point):
    """A contraction that is not linear, of two arrays."""
    matrix, offset = theta
    z = jnp.concatenate(point, axis=1)  # [B, 5]
    new = jnp.tanh(z @ matrix + offset)
    return new[:, :2], new[:, 2:]


def theta_and_start(examples=4):
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(5, 5))
    matrix *= 0.7 / np.linalg.norm(matrix, 2)
    theta = jnp.asarray(matrix), jnp.asarray(rng.normal(size=(examples, 5)))
    return theta, (jnp.zeros((examples, 2)), jnp.zeros((examples, 3)))


def weighted(point):
    return sum(jnp.sum(jnp.sin((i + 2.0) * z)) for i, z in enumerate(point))


def unrolled(theta, start, steps):
    z = start
    for _ in range(steps):
        z = body(theta, z)
    return z


@pytest.mark.parametrize(
    ("name", "memory"), [("plain", 1), ("anderson", 4), ("broyden", 60)], ids=lambda value: str(value)
)
def test_the_implicit_gradient_is_that_of_converged_unrolling(name, memory):
    theta, start = theta_and_start()
    solver = Solver(name=name, iterations=60, memory=memory)

    def of_implicit(theta):
        fixed = jax.lax.stop_gradient(theta)
        point = fixed_point.solve(lambda z: body(fixed, z), start, solver).point
        return weighted(fixed_point.implicit(body, theta, point, solver))

    expected = jax.jit(jax.grad(lambda theta: weighted(unrolled(theta, start, 80))))(theta)
    for a, b in zip(jax.jit(jax.grad(of_implicit))(theta), expected, strict=True):
        assert a.dtype == jnp.float64
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_the_phantom_gradient_is_that_of_its_own_steps():
    theta, start = theta_and_start()
    point = unrolled(theta, start, 5)

    def of_steps(theta):
        z = point
        for _ in range(3):
            z = tuple(0.6 * new + 0.4 * old for old, new in zip(z, body(theta, z), strict=True))
        return weighted(z)

    def of_phantom(theta):
        return weighted(fixed_point.phantom(body, theta, unrolled(theta, start, 5), 3, 0.6))

    expected = jax.jit(jax.value_and_grad(of_steps))(theta)
    got = jax.jit(jax.value_and_grad(of_phantom))(theta)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_the_penalty_estimates_the_norm_of_the_jacobian():
    rng = np.random.default_rng(2)
    matrix = jnp.asarray(rng.normal(size=(5, 5)))
    point = jnp.zeros((2000, 2)), jnp.zeros((2000, 3))

    def norm(matrix):
        def f(point):
            z = jnp.concatenate(point, axis=1) @ matrix
            return z[:, :2], z[:, 2:]

        return fixed_point.jacobian_norm(f, point, jax.random.key(0))

    value, grad = jax.jit(jax.value_and_grad(norm))(matrix)
    assert value == pytest.approx(float(jnp.sum(matrix**2)) / 5, rel=0.05)
    assert np.abs(grad - 2 * matrix / 5).max() < 0.15
