"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545) in Flax NNX.

Matrices and convolutions run in ``Inputs.dtype``; normalisation, pooling and the head are float32. GELU is
the exact one, as in the authors' code, timm and torchvision.
"""

import itertools
import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from trainer.errors import ConfigError
from trainer.models import sight
from trainer.models.architecture import Architecture, Foreign, Inputs, from_oihw, stage_of, to_oihw
from trainer.models.attention import LayerNorm, Linear
from trainer.models.patches import Patches
from trainer.models.repeat import repeat
from trainer.models.variants import Drop, drop_branch, drops_of

INIT = nnx.initializers.truncated_normal(0.02)  # the authors' code, models/convnext.py
LAYER_SCALE = 1e-6  # first value of the gain of each channel at the end of a block
KERNEL = 7  # pixels of a side of the depthwise convolution
STEM, HALVING = 4, 2  # pixels of a side of the patches before the first stage, and before each other one
SETTINGS = frozenset({"dtype", "stochastic_depth", "repeat", "remat"})


@dataclass(frozen=True, kw_only=True)
class ConvNeXtConfig:
    """Sizes of a network and the settings that it honours.

    Args:
      depths, widths: blocks and channels of each of the four stages.
      depth_rate: share of the examples that skip the last block; rises linearly from 0 at the first.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    depth_rate: float = 0.0


