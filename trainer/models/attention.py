"""Attention and the layers around it, as the networks of this package use them."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from trainer.devices.model_axis import divided, divided_weights, in_groups, undivided
from trainer.errors import ConfigError
from trainer.models import sight

LINEAR_INIT = (
    nnx.initializers.xavier_uniform()
)  # Vaswani et al. 2017 code; Dosovitskiy et al. 2020, appendix B.1
NARROW = (jnp.bfloat16, jnp.float16)  # dtypes that cuDNN's attention takes
OLDEST_CUDNN = 8.0  # compute capability of the first GPU with cuDNN's attention (A100)
CUDNN_HEAD = 128  # largest head that cuDNN's attention takes on every GPU that has it, a multiple of 8


class Linear(nnx.Module):
    """A matrix and a bias. Parameters are float32; the product is in ``dtype``.

    Args:
      inputs, outputs: length of a row before and after.
      dtype: dtype to compute in.
      kernel_init: initialiser of [inputs, outputs].
      bias_std: standard deviation of the bias; 0: zeros.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        dtype: DTypeLike,
        *,
        rngs: nnx.Rngs,
        kernel_init: nnx.Initializer = LINEAR_INIT,
        bias_std: float = 0.0,
    ):
        self.kernel = nnx.Param(kernel_init(rngs.params(), (inputs, outputs), jnp.float32))
        bias = jnp.zeros(outputs, jnp.float32)
        if bias_std:
            bias = bias_std * jax.random.normal(rngs.params(), (outputs,), jnp.float32)
        self.bias = nnx.Param(bias)
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [..., outputs] in ``dtype``. x: [..., inputs] of any float dtype."""
        return x.astype(self.dtype) @ self.kernel[...].astype(self.dtype) + self.bias[...].astype(self.dtype)


class LayerNorm(nnx.Module):
    """Normalisation of each vector (Ba et al. 2016, arXiv:1607.06450, section 3), computed in float32.

    Args:
      features: length of a vector.
      epsilon: added to the variance before its root is taken.
    """

    def __init__(self, features: int, epsilon: float = 1e-6):
        self.scale = nnx.Param(jnp.ones(features, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(features, jnp.float32))
        self.epsilon = epsilon

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return x normalised, in its shape and dtype. x: [..., features] of any float dtype."""
        wide = x.astype(jnp.float32)
        mean = jnp.mean(wide, axis=-1, keepdims=True)  # [..., 1]
        var = jnp.mean(jnp.square(wide - mean), axis=-1, keepdims=True)  # [..., 1]
        normal = (wide - mean) * jax.lax.rsqrt(var + self.epsilon)
        return (normal * self.scale[...] + self.bias[...]).astype(x.dtype)


class Attention(nnx.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2).

    Queries, keys and values come from one matrix, [width, 3 x width], each of them head by head.

    Args:
      width: length of a token, a multiple of ``heads``.
      heads: parts of a token that attend by themselves.
      dtype: dtype to compute in; the softmax is float32.

    Raises:
      ConfigError: the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, dtype: DTypeLike, *, rngs: nnx.Rngs):
        if heads < 1 or width % heads:
            raise ConfigError(f"model.arch: heads of attention must divide its width {width}, got {heads}")
        self.qkv = Linear(width, 3 * width, dtype, rngs=rngs, kernel_init=_each_of_three)
        self.out = Linear(width, width, dtype, rngs=rngs)
        self.heads = heads

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, T, width] in ``dtype``. x: [B, T, width] of any float dtype."""
        batch, tokens, width = x.shape
        q, k, v = split_heads(self.qkv, undivided(x), 3, self.heads)
        y = attend(q, k, v).reshape(batch, tokens, width)
        return undivided(self.out(divided(y, -1)))


class MLP(nnx.Module):
    """Two matrices with a GELU between them (Hendrycks and Gimpel 2016, arXiv:1606.08415), the exact one.

    Args:
      width, hidden: length of a token, and of what stands between the matrices.
      dtype: dtype to compute in.
    """

    def __init__(self, width: int, hidden: int, dtype: DTypeLike, *, rngs: nnx.Rngs):
        self.hidden = Linear(width, hidden, dtype, rngs=rngs, bias_std=1e-6)
        self.out = Linear(hidden, width, dtype, rngs=rngs, bias_std=1e-6)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [..., width] in ``dtype``. x: [..., width] of any float dtype."""
        hidden = divided(self.hidden(undivided(x)), -1)  # [..., hidden]
        return undivided(self.out(jax.nn.gelu(hidden, approximate=False)))


def split_heads(linear: Linear, x: jax.Array, parts: int, heads: int) -> list[jax.Array]:
    """Return the parts of a product head by head: each [B, T, heads, width / heads] in the layer's dtype.

    Where devices share the heads, each has a band of rows of the matrix, since no band of its columns holds
    the same heads of all parts. Before it is used the bands are exchanged for columns: as many bytes as the
    device's share of the matrix.

    Args:
      linear: its result holds the parts one after another, each of them head by head: [parts x width].
      x: [B, T, inputs] of any float dtype.
      parts: how many there are, such as 3: queries, keys and values.
      heads: heads of each part.
    """
    if not in_groups():
        return [y.reshape(*y.shape[:-1], heads, -1) for y in jnp.split(linear(x), parts, axis=-1)]
    inputs, dtype = x.shape[-1], linear.dtype
    kernel = linear.kernel[...].astype(dtype).reshape(inputs, parts, heads, -1)
    bias = linear.bias[...].astype(dtype).reshape(parts, heads, -1)
    y = jnp.tensordot(x.astype(dtype), divided_weights(kernel, 2), 1)  # [B, T, parts, heads, width / heads]
    y = y + divided_weights(bias, 1)
    return [divided(y[:, :, part], 2) for part in range(parts)]


def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return softmax(q k / sqrt(D)) v: [B, T, heads, D] in the dtype of q.

    On a GPU with cuDNN, in bfloat16 or float16, one kernel does it without writing the scores; elsewhere XLA.

    Args:
      q: [B, T, heads, D] of any float dtype.
      k, v: [B, S, heads, D] of the same dtype.
    """
    sight.attention(q, k)
    with jax.numpy_dtype_promotion("standard"):  # its scores are float32, and JAX mixes them with bfloat16
        return jax.nn.dot_product_attention(q, k, v, implementation=_implementation(q))


def _implementation(q: jax.Array) -> Literal["cudnn", "xla"]:
    narrow, head = any(q.dtype == dtype for dtype in NARROW), q.shape[-1]
    if jax.default_backend() != "gpu" or not narrow or head % 8 or head > CUDNN_HEAD:
        return "xla"
    device = jax.devices()[0]
    # cuDNN's attention needs CUDA, not ROCm, and a compute capability that has it.
    newer = float(getattr(device, "compute_capability", "0")) >= OLDEST_CUDNN
    return "cudnn" if newer and "cuda" in device.client.platform_version.lower() else "xla"


def _each_of_three(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
    """Draw three matrices and put them side by side: each has the variance of its own shape."""
    inputs, outputs = shape
    parts = [LINEAR_INIT(part, (inputs, outputs // 3), dtype) for part in jax.random.split(key, 3)]
    return jnp.concatenate(parts, axis=1)
