"""ReLU that keeps one bit per pixel and channel for its backward pass, instead of its 16-bit result.

XLA's compiler for TPUs packs such bits itself where nothing else has the result, and reads the result anew
otherwise (libtpu 0.0.42.1). The gradient of a residual block's ReLU comes long after the next block has read
it, so the result costs one more pass through memory.
"""

import jax
import jax.numpy as jnp
from flax import nnx

WORD_ROWS = 32  # rows of an image whose bits go into one word
Mask = jax.Array


@jax.custom_vjp
def packed_relu(x: jax.Array) -> jax.Array:
    """Return max(x, 0) in the shape and dtype of x, [B, H, W, C]; the gradient is that of `nnx.relu`.

    Images of up to 32 rows keep one word per column, [B, W, C]. The compiler can add one such sum to the
    convolution before it, not two, so that larger images keep 4 bits per pixel.
    """
    return nnx.relu(x)


def _forward(x: jax.Array) -> tuple[jax.Array, Mask]:
    positive = x > 0
    if x.shape[1] <= WORD_ROWS:
        bits = positive.astype(jnp.uint32) << _rows(x.shape)
        return nnx.relu(x), jax.lax.reduce(bits, jnp.uint32(0), jax.lax.bitwise_or, (1,))  # [B, W, C]
    # Without the barrier the compiler computes the mask again from the result.
    return nnx.relu(x), jax.lax.optimization_barrier(positive.astype(jnp.uint4))  # [B, H, W, C]


def _backward(mask: Mask, grad: jax.Array) -> tuple[jax.Array]:
    if mask.ndim < grad.ndim:
        words = jnp.broadcast_to(mask[:, None], grad.shape)  # [B, H, W, C]
        positive = (words >> _rows(grad.shape)) & 1
    else:
        positive = mask.astype(jnp.int32)
    return (jnp.where(positive > 0, grad, jnp.zeros_like(grad)),)


def _rows(shape: tuple[int, ...]) -> jax.Array:
    return jax.lax.broadcasted_iota(jnp.uint32, shape, 1)


packed_relu.defvjp(_forward, _backward)
