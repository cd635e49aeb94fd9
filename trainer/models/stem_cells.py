"""The stem of a ResNet in cells of two by two pixels: 7x7 convolution, BatchNorm, max pooling, ReLU.

The convolution of stride 2 is computed as one of 9x9 and stride 4, whose output has the four pixels of a cell
beside each other as channels. A pooling window is then a cell and its neighbours above and to the left. So
pooling and its gradient are sums and comparisons that the compiler for TPUs makes part of other operations
(libtpu 0.0.42.1), where `select_and_scatter` reads the image and writes another one.

The pooling keeps which of nine pixels was the largest, in four bits. The gradient of the kernel comes from
them in four products, one for each cell that a window touches: nothing as large as the image is written.
"""

import functools

import jax
import jax.numpy as jnp

from trainer.models.layers import wide

SIZE = 7  # of the kernel
DEAD = 15  # in the place of a pixel: the ReLU let nothing through
# Of the three rows of a window: their row in the cell, and whether the cell is the one before.
ROWS = ((1, 1), (0, 0), (1, 0))
OWN, BEFORE = (4, 5, 7, 8), ((3, 6), (1, 2), (0,))  # pixels of a window, by the cell that they lie in
PAD, PAD_BEFORE = (3, 2), (5, -2)  # of the image, for pixels of the window's cell and of the one before
Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


def cell_kernel(kernel: jax.Array) -> jax.Array:
    """Return the kernel that computes the four pixels of a cell: [9, 9, in, 4 * out] of [7, 7, in, out]."""
    places = [((2 * row, 2 - 2 * row), (2 * column, 2 - 2 * column)) for row in (0, 1) for column in (0, 1)]
    return jnp.concatenate([jnp.pad(kernel, (*place, (0, 0), (0, 0))) for place in places], axis=-1)


def convolve(x: jax.Array, kernel: jax.Array, rows: tuple[int, int], columns: tuple[int, int]) -> jax.Array:
    """Return the convolution of stride 4: [B, H / 4, W / 4, out] of x, [B, H, W, in]."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (4, 4), (rows, columns), dimension_numbers=layout)


@jax.custom_vjp
def pooled_norm(
    cells: jax.Array, multiplier: jax.Array, shift: jax.Array, images: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Return relu(multiplier * max_pool(y) + shift), [B, H, W, C], of a convolution's output y.

    Its gradients by ``images`` and ``kernel`` are the part that belongs to cells before the window's own. The
    other part is that by ``cells``.

    Args:
      cells: [B, H, W, 4 * C], the output in cells, from ``convolve`` with ``cell_kernel``.
      multiplier, shift: [C] float32 or wider.
      images: [B, 4 * H, 4 * W, in], what was convolved; only its gradient counts here.
      kernel: [7, 7, in, C], what it was convolved with; only its gradient counts here.
    """
    return _forward(cells, multiplier, shift, images, kernel)[0]


def _forward(
    cells: jax.Array, multiplier: jax.Array, shift: jax.Array, images: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, Residuals]:
    padded = jnp.pad(cells, ((0, 0), (1, 0), (1, 0), (0, 0)), constant_values=-jnp.inf)
    pixels = [_pixel(padded, row, column) for row in ROWS for column in ROWS]  # nine of [B, H, W, C]
    largest = functools.reduce(jnp.maximum, pixels)
    y = jax.nn.relu(largest.astype(wide(cells.dtype)) * multiplier + shift).astype(cells.dtype)
    place = jnp.full(largest.shape, DEAD, jnp.int32)
    for number in reversed(range(9)):  # the first of equal ones stays, as in `select_and_scatter`
        place = jnp.where(pixels[number] == largest, number, place)
    place = jnp.where(y > 0, place, DEAD).astype(jnp.uint4)
    # Without the barrier the compiler reads the cells once more for the places.
    largest, place = jax.lax.optimization_barrier((largest, place))
    return y, (largest, place, multiplier, images, kernel)


def _pixel(padded: jax.Array, row: tuple[int, int], column: tuple[int, int]) -> jax.Array:
    height, width, channels = padded.shape[1] - 1, padded.shape[2] - 1, padded.shape[3] // 4
    top, left, first = 1 - row[1], 1 - column[1], (2 * row[0] + column[0]) * channels
    return padded[:, top : top + height, left : left + width, first : first + channels]


def _backward(residuals: Residuals, y_grad: jax.Array) -> tuple[jax.Array, ...]:
    largest, place, multiplier, images, kernel = residuals
    precise = wide(y_grad.dtype)
    live = jnp.where(place.astype(jnp.int32) < DEAD, y_grad.astype(precise), 0)
    by_multiplier = jnp.sum(live * largest.astype(precise), axis=(0, 1, 2))
    by_shift = jnp.sum(live, axis=(0, 1, 2))
    # Written once for all products.
    grad = jax.lax.optimization_barrier((live * multiplier).astype(y_grad.dtype))
    _, back = jax.vjp(_before, images.astype(precise), kernel.astype(precise))
    by_images, by_kernel = back(tuple(_at(place, grad, at).astype(precise) for at in BEFORE))
    by_images, by_kernel = by_images.astype(images.dtype), by_kernel.astype(kernel.dtype)
    return _at(place, grad, OWN), by_multiplier, by_shift, by_images, by_kernel


def _before(images: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the pixels of the cell to the left that a window touches, of that above, and of that above left.

    Each is [B, H, W, pixels * C]: pixels 3 and 6 of the window, 1 and 2, and 0.
    """
    rows, columns = (
        jnp.concatenate(
            [jnp.pad(kernel, (*first, (0, 0), (0, 0))), jnp.pad(kernel, (*last, (0, 0), (0, 0)))], -1
        )
        for first, last in ((((0, 2), (0, 0)), ((2, 0), (0, 0))), (((0, 0), (0, 2)), ((0, 0), (2, 0))))
    )
    left = convolve(images, rows, PAD, PAD_BEFORE)
    above = convolve(images, columns, PAD_BEFORE, PAD)
    return left, above, convolve(images, kernel, PAD_BEFORE, PAD_BEFORE)


def _at(place: jax.Array, grad: jax.Array, places: tuple[int, ...]) -> jax.Array:
    """Return the gradient at each of some places of a window, else 0: [B, H, W, len(places) * C]."""
    grads = jnp.concatenate([grad] * len(places), axis=-1)
    held = jnp.concatenate([place] * len(places), axis=-1).astype(jnp.int32)
    wanted = jnp.repeat(jnp.array(places, jnp.int32), grad.shape[-1])
    return jnp.where(held == wanted, grads, jnp.zeros_like(grads))


pooled_norm.defvjp(_forward, _backward)
