"""Variants of parts of the network for bench/bytes.py: each computes the same function with other traffic."""

import contextlib
import functools
from typing import cast
from unittest import mock

import jax
import jax.ad_checkpoint
import jax.numpy as jnp
from flax import nnx

from trainer.models import layers, resnet, stem_cells

AXES = (0, 1, 2)
PLAIN_NORM = layers.BatchNorm.__call__


def plain_pool(self, x, train, stride):
    normalised = self.norm(self.conv(x), train)
    window = {"strides": (stride, stride), "padding": ((1, 1), (1, 1))}
    return nnx.relu(nnx.max_pool(normalised, (3, 3), **window))


@contextlib.contextmanager
def in_pixels():
    """Compute the stem's pooling in pixels: no kernel has the size of one in cells."""
    with mock.patch.object(stem_cells, "SIZE", 0):
        yield


def sliced(plain):
    """Make 1x1 convolutions with a stride read only the pixels that they use."""

    def call(self, x, multiplier=None):
        if self.kernel[...].shape[0] > 1 or self.stride == 1:
            return plain(self, x, multiplier)
        stride = self.stride
        with mock.patch.object(self, "stride", 1):
            return plain(self, x[:, ::stride, ::stride], multiplier)

    return call


def strided_apart(plain):
    """Leave shortcuts with a stride as a convolution that is normalised after it."""

    def init(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        self.folds = self.folds and self.conv.stride == 1

    return init


def two_passes(self, x, train, measured=None):
    measured = x if measured is None else measured
    wide, seen = x.astype(jnp.float32), measured.astype(jnp.float32)
    mean = jnp.mean(seen, AXES)
    var = jnp.mean(jnp.square(seen - mean), AXES)
    multiplier, shift = self.learn(mean, var, measured.size // measured.shape[-1])
    return (wide * multiplier + shift).astype(x.dtype)


def own_backward(self, x, train, measured=None):
    """BatchNorm with a backward pass of its own.

    The stem keeps the plain one, because its statistics are those of another array than the normalised one.
    """
    if measured is not None:
        return PLAIN_NORM(self, x, train, measured)
    y, mean, var = cast(tuple, _normalised(x, self.scale[...], self.bias[...], self.epsilon))
    self.learn(mean, var, x.size // x.shape[-1])
    return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalised(x, scale, bias, epsilon):
    return _forward(x, scale, bias, epsilon)[0]


def _forward(x, scale, bias, epsilon):
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide, AXES)
    var = jnp.maximum(jnp.mean(jnp.square(wide), AXES) - jnp.square(mean), 0.0)
    inverse = jax.lax.rsqrt(var + epsilon)
    y = (wide * (scale * inverse) + (bias - mean * scale * inverse)).astype(x.dtype)
    return (y, mean, var), (x, scale, mean, inverse)


def _backward(epsilon, residuals, cotangents):
    """Use the convolution's output and vectors alone; the statistics have no gradient."""
    x, scale, mean, inverse = residuals
    wide, count = cotangents[0].astype(jnp.float32), x.size // x.shape[-1]
    unit = x.astype(jnp.float32) * inverse - mean * inverse
    by_bias, by_scale = jnp.sum(wide, AXES), jnp.sum(wide * unit, AXES)
    by_x = scale * inverse * (wide - (by_bias + unit * by_scale) / count)
    return by_x.astype(x.dtype), by_scale, by_bias


_normalised.defvjp(_forward, _backward)


@contextlib.contextmanager
def space_to_depth():
    with in_pixels(), mock.patch.object(layers.Conv, "__call__", _to_depth(layers.Conv.__call__)):
        yield


def _to_depth(plain):
    """Compute the 7x7 of stride 2 over 3 channels as a 4x4 of stride 1 over 12: the same sums plus zeros."""

    def call(self, x, multiplier=None):
        if self.kernel[...].shape[:3] != (7, 7, 3):
            return plain(self, x, multiplier)
        x, kernel = x.astype(self.dtype), (self.kernel[...] * multiplier).astype(self.dtype)
        batch, height, width, channels = x.shape
        folded = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
        # out[i] = sum of x[2 i + k - 3] w[k]; with a zero before w it is x[2 (i + a - 2) + b] w[2 a + b].
        kernel = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0))).reshape(4, 2, 4, 2, channels, -1)
        return jax.lax.conv_general_dilated(
            folded.reshape(batch, height // 2, width // 2, 4 * channels),
            kernel.transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, 4 * channels, -1),
            (1, 1),
            ((2, 1), (2, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    return call


@contextlib.contextmanager
def recompute():
    """Wrap each block in jax.checkpoint that saves the outputs of convolutions."""
    convolve, block = layers.Conv.__call__, resnet.Block.__call__

    def named(self, x, multiplier=None):
        return jax.ad_checkpoint.checkpoint_name(convolve(self, x, multiplier), "convolution")

    policy = jax.checkpoint_policies.save_only_these_names("convolution")

    def recomputed(self, x, train, key=None):
        return nnx.remat(lambda self, x: block(self, x, train, key), policy=policy)(self, x)

    with (
        mock.patch.object(layers.Conv, "__call__", named),
        mock.patch.object(resnet.Block, "__call__", recomputed),
    ):
        yield


def in_float32(image):
    return jax.ShapeDtypeStruct(image.shape, jnp.float32)
