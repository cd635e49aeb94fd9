"""Convolution and BatchNorm as the networks of this package use them."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

# Kaiming normal over the outputs, as the paper's successors do (Goyal et al. 2017, arXiv:1706.02677, 5.1).
KERNEL_INIT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
EXACT = jax.lax.Precision.HIGHEST  # TPUs round the factors of float32 products to bfloat16 otherwise


class Conv(nnx.Module):
    """A square convolution without bias, padded symmetrically, in ``dtype``.

    Where the output is smaller than the kernel (the last stages of a network on tiny images), it is one
    matrix product over gathered patches: the same sums, and 10 to 25 times faster on a CPU, whose compiler
    has no fast path there.

    wide: the kernel's gradient is summed in float32, over pixels and over devices, whatever ``dtype``.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        size: int,
        stride: int,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        groups: int = 1,
        wide: bool = False,
    ):
        self.kernel = nnx.Param(KERNEL_INIT(rngs.params(), (size, size, cin // groups, cout), jnp.float32))
        self.stride = stride
        self.groups = groups
        self.dtype = dtype
        self.wide = wide

    def __call__(self, x: jax.Array, times: jax.Array | None = None) -> jax.Array:
        """x: [B, H, W, cin]; returns [B, H / stride, W / stride, cout] in ``dtype``.

        times: [cout] that the outputs are multiplied by.
        """
        kernel = self.kernel[...] if times is None else self.kernel[...] * times
        x = x.astype(self.dtype)
        if self.wide:
            return _wide(x, kernel, self.stride, self.groups)
        return _convolve(x, kernel.astype(self.dtype), self.stride, self.groups)


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
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _wide(x: jax.Array, kernel: jax.Array, stride: int, groups: int) -> jax.Array:
    """The convolution in the type of x with a kernel of float32, whose gradient keeps that type."""
    return _convolve(x, kernel.astype(x.dtype), stride, groups)


def _wide_forward(x: jax.Array, kernel: jax.Array, stride: int, groups: int):
    return _wide(x, kernel, stride, groups), (x, kernel)


def _wide_backward(stride: int, groups: int, kept: tuple[jax.Array, jax.Array], given: jax.Array):
    x, kernel = kept
    _, by_x = jax.vjp(lambda x: _convolve(x, kernel.astype(x.dtype), stride, groups), x)
    # The factors are those of the narrow type; TPUs multiply them as such and add up in float32.
    full = x.astype(jnp.float32)
    _, by_kernel = jax.vjp(lambda kernel: _convolve(full, kernel, stride, groups), kernel)
    return *by_x(given), *by_kernel(given.astype(jnp.float32))


_wide.defvjp(_wide_forward, _wide_backward)


class BatchNorm(nnx.Module):
    """Normalises over batch, height and width with statistics in float32.

    The batch statistics are taken in one pass (mean and mean of squares), over the whole sharded batch. The
    running variance is the unbiased one, as in PyTorch.

    Args:
      groups: more than 1: each of so many parts of the batch, in order, has statistics of its own. Where no
        part spans two devices, neither direction waits for another device. A training pass leaves the
        running statistics of each group, [groups, C]: whoever called averages them, all layers' at once
        (``Network.apply``).
    """

    def __init__(
        self, features: int, momentum: float, epsilon: float, zero_scale: bool = False, groups: int = 1
    ):
        init = jnp.zeros if zero_scale else jnp.ones
        self.scale = nnx.Param(init(features, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(features, jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros(features, jnp.float32))
        self.var = nnx.BatchStat(jnp.ones(features, jnp.float32))
        self.momentum = momentum
        self.epsilon = epsilon
        self.groups = groups

    def __call__(self, x: jax.Array, train: bool, of: jax.Array | None = None) -> jax.Array:
        """x: [B, H, W, C] of any float dtype; returns the same shape and dtype.

        of: [B, …, …, C], whose statistics they are where that is not x.
        """
        of = x if of is None else of
        if train and self.groups > 1:
            return self._grouped(x, of)
        wide = x.astype(jnp.float32)
        if train:
            seen = of.astype(jnp.float32)
            mean = jnp.mean(seen, axis=(0, 1, 2))  # [C]
            # Rounding can take the difference just below zero.
            var = jnp.maximum(jnp.mean(jnp.square(seen), axis=(0, 1, 2)) - jnp.square(mean), 0.0)  # [C]
            multiplier, shift = self.learn(mean, var, of.size // of.shape[-1])
        else:
            multiplier, shift = self._line(self.mean[...], self.var[...])
        # One multiplication and one addition for each element. Subtracting the mean first says the same, but
        # libtpu 0.0.42 overflows its stack on the gradient of that before a convolution of stride 2 (v6e).
        return (wide * multiplier + shift).astype(x.dtype)

    def learn(self, mean: jax.Array, var: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        """[C] to multiply and [C] to add, from a batch's statistics, which go into the running ones.

        Of groups, all are [G, C].

        count: numbers that each statistic is of.
        """
        self._track(mean, var, count)
        return self._line(mean, var)

    def _line(self, mean: jax.Array, var: jax.Array) -> tuple[jax.Array, jax.Array]:
        multiplier = self.scale[...] * jax.lax.rsqrt(var + self.epsilon)
        return multiplier, self.bias[...] - mean * multiplier

    def _grouped(self, x: jax.Array, of: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32).reshape(self.groups, -1, *x.shape[1:])  # [G, B / G, H, W, C]
        seen = of.astype(jnp.float32).reshape(self.groups, -1, *of.shape[1:])
        mean = jnp.mean(seen, axis=(1, 2, 3))  # [G, C]
        var = jnp.maximum(jnp.mean(jnp.square(seen), axis=(1, 2, 3)) - jnp.square(mean), 0.0)
        multiplier, shift = self.learn(mean, var, seen[0].size // x.shape[-1])
        wide = wide * multiplier[:, None, None, None] + shift[:, None, None, None]
        return wide.reshape(x.shape).astype(x.dtype)

    def _track(self, mean: jax.Array, var: jax.Array, count: int) -> None:
        keep = self.momentum
        unbiased = var * (count / max(count - 1, 1))
        self.mean.set_value(keep * self.mean[...] + (1 - keep) * mean)
        self.var.set_value(keep * self.var[...] + (1 - keep) * unbiased)


@jax.custom_vjp
def second_moments(x: jax.Array) -> jax.Array:
    """x: [B, H, W, C]; returns the sums of x_i x_j over all pixels, [C, C] float32."""
    pixels = (0, 1, 2)
    return jax.lax.dot_general(
        x, x, ((pixels, pixels), ((), ())), preferred_element_type=jnp.float32, precision=_exact(x)
    )


def _moments_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return second_moments(x), x


def _moments_backward(x: jax.Array, given: jax.Array) -> tuple[jax.Array]:
    """One product, where differentiating both factors would make two."""
    both = (given + given.T).astype(x.dtype)
    return (jax.lax.dot_general(x, both, (((3,), (0,)), ((), ())), precision=_exact(x)),)


second_moments.defvjp(_moments_forward, _moments_backward)


def copies(kernel: jax.Array, groups: int, dtype: jnp.dtype) -> jax.Array:
    """[groups, …] of the same kernel; its gradient is one sum of theirs over the groups, in ``dtype``."""
    return _copies(kernel, groups, dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _copies(kernel: jax.Array, groups: int, dtype: jnp.dtype) -> jax.Array:
    return jnp.broadcast_to(kernel, (groups, *kernel.shape))


def _copies_forward(kernel: jax.Array, groups: int, dtype: jnp.dtype) -> tuple[jax.Array, None]:
    return jnp.broadcast_to(kernel, (groups, *kernel.shape)), None


def _copies_backward(groups: int, dtype: jnp.dtype, kept: None, given: jax.Array) -> tuple[jax.Array]:
    total = jax.lax.reduce(given.astype(dtype), jnp.zeros((), dtype), jax.lax.add, (0,))
    return (total.astype(given.dtype),)


_copies.defvjp(_copies_forward, _copies_backward)


def _exact(x: jax.Array) -> jax.lax.Precision | None:
    return EXACT if x.dtype == jnp.float32 else None


def _patch_product(x: jax.Array, kernel: jax.Array, stride: int, pad: int) -> jax.Array:
    size = kernel.shape[0]
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    batch, height, width, channels = padded.shape
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    patches = [
        padded[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
    flat = jnp.stack(patches, axis=3).reshape(batch, rows, columns, size * size * channels)
    return flat @ kernel.reshape(size * size * channels, -1)  # [B, rows, columns, cout]
