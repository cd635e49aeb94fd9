"""Fixed points z = f(theta, z) by a fixed number of iterations, and gradients that need not keep them.

A fixed number suits accelerators: a test for convergence would make all devices wait for each other in every
iteration, and its cost would depend on the batch. The residual says instead how far the iterations came.

A point is a tuple of arrays [B, ...], one for each resolution, of float32. Each example has a fixed point of
its own, so that nothing here crosses devices.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Point = tuple[jax.Array, ...]
Map = Callable[[Point], Point]
Body = Callable[[Any, Point], Point]  # (theta, point) -> point

SOLVERS = ("plain", "anderson", "broyden")
GRADIENTS = ("phantom", "implicit", "unrolled")
RIDGE = 1e-5  # added to the diagonal of Anderson's least squares, as a share of itself
TINY = 1e-30  # a product of two vectors below it is taken for zero


@dataclass(frozen=True, kw_only=True)
class Solver:
    """How a fixed point is looked for.

    Attributes:
      name: "plain": z <- f(z). "anderson": Anderson acceleration, the combination of earlier points whose
        residuals cancel best (Anderson 1965; Walker and Ni 2011, algorithm AA). "broyden": Broyden's "good"
        method with the inverse Jacobian as -1 plus products of two vectors (Broyden 1965; Bai et al. 2019,
        arXiv:1909.01377, appendix A).
      iterations: evaluations of f.
      memory: earlier points that Anderson's method combines, or products that Broyden's keeps.
      damping: share of the new point in each step of "plain" and "anderson", 0 to 1; 1: no damping.
    """

    name: str
    iterations: int
    memory: int = 1
    damping: float = 1.0


class Solved(NamedTuple):
    """A point and how good it is.

    Attributes:
      point: f of the point that was accepted: the last one of "plain", or the one with the smallest residual.
      residual: [B] float32, |f(z) - z| / |f(z)| of that point.
      evaluations: [B] float32, evaluations of f up to that point.
    """

    point: Point
    residual: jax.Array
    evaluations: jax.Array


def solve(f: Map, start: Point, solver: Solver, remat: Any = None) -> Solved:
    """Return a fixed point of f after ``solver.iterations`` evaluations.

    Args:
      f: maps a point to one of the same shapes and dtypes.
      start: the first point that is evaluated.
      solver: how it is looked for.
      remat: where the iterations of "plain" are differentiated, policy of jax.checkpoint for each of them.
    """
    if solver.name == "plain":
        return _plain(f, start, solver, remat)
    step = {"anderson": _anderson, "broyden": _broyden}[solver.name]
    return _best(f, start, solver, *step(start, solver))


def _plain(f: Map, start: Point, solver: Solver, remat: Any) -> Solved:
    def step(carry: tuple[Point, jax.Array], _: None) -> tuple[tuple[Point, jax.Array], None]:
        point, _residual = carry
        new = f(point)
        return (damped(point, new, solver.damping), relative_residual(point, new)), None

    step = step if remat is None else jax.checkpoint(step, policy=remat, prevent_cse=False)
    begin = start, jnp.zeros(len(start[0]), start[0].dtype)
    (point, residual), _ = jax.lax.scan(step, begin, None, length=solver.iterations)
    return Solved(point, residual, jnp.full(residual.shape, float(solver.iterations), residual.dtype))


def _best(f: Map, start: Point, solver: Solver, begin: Any, following: Callable[..., Any]) -> Solved:
    """Iterate, and keep for each example the point with the smallest residual.

    Args:
      begin: the state of the method before the first evaluation.
      following: ``(state, point, new, slot, full) -> (state, next point)``; slot is the index in the memory
        that this evaluation may overwrite, full is the number of earlier ones that are in it.
    """

    def step(carry: Any, places: Any) -> tuple[Any, None]:
        state, point, best = carry
        number, slot, full = places
        new = f(point)
        residual = relative_residual(point, new)  # [B]; a point that is not finite is never the best
        better = residual < best.residual
        kept = tuple(_where(better, a, b) for a, b in zip(new, best.point, strict=True))
        evaluations = jnp.where(better, number.astype(residual.dtype), best.evaluations)
        best = Solved(kept, jnp.where(better, residual, best.residual), evaluations)
        state, point = following(state, point, new, slot, full)
        return (state, point, best), None

    numbers = np.arange(solver.iterations, dtype=np.int32)
    places = (numbers + 1, numbers % solver.memory, np.minimum(numbers, solver.memory))
    dtype, examples = start[0].dtype, len(start[0])
    nothing = Solved(start, jnp.full(examples, jnp.inf, dtype), jnp.zeros(examples, dtype))
    (_, _, best), _ = jax.lax.scan(step, (begin, start, nothing), tuple(map(jnp.asarray, places)))
    return best


def _anderson(start: Point, solver: Solver) -> tuple[Any, Callable[..., Any]]:
    size, examples, dtype = solver.memory, len(start[0]), start[0].dtype
    blank = _history(start, size)
    begin = blank, blank, jnp.zeros((examples, size, size), dtype)
    numbers = jnp.arange(size, dtype=jnp.int32)

    def following(state: Any, point: Point, new: Point, slot: jax.Array, full: jax.Array) -> Any:
        images, residuals, products = state
        residual = _minus(new, point)
        images, residuals = _write(images, new, slot), _write(residuals, residual, slot)
        row = _dots(residuals, residual)  # [B, size]
        here = numbers == slot  # [size]
        products = jnp.where(here[:, None], row[:, None, :], products)
        products = jnp.where(here[None, :], row[:, :, None], products)  # [B, size, size], symmetric
        weights = _affine_weights(products, numbers <= full)  # [B, size]
        combined = _combine(images, weights)
        if solver.damping < 1.0:
            undone = _combine(residuals, weights)
            combined = tuple(a - (1.0 - solver.damping) * b for a, b in zip(combined, undone, strict=True))
        return (images, residuals, products), combined

    return begin, following


def _affine_weights(products: jax.Array, filled: jax.Array) -> jax.Array:
    """Return the weights of sum 1 that make a combination of residuals smallest, [B, size].

    Args:
      products: [B, size, size], inner products of the residuals.
      filled: [size], whether there is a residual at a place; the weight of another one is 0.
    """
    size = len(filled)
    both = filled[:, None] & filled[None, :]
    identity = jnp.eye(size, dtype=products.dtype)
    products = jnp.where(both, products, 0.0)
    products = products + (RIDGE * products + TINY) * identity
    rows = jnp.where(both, products, identity)  # positive definite: elimination needs no pivots
    rows = jnp.concatenate([rows, jnp.broadcast_to(filled.astype(rows.dtype), rows.shape[:2])[..., None]], -1)
    for i in range(size):
        pivot = rows[:, i : i + 1] / rows[:, i : i + 1, i : i + 1]  # [B, 1, size + 1]
        others = rows - rows[:, :, i : i + 1] * pivot
        rows = jnp.where((jnp.arange(size) == i)[:, None], pivot, others)
    solution = rows[..., -1]  # [B, size]
    return solution / jnp.sum(solution, axis=1, keepdims=True)


def _broyden(start: Point, solver: Solver) -> tuple[Any, Callable[..., Any]]:
    """The inverse Jacobian of f(z) - z is -1 plus the sum of left_i right_i^T."""
    blank, zeros = _history(start, solver.memory), tuple(jnp.zeros_like(a) for a in start)
    begin = blank, blank, start, zeros

    def following(state: Any, point: Point, new: Point, slot: jax.Array, full: jax.Array) -> Any:
        left, right, old_point, old_residual = state
        residual = _minus(new, point)
        moved, changed = _minus(point, old_point), _minus(residual, old_residual)

        row = _minus(_combine(right, _dots(left, moved)), moved)  # moved^T times the inverse
        guess = _minus(_combine(left, _dots(right, changed)), changed)  # the inverse times changed
        divisor = _dot(row, changed)  # [B]; 0 in the first iteration, where nothing has moved
        usable = jnp.abs(divisor) > TINY
        factor = jnp.where(usable, 1.0 / jnp.where(usable, divisor, 1.0), 0.0)
        column = tuple(_scaled(a, factor) for a in _minus(moved, guess))
        left, right = _write(left, column, slot), _write(right, row, slot)

        correction = _combine(left, _dots(right, residual))
        following_point = tuple(p + r - c for p, r, c in zip(point, residual, correction, strict=True))
        return (left, right, point, residual), following_point

    return begin, following


def phantom(body: Body, theta: Any, point: Point, steps: int, damping: float, remat: Any = None) -> Point:
    """Return the point after damped steps that are differentiated, while the point itself is not.

    Their gradient stands for that of the fixed point (Geng et al. 2021, arXiv:2111.05177, "unrolled phantom
    gradient").

    Args:
      body, theta: f and its arrays, to which gradients flow.
      point: the fixed point.
      steps: number of steps.
      damping: share of the new point in each, 0 to 1.
      remat: policy of jax.checkpoint for a step; None: all of a step is kept for its gradient.
    """

    def step(point: Point, _: None) -> tuple[Point, None]:
        return damped(point, body(theta, point), damping), None

    step = step if remat is None else jax.checkpoint(step, policy=remat, prevent_cse=False)
    return jax.lax.scan(step, jax.lax.stop_gradient(point), None, length=steps)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def implicit(body: Body, theta: Any, point: Point, solver: Solver) -> Point:
    """Return f of a fixed point, with the gradient of the fixed point itself.

    By the implicit function theorem (Bai et al. 2019, arXiv:1909.01377, theorem 1) it solves
    y = J^T y + g, which ``solver`` does by iterations; g is the gradient of what is returned. The memory does
    not depend on how the fixed point was found.

    Args:
      body, theta: f and its arrays, to which gradients flow.
      point: the fixed point, to which no gradient flows.
      solver: of the linear equations.
    """
    return body(theta, point)


def _implicit_forward(body: Body, theta: Any, point: Point, solver: Solver) -> tuple[Point, Any]:
    return body(theta, point), (theta, point)


def _implicit_backward(body: Body, solver: Solver, kept: Any, grads: Point) -> tuple[Any, Point]:
    theta, point = kept
    _, pull = jax.vjp(lambda z: body(theta, z), point)

    def equation(y: Point) -> Point:
        return tuple(a + b for a, b in zip(pull(y)[0], grads, strict=True))

    solution = solve(equation, tuple(jnp.zeros_like(g) for g in grads), solver).point
    _, pull_theta = jax.vjp(lambda t: body(t, point), theta)
    return pull_theta(solution)[0], tuple(jnp.zeros_like(z) for z in point)


implicit.defvjp(_implicit_forward, _implicit_backward)


def jacobian_norm(f: Map, point: Point, key: jax.Array) -> jax.Array:
    """Return an estimate of |J|^2 (Frobenius) per element of the point, of J = df/dz at it: a scalar.

    One random vector v of the normal distribution gives |v^T J|^2, whose mean is the norm (Bai et al. 2021,
    arXiv:2106.14342, equation 6).

    Args:
      f: its arrays get the gradient of the estimate.
      point: where J is taken; no gradient flows to it.
      key: a scalar key.
    """
    point = jax.lax.stop_gradient(point)
    keys = jax.random.split(key, len(point))
    vectors = tuple(jax.random.normal(k, z.shape, z.dtype) for k, z in zip(keys, point, strict=True))
    _, pull = jax.vjp(f, point)
    rows = pull(vectors)[0]
    return jnp.sum(_dot(rows, rows)) / sum(z.size for z in point)


def relative_residual(point: Point, new: Point) -> jax.Array:
    """Return |new - point| / |new| over all resolutions, [B]; no gradient flows through it."""
    point, new = jax.lax.stop_gradient((point, new))
    difference = _minus(new, point)
    return jnp.sqrt(_dot(difference, difference)) / (jnp.sqrt(_dot(new, new)) + 1e-9)


def damped(point: Point, new: Point, share: float) -> Point:
    """Return share * new + (1 - share) * point."""
    if share == 1.0:
        return new
    return tuple(share * b + (1.0 - share) * a for a, b in zip(point, new, strict=True))


# Vectors: tuples of arrays [B, ...]. A history has a leading axis for its places: [size, B, ...].


def _history(like: Point, size: int) -> Point:
    return tuple(jnp.zeros((size, *a.shape), a.dtype) for a in like)


def _write(history: Point, vector: Point, slot: jax.Array) -> Point:
    return tuple(
        jax.lax.dynamic_update_index_in_dim(h, a, slot, 0) for h, a in zip(history, vector, strict=True)
    )


def _minus(one: Point, other: Point) -> Point:
    return tuple(a - b for a, b in zip(one, other, strict=True))


def _dot(one: Point, other: Point) -> jax.Array:
    """Inner products of each example, [B]. Sums, as TPUs round the factors of matrix products."""
    parts = [jnp.sum(a * b, axis=tuple(range(1, a.ndim))) for a, b in zip(one, other, strict=True)]
    return sum(parts[1:], parts[0])


def _dots(history: Point, vector: Point) -> jax.Array:
    """Inner products of each example with each place of a history, [B, size]."""
    parts = [
        jnp.sum(h * a[None], axis=tuple(range(2, h.ndim))) for h, a in zip(history, vector, strict=True)
    ]  # [size, B] each
    return sum(parts[1:], parts[0]).T


def _combine(history: Point, weights: jax.Array) -> Point:
    """Sum over the places of a history with weights, [B, size], of each example."""
    return tuple(
        jnp.sum(h * weights.T.reshape(*weights.T.shape, *[1] * (h.ndim - 2)), axis=0) for h in history
    )


def _scaled(array: jax.Array, factor: jax.Array) -> jax.Array:
    return array * factor.reshape(-1, *[1] * (array.ndim - 1))


def _where(which: jax.Array, yes: jax.Array, no: jax.Array) -> jax.Array:
    return jnp.where(which.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)
