"""Additions to a plain residual block: blur, squeeze and excitation, stochastic depth."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.devices import slice_sums
from trainer.models.layers import KERNEL_INIT, LayerConfig

SQUEEZE_MULTIPLE = 8  # channels of the squeezed layer are a multiple of this, as timm has it
PLAIN_GROUP_WIDTH = 64  # by which ``Variant.group_width`` is measured, as torchvision's width_per_group


Drop = tuple[jax.Array, jax.Array] | None  # a scalar key and the rate at which a branch is dropped


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How the blocks of a network differ from those of He et al. 2015 (arXiv:1512.03385).

    Args:
      groups: groups of the 3x3 of a bottleneck (ResNeXt, arXiv:1611.05431, section 3).
      group_width: channels of such a group where the plain bottleneck has 64; with one group, 128 is twice
        as wide (wide ResNet, arXiv:1605.07146).
      pool_shortcut: whether a shortcut that halves the image is mean pooling and a 1x1 without stride
        (ResNet-D, arXiv:1812.01187, figure 2c).
      blur: where a stride is smoothed (arXiv:1904.11486, section 3): "off"; "after" a 3x3 without stride;
        "before" each convolution with a stride, as the recipes of ffcv do.
      squeeze: channels of the squeezed layer as a share of the block's, 0 to 1; 0: no squeeze and excitation.
      depth_rate: share of the examples that skip the last block. It rises linearly from 0 at the first
        (stochastic depth, arXiv:1603.09382, section 3).
    """

    groups: int = 1
    group_width: int = PLAIN_GROUP_WIDTH
    pool_shortcut: bool = False
    blur: str = "off"
    squeeze: float = 0.0
    depth_rate: float = 0.0

    def inner_width(self, width: int) -> int:
        """Return the channels of the 3x3 of a bottleneck whose plain width is ``width``."""
        return int(width * self.group_width / PLAIN_GROUP_WIDTH) * self.groups


PLAIN = Variant()


class SqueezeExcite(nnx.Module):
    """Scales each channel by a gate that depends on the whole image (Hu et al. 2017, arXiv:1709.01507, 3).

    Args:
      features: channels of the image.
      share: channels of the squeezed layer as a share of ``features``.
      config: its ``dtype`` counts here.
      kernel_init: initialiser of both matrices.
    """

    def __init__(
        self,
        features: int,
        share: float,
        config: LayerConfig,
        *,
        rngs: nnx.Rngs,
        kernel_init: nnx.Initializer = KERNEL_INIT,
    ):
        squeezed = max(round(features * share / SQUEEZE_MULTIPLE), 1) * SQUEEZE_MULTIPLE
        self.reduce = nnx.Linear(features, squeezed, kernel_init=kernel_init, dtype=config.dtype, rngs=rngs)
        self.expand = nnx.Linear(squeezed, features, kernel_init=kernel_init, dtype=config.dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return x with its channels scaled. x: [B, H, W, C] of any float dtype; so is what is returned."""
        means = jnp.mean(x.astype(jnp.float32), axis=(1, 2)).astype(x.dtype)  # [B, C]
        squeezed = nnx.relu(self.reduce(means))  # [B, squeezed]
        gate = nnx.sigmoid(self.expand(squeezed))  # [B, C]
        return x * gate[:, None, None, :]


def blur(x: jax.Array, stride: int, mode: str) -> jax.Array:
    """Filter height and width with 1 2 1, then take every ``stride``-th pixel (arXiv:1904.11486, section 3).

    Args:
      x: [B, H, W, C] of any float dtype; returns [B, H / stride, W / stride, C], rounded up, of the same.
      stride: pixels from one that is taken to the next.
      mode: padding of one pixel as ``jnp.pad`` names it: "reflect" or "constant".
    """
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode)  # [B, H + 2, W + 2, C]
    height, width = x.shape[1:3]
    above, middle, below = (padded[:, i : i + height : stride] for i in range(3))
    tall = (above + 2 * middle + below) / 4  # [B, H / stride, W + 2, C]
    left, middle, right = (tall[:, :, i : i + width : stride] for i in range(3))
    return (left + 2 * middle + right) / 4  # [B, H / stride, W / stride, C]


def drop_branch(x: jax.Array, rate: float | jax.Array, key: jax.Array, rescale: bool = True) -> jax.Array:
    """Zero the branch of some examples and scale the others up (arXiv:1603.09382, section 3).

    Scaling by 1 / (1 - rate) in training stands for the paper's scaling in evaluation.

    Args:
      x: [B, ...] of any float dtype; so is what is returned.
      rate: probability that an example's branch is zeroed, below 1; a number, or a scalar array.
      key: a scalar key of the draws.
      rescale: whether the others are scaled up; NFNets do not (arXiv:2102.06171, the authors' code).
    """
    survives = slice_sums.own_rows(
        lambda rows: jax.random.bernoulli(key, 1.0 - rate, (rows, *[1] * (x.ndim - 1))), len(x)
    )
    scaled = x / jnp.asarray(1.0 - rate, x.dtype) if rescale else x
    return jnp.where(survives, scaled, jnp.zeros_like(x))


def drop_features(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    """Zero some features and scale the others up by 1 / (1 - rate) (dropout, Srivastava et al. 2014).

    Args:
      x: [B, features] of any float dtype; so is what is returned.
      rate: probability that a feature of an example is zeroed, below 1.
      key: a scalar key of the draws.
    """
    survives = slice_sums.own_rows(
        lambda rows: jax.random.bernoulli(key, 1 - rate, (rows, *x.shape[1:])), len(x)
    )
    return jnp.where(survives, x / (1 - rate), jnp.zeros_like(x))


def drops_of(blocks: int, rate: float, key: jax.Array | None) -> tuple[jax.Array, jax.Array] | None:
    """Return a key and a rate for each block, [blocks] and [blocks] float32; None where nothing is dropped.

    Args:
      blocks: number of blocks.
      rate: rate of the last block; it rises linearly from 0 at the first.
      key: a scalar key of the draws; None: nothing is dropped.
    """
    if key is None or not rate:
        return None
    return jax.random.split(key, blocks), jnp.linspace(0.0, rate, blocks, dtype=jnp.float32)


def mean_pool(x: jax.Array) -> jax.Array:
    """Return the means of 2x2 pixels; at an odd border, of the pixels that exist.

    x: [B, H, W, C] of any float dtype; returns [B, H / 2, W / 2, C], rounded up, of the same dtype.
    """
    window, strides = (1, 2, 2, 1), (1, 2, 2, 1)
    ones = jnp.ones((1, *x.shape[1:3], 1), jnp.float32)  # [1, H, W, 1]
    sums = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, strides, "SAME")  # [B, H / 2, W / 2, C]
    counts = jax.lax.reduce_window(ones, 0.0, jax.lax.add, window, strides, "SAME")  # [1, H / 2, W / 2, 1]
    return (sums.astype(jnp.float32) / counts).astype(x.dtype)
