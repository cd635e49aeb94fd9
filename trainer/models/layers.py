"""Convolution and BatchNorm as the networks of this package use them, and the settings all layers share."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from trainer.devices import cpu_convolutions, cpu_products, host_sums, slice_sums

# Kaiming normal over the outputs (He et al. 2015, arXiv:1502.01852, section 2.2; Goyal et al. 2017,
# arXiv:1706.02677, section 5.1).
KERNEL_INIT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
EXACT = jax.lax.Precision.HIGHEST  # TPUs round the factors of float32 products to bfloat16 otherwise
PIXELS = (0, 1, 2)  # the axes of [B, H, W, C] that a statistic of a channel is taken over

# before any program with a layer is lowered
cpu_convolutions.install()
cpu_products.install()


@dataclass(frozen=True, kw_only=True)
class LayerConfig:
    """Settings that all layers of a network share. Parameters and statistics are float32 whatever they say.

    Args:
      dtype: arithmetic of convolutions and of the activations between them.
      float32_kernel_grads: whether gradients of convolution kernels are summed in float32, over pixels and
        over devices, whatever ``dtype``.
      norm_momentum: share of the old running statistics that a training pass keeps, 0 to 1.
      norm_epsilon: added to a variance before its root is taken.
      norm_groups: equal parts of the batch, in order, that have BatchNorm statistics of their own.
      fold_norm: whether training folds BatchNorm into the 1x1 convolutions that widen, see ``ConvNorm``.
      pack_relu: whether the ReLU after a residual block keeps bits for its gradient, see ``packed_relu``, and
        a stem that pools keeps four, see ``stem_cells``.
    """

    dtype: DTypeLike = jnp.float32
    float32_kernel_grads: bool = False
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    norm_groups: int = 1
    fold_norm: bool = False
    pack_relu: bool = False


def wide(dtype: DTypeLike) -> jnp.dtype:
    """Return float32, or float64 where that is computed in: the dtype of what must not be rounded further."""
    return jnp.dtype(dtype) if jnp.finfo(dtype).bits > 32 else jnp.dtype(jnp.float32)


class Conv(nnx.Module):
    """A square convolution without bias, padded symmetrically by (size - 1) / 2 pixels.

    Where the output is smaller than the kernel (the last stages of a network on tiny images), it is one
    matrix product over gathered patches: the same sums, and 10 to 25 times faster on a CPU, whose compiler
    has no fast path there.

    Args:
      in_channels, out_channels: channels of the image and of the result.
      size, stride: pixels of a side of the kernel, and pixels between two of its places.
      config: its ``dtype`` and ``float32_kernel_grads`` count here.
      groups: parts of the channels that do not see each other.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        stride: int,
        config: LayerConfig,
        *,
        rngs: nnx.Rngs,
        groups: int = 1,
    ):
        shape = (size, size, in_channels // groups, out_channels)
        self.kernel = nnx.Param(KERNEL_INIT(rngs.params(), shape, jnp.float32))
        self.stride = stride
        self.groups = groups
        self.dtype = config.dtype
        self.float32_kernel_grads = config.float32_kernel_grads

    def __call__(self, x: jax.Array, multiplier: jax.Array | None = None) -> jax.Array:
        """Return [B, H / stride, W / stride, out_channels] in ``dtype``.

        Args:
          x: [B, H, W, in_channels] of any float dtype.
          multiplier: [out_channels] float32 by which the outputs are multiplied; None: by nothing.
        """
        kernel = self.kernel[...] if multiplier is None else self.kernel[...] * multiplier
        return self.convolve(x, kernel, self.stride)  # [B, H', W', out]

    def convolve(self, x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
        """Return the convolution with another kernel: [B, H / stride, W / stride, out] in ``dtype``.

        x: [B, H, W, in_channels] of any float dtype; kernel: [size, size, in_channels / groups, out] float32.
        """
        x = x.astype(self.dtype)
        if self.float32_kernel_grads:
            return _convolve_float32_grads(x, kernel, stride, self.groups)  # [B, H', W', out]
        return _convolve(x, kernel.astype(self.dtype), stride, self.groups)  # [B, H', W', out]


def _convolve(x: jax.Array, kernel: jax.Array, stride: int, groups: int) -> jax.Array:
    size = kernel.shape[0]
    pad = (size - 1) // 2
    if groups == 1 and (min(x.shape[1:3]) + 2 * pad - size) // stride + 1 < size:
        return _patch_product(x, kernel, stride, pad)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )  # [B, H / stride, W / stride, out]


def _patch_product(x: jax.Array, kernel: jax.Array, stride: int, pad: int) -> jax.Array:
    size = kernel.shape[0]
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))  # [B, H + 2 pad, W + 2 pad, in]
    batch, height, width, channels = padded.shape
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    patches = [
        padded[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]  # size * size of [B, rows, columns, in]
    patch_length = size * size * channels
    flat = jnp.stack(patches, axis=3).reshape(batch, rows, columns, patch_length)
    # Summed in float32, as a convolution is; on CPUs jax 0.12 sums products of bfloat16 in bfloat16.
    sums = jnp.matmul(flat, kernel.reshape(patch_length, -1), preferred_element_type=wide(x.dtype))
    return sums.astype(x.dtype)  # [B, rows, columns, out]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_float32_grads(x: jax.Array, kernel: jax.Array, stride: int, groups: int) -> jax.Array:
    """The convolution in the dtype of x with a float32 kernel, whose gradient is summed in float32."""
    return _convolve(x, kernel.astype(x.dtype), stride, groups)


def _convolve_forward(
    x: jax.Array, kernel: jax.Array, stride: int, groups: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolve_float32_grads(x, kernel, stride, groups), (x, kernel)


def _convolve_backward(
    stride: int, groups: int, residuals: tuple[jax.Array, jax.Array], output_grad: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    _, x_vjp = jax.vjp(lambda x: _convolve(x, kernel.astype(x.dtype), stride, groups), x)
    # The factors are those of the narrow dtype; TPUs multiply them as such and add up in float32.
    wide = x.astype(jnp.float32)
    _, kernel_vjp = jax.vjp(lambda kernel: _convolve(wide, kernel, stride, groups), kernel)
    [x_grad], [kernel_grad] = x_vjp(output_grad), kernel_vjp(output_grad.astype(jnp.float32))
    return x_grad, kernel_grad


_convolve_float32_grads.defvjp(_convolve_forward, _convolve_backward)


class BatchNorm(nnx.Module):
    """Normalisation over batch, height and width (Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1).

    The statistics are float32, taken in one pass (mean and mean of squares) over the whole sharded batch.
    The running variance is the unbiased one, as in PyTorch.

    With ``config.norm_groups`` above 1, each of so many equal parts of the batch, in order, has statistics of
    its own (Hoffer et al. 2017, arXiv:1705.08741, algorithm 1). Where no part spans two devices, neither
    direction waits for another device. A training pass then leaves the running statistics of each group,
    [groups, C]. The caller averages them for all layers at once (``Network.apply``).

    Args:
      features: channels of the image.
      config: its ``norm_`` fields count here.
      zero_scale: whether the scale begins at 0 instead of 1, so that a residual block begins as the identity
        (Goyal et al. 2017, arXiv:1706.02677, section 5.1).
    """

    def __init__(self, features: int, config: LayerConfig, zero_scale: bool = False):
        scale_init = jnp.zeros if zero_scale else jnp.ones
        self.scale = nnx.Param(scale_init(features, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(features, jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros(features, jnp.float32))
        self.var = nnx.BatchStat(jnp.ones(features, jnp.float32))
        self.momentum = config.norm_momentum
        self.epsilon = config.norm_epsilon
        self.groups = config.norm_groups

    def __call__(self, x: jax.Array, train: bool, measured: jax.Array | None = None) -> jax.Array:
        """Return x normalised, in its shape and dtype.

        Args:
          x: [B, H, W, C] of any float dtype.
          train: whether the statistics are those of the batch, which also move the running ones.
          measured: [B, …, …, C], the array that the statistics are taken from; None: x itself.
        """
        measured = x if measured is None else measured
        if train and (groups := slice_sums.own_groups(self.groups)) > 1:
            return self._in_groups(x, measured, groups)
        if train:
            parts = slice_sums.parts() if self.groups == 1 else 1  # of what the statistics are taken over
            mean, var = _statistics(measured.astype(wide(x.dtype)), PIXELS, parts > 1)  # [C], [C]
            multiplier, shift = self.learn(mean, var, measured.size * parts // measured.shape[-1])
        else:
            multiplier, shift = self._line(self.mean[...], self.var[...])
        # One multiplication and one addition for each element. Subtracting the mean first says the same, but
        # libtpu 0.0.42 overflows its stack on the gradient of that before a convolution of stride 2 (v6e).
        return (x.astype(wide(x.dtype)) * multiplier + shift).astype(x.dtype)

    def learn(self, mean: jax.Array, var: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        """Move the running statistics towards a batch's; return what normalises it: (multiplier, shift).

        Args:
          mean, var: [C] float32, or [groups, C]; what is returned has the same shape and dtype.
          count: elements that each statistic was taken over.
        """
        self._track(mean, var, count)
        return self._line(mean, var)

    def _line(self, mean: jax.Array, var: jax.Array) -> tuple[jax.Array, jax.Array]:
        multiplier = self.scale[...] * jax.lax.rsqrt(var + self.epsilon)
        return multiplier, self.bias[...] - mean * multiplier

    def _in_groups(self, x: jax.Array, measured: jax.Array, groups: int) -> jax.Array:
        parts = x.astype(wide(x.dtype)).reshape(groups, -1, *x.shape[1:])  # [G, B / G, H, W, C]
        measured_parts = measured.astype(wide(x.dtype)).reshape(groups, -1, *measured.shape[1:])
        mean, var = _statistics(measured_parts, (1, 2, 3))  # [G, C], [G, C]
        multiplier, shift = self.learn(mean, var, measured_parts[0].size // x.shape[-1])
        parts = parts * multiplier[:, None, None, None] + shift[:, None, None, None]
        return parts.reshape(x.shape).astype(x.dtype)  # [B, H, W, C]

    def _track(self, mean: jax.Array, var: jax.Array, count: int) -> None:
        old_share = self.momentum
        unbiased = var * (count / max(count - 1, 1))
        self.mean.set_value(old_share * self.mean[...] + (1 - old_share) * mean)
        self.var.set_value(old_share * self.var[...] + (1 - old_share) * unbiased)


def _statistics(x: jax.Array, axes: tuple[int, ...], on_hosts: bool = False) -> tuple[jax.Array, jax.Array]:
    mean, mean_square = jnp.mean(x, axis=axes), jnp.mean(jnp.square(x), axis=axes)
    if on_hosts:
        mean, mean_square = host_sums.mean((mean, mean_square))
    # Rounding can take the difference just below zero.
    return mean, jnp.maximum(mean_square - jnp.square(mean), 0.0)


@jax.custom_vjp
def second_moments(x: jax.Array) -> jax.Array:
    """Return the sums of x_i x_j over all pixels: [C, C] float32 of x, [B, H, W, C] of any float dtype."""
    return jax.lax.dot_general(
        x, x, ((PIXELS, PIXELS), ((), ())), preferred_element_type=jnp.float32, precision=_precision(x)
    )  # [C, C]


def _moments_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return second_moments(x), x


def _moments_backward(x: jax.Array, moments_grad: jax.Array) -> tuple[jax.Array]:
    """One product, where differentiating both factors would make two."""
    symmetric = (moments_grad + moments_grad.T).astype(x.dtype)
    return (jax.lax.dot_general(x, symmetric, (((3,), (0,)), ((), ())), precision=_precision(x)),)


second_moments.defvjp(_moments_forward, _moments_backward)


def every_second(x: jax.Array, stride: int) -> jax.Array:
    """Return the pixels that a 1x1 convolution with this stride reads: [B, H / stride, W / stride, C].

    It is such a convolution, whose kernel is the identity. libtpu 0.0.42.1 makes its gradient part of other
    operations, where that of a slice is a padded image, written and read again; a slice also makes it write
    x twice.

    x: [B, H, W, C] of any float dtype.
    """
    kernel = jnp.eye(x.shape[-1], dtype=x.dtype)[None, None]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=_precision(x),
    )  # [B, H / stride, W / stride, C]


def _precision(x: jax.Array) -> jax.lax.Precision | None:
    return EXACT if x.dtype == jnp.float32 else None


def copies(kernel: jax.Array, groups: int, dtype: DTypeLike) -> jax.Array:
    """Return the kernel once for each group; its gradient is one sum of theirs, in ``dtype``.

    kernel: [...] float32; returns [groups, ...] float32.
    """
    return _copies(kernel, groups, dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _copies(kernel: jax.Array, groups: int, dtype: DTypeLike) -> jax.Array:
    return jnp.broadcast_to(kernel, (groups, *kernel.shape))  # [groups, ...]


def _copies_forward(kernel: jax.Array, groups: int, dtype: DTypeLike) -> tuple[jax.Array, None]:
    return jnp.broadcast_to(kernel, (groups, *kernel.shape)), None  # [groups, ...]


def _copies_backward(
    groups: int, dtype: DTypeLike, residuals: None, copies_grad: jax.Array
) -> tuple[jax.Array]:
    total = jax.lax.reduce(copies_grad.astype(dtype), jnp.zeros((), dtype), jax.lax.add, (0,))  # [...]
    return (total.astype(copies_grad.dtype),)


_copies.defvjp(_copies_forward, _copies_backward)
