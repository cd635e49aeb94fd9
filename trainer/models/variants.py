"""What may be added to a plain residual block: blur, squeeze and excitation, stochastic depth."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.models.layers import KERNEL_INIT

SQUEEZE_MULTIPLE = 8  # channels of the squeezed layer are a multiple of this, as timm has it


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How the blocks of one network differ from the paper's.

    Args:
      groups, group_width: of the 3x3 of a bottleneck; 64 is the plain width, 128 twice as wide.
      pool_shortcut: mean pooling, then a 1x1 without stride (ResNet-D, arXiv:1812.01187, figure 2c).
      blur: where a stride is smoothed (arXiv:1904.11486): "off"; "after" a 3x3 without stride; "before" a
        convolution with stride, as the recipes of ffcv do.
      squeeze: channels of the squeezed layer as a share of the block's; 0: none.
      depth_rate: share of the examples that skip the last block; it rises linearly from zero at the first.
    """

    groups: int = 1
    group_width: int = 64
    pool_shortcut: bool = False
    blur: str = "off"
    squeeze: float = 0.0
    depth_rate: float = 0.0

    def inner_width(self, width: int) -> int:
        """Channels of the 3x3 of a bottleneck whose plain width is ``width``."""
        return int(width * self.group_width / 64) * self.groups


PLAIN = Variant()


class SqueezeExcite(nnx.Module):
    """Scales each channel by a gate that has seen the whole image (arXiv:1709.01507)."""

    def __init__(self, features: int, share: float, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        squeezed = max(round(features * share / SQUEEZE_MULTIPLE), 1) * SQUEEZE_MULTIPLE
        kw = {"kernel_init": KERNEL_INIT, "dtype": dtype, "rngs": rngs}
        self.reduce = nnx.Linear(features, squeezed, **kw)
        self.expand = nnx.Linear(squeezed, features, **kw)

    def __call__(self, x: jax.Array) -> jax.Array:
        """x: [B, H, W, C]; returns the same shape and dtype."""
        seen = jnp.mean(x.astype(jnp.float32), axis=(1, 2)).astype(x.dtype)  # [B, C]
        gate = nnx.sigmoid(self.expand(nnx.relu(self.reduce(seen))))
        return x * gate[:, None, None, :]


def blur(x: jax.Array, stride: int, mode: str) -> jax.Array:
    """The binomial filter 1 2 1 over height and width, then every ``stride``-th pixel of [B, H, W, C].

    ``mode`` is the padding, as of ``jnp.pad``: "reflect" or "constant".
    """
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode)
    height, width = x.shape[1:3]
    above, here, below = (padded[:, i : i + height : stride] for i in range(3))
    tall = (above + 2 * here + below) / 4  # [B, H / stride, W + 2, C]
    left, here, right = (tall[:, :, i : i + width : stride] for i in range(3))
    return (left + 2 * here + right) / 4


def drop_branch(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    """Zeroes the branch of a share ``rate`` of the examples and scales the others up (arXiv:1603.09382)."""
    kept = jax.random.bernoulli(key, 1.0 - rate, (x.shape[0], 1, 1, 1))
    return jnp.where(kept, x / (1.0 - rate), jnp.zeros_like(x))


def mean_pool(x: jax.Array) -> jax.Array:
    """Means of 2x2 pixels; at an odd border of those that are there."""
    return nnx.avg_pool(x, (2, 2), strides=(2, 2), padding="SAME", count_include_pad=False)