class Depthwise(nnx.Module):
    """A square convolution of each channel by itself, with a bias; the image keeps its size.

    Args:
      channels: channels of the image.
      size: pixels of a side of the kernel, odd.
      dtype: dtype to compute in.
    """

    def __init__(self, channels: int, size: int, dtype: DTypeLike, *, rngs: nnx.Rngs):
        self.kernel = nnx.Param(INIT(rngs.params(), (size, size, 1, channels), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H, W, C] in ``dtype``. x: [B, H, W, C] of any float dtype."""
        pad = self.kernel[...].shape[0] // 2
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            (1, 1),
            ((pad, pad), (pad, pad)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=x.shape[-1],
        )
        return y + self.bias[...].astype(self.dtype)


class Block(nnx.Module):
    """A depthwise convolution, then two matrices over the channels, and a skip connection around all.

    Args:
      width: channels of the image.
      dtype: dtype to compute in.
    """

    def __init__(self, width: int, dtype: DTypeLike, *, rngs: nnx.Rngs):
        self.depthwise = Depthwise(width, KERNEL, dtype, rngs=rngs)
        self.norm = LayerNorm(width)
        self.hidden = Linear(width, 4 * width, dtype, rngs=rngs, kernel_init=INIT)
        self.out = Linear(4 * width, width, dtype, rngs=rngs, kernel_init=INIT)
        self.gain = nnx.Param(jnp.full(width, LAYER_SCALE, jnp.float32))

    def __call__(self, x: jax.Array, drop: Drop = None) -> jax.Array:
        """Return [B, H, W, width] in the dtype of x.

        Args:
          x: [B, H, W, width] of any float dtype.
          drop: a scalar key and the share of the examples that skip the block; None: none does.
        """
        y = jax.nn.gelu(self.hidden(self.norm(self.depthwise(x))), approximate=False)
        y = self.out(y) * self.gain[...].astype(x.dtype)
        return x + (y if drop is None else drop_branch(y, drop[1], drop[0]))


class ConvNeXt(nnx.Module):
    """The network: four stages of blocks, before each of them a halving of the image, and a head.

    Args:
      config: sizes of the network.
      inputs: what it is made for.
    """

    def __init__(self, config: ConvNeXtConfig, inputs: Inputs, *, rngs: nnx.Rngs):
        widths, dtype = config.widths, inputs.dtype
        self.depths = config.depths
        self.stem = Patches(STEM, inputs.channels, widths[0], dtype, rngs=rngs, init=INIT)
        self.stem_norm = LayerNorm(widths[0])
        pairs = list(itertools.pairwise(widths))
        self.halving_norms = nnx.List([LayerNorm(before) for before, _ in pairs])
        self.halvings = nnx.List(
            [Patches(HALVING, before, after, dtype, rngs=rngs, init=INIT) for before, after in pairs]
        )
        self.model, self.rate = inputs.model, config.depth_rate
        stages = [width for width, depth in zip(widths, config.depths, strict=True) for _ in range(depth)]
        self.blocks = nnx.List([Block(width, dtype, rngs=rngs) for width in stages])
        self.norm = LayerNorm(widths[-1])
        self.head = Linear(widths[-1], inputs.classes, jnp.float32, rngs=rngs, kernel_init=INIT)

    def __call__(self, images: jax.Array, train: bool, key: jax.Array | None = None) -> jax.Array:
        """Return logits, [B, classes] float32.

        Args:
          images: [B, H, W, C] float32, normalised; H and W of at least 32 pixels.
          train: whether examples may skip blocks.
          key: a scalar key of the examples that do; None: none does.
        """
        x = self.stem_norm(self.stem(images))  # [B, H / 4, W / 4, widths[0]]
        drops = drops_of(len(self.blocks), self.rate, key if train else None)
        done = 0
        for stage, depth in enumerate(self.depths):
            if stage:
                x = self.halvings[stage - 1](self.halving_norms[stage - 1](x))
            part = slice(done, done + depth)
            of_stage = jax.tree.map(lambda array, part=part: array[part], drops)
            x = repeat(list(self.blocks)[part], x, of_stage, self.model, lambda block, x, d: block(x, d))
            x = sight.spatial(x)
            done += depth
        pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2))  # [B, widths[-1]]
        return self.head(self.norm(pooled))


def architecture(**sizes: Any) -> Architecture:
    """Return a network of the family; ``sizes`` are fields of ``ConvNeXtConfig``."""

    def make(inputs: Inputs, rngs: nnx.Rngs) -> ConvNeXt:
        config = ConvNeXtConfig(**sizes, depth_rate=inputs.model.stochastic_depth)
        least = STEM * HALVING ** (len(config.depths) - 1)
        if inputs.image_size < least:
            raise ConfigError(
                f"model.arch: images must have at least {least} pixels for {inputs.model.arch}, got "
                f"{inputs.image_size}"
            )
        return ConvNeXt(config, inputs, rngs=rngs)

    return Architecture(
        make=make,
        settings=SETTINGS,
        draws=lambda model: model.stochastic_depth > 0,
        foreign={
            "timm": lambda model: timm_names(sizes["depths"]),
            "torchvision": lambda model: torchvision_names(sizes["depths"]),
        },
        by_slice=True,
    )


LEAVES = {"kernel": "weight", "bias": "bias", "scale": "weight"}
TIMM = {"depthwise": "conv_dw", "norm": "norm", "hidden": "mlp.fc1", "out": "mlp.fc2"}
TORCHVISION = {"depthwise": "block.0", "norm": "block.2", "hidden": "block.3", "out": "block.5"}


def timm_names(depths: tuple[int, ...]) -> Foreign:
    """Return timm's names and layouts for a network with so many blocks in each stage."""

    def name(ours: str) -> str:
        path, _, leaf = ours.rpartition(".")
        if match := re.fullmatch(r"blocks\.(\d+)(?:\.(\w+))?", path):
            stage, index = stage_of(depths, int(match[1]))
            prefix = f"stages.{stage}.blocks.{index}"
            return f"{prefix}.gamma" if leaf == "gain" else f"{prefix}.{TIMM[match[2]]}.{LEAVES[leaf]}"
        if match := re.fullmatch(r"halving(s|_norms)\.(\d)", path):
            return f"stages.{int(match[2]) + 1}.downsample.{int(match[1] == 's')}.{LEAVES[leaf]}"
        alone = {"stem": "stem.0", "stem_norm": "stem.1", "norm": "head.norm", "head": "head.fc"}
        return f"{alone[path]}.{LEAVES[leaf]}"

    return Foreign(
        name=name, anchor="stages.0.blocks.0.conv_dw.weight", head="head.fc.weight", head_bias="head.fc.bias"
    )


def torchvision_names(depths: tuple[int, ...]) -> Foreign:
    """Return torchvision's names and layouts for a network with so many blocks in each stage."""

    def name(ours: str) -> str:
        path, _, leaf = ours.rpartition(".")
        if match := re.fullmatch(r"blocks\.(\d+)(?:\.(\w+))?", path):
            stage, index = stage_of(depths, int(match[1]))
            prefix = f"features.{2 * stage + 1}.{index}"
            if leaf == "gain":
                return f"{prefix}.layer_scale"
            return f"{prefix}.{TORCHVISION[match[2]]}.{LEAVES[leaf]}"
        if match := re.fullmatch(r"halving(s|_norms)\.(\d)", path):
            return f"features.{2 * int(match[2]) + 2}.{int(match[1] == 's')}.{LEAVES[leaf]}"
        alone = {"stem": "features.0.0", "stem_norm": "features.0.1", "norm": "classifier.0"}
        return f"{(alone | {'head': 'classifier.2'})[path]}.{LEAVES[leaf]}"

    def read(ours: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return array.reshape(-1) if ours.endswith(".gain") else from_oihw(ours, array, shape)

    def write(ours: str, array: np.ndarray) -> np.ndarray:
        return array.reshape(-1, 1, 1) if ours.endswith(".gain") else to_oihw(ours, array)

    return Foreign(
        name=name,
        anchor="features.1.0.layer_scale",
        head="classifier.2.weight",
        head_bias="classifier.2.bias",
        read=read,
        write=write,
    )
