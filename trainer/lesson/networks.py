"""Five kinds of networks that differ in one thing each, of any depth, as pure functions over stacked arrays.

A network is a 3x3 with stride 2, blocks of two 3x3 (each after BatchNorm, where there is one, and ReLU), mean
pooling and a linear head: ``2 blocks + 2`` layers. All blocks are one scanned block, so that 1,002 layers
compile as fast as 20.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from trainer.models.pooling import pooled

Params = dict[str, jax.Array]
OUTSIDE_BLOCKS, LAYERS_PER_BLOCK = 2, 2  # the first convolution and the head
EPSILON = 1e-5
VERY_DEEP = 200  # layers from which a network has fewer steps and may have another learning rate


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What one kind of network has.

    Attributes:
      name: its name in tables and legends.
      norm: whether BatchNorm precedes each ReLU.
      skip: whether the input of a block is added to what the block computes.
      gain: whether a learned scalar, 0 at first, multiplies what the block computes (SkipInit: De and Smith
        2020, arXiv:2002.10444).
      learning_rate: of its training with SGD.
      deep_rate: the same for more than ``VERY_DEEP`` layers; 0: as ``learning_rate``.
    """

    name: str
    norm: bool = False
    skip: bool = False
    gain: bool = False
    learning_rate: float = 0.05
    deep_rate: float = 0.0

    def rate(self, layers: int) -> float:
        """Return the learning rate of a network with so many layers."""
        return self.deep_rate or self.learning_rate if layers > VERY_DEEP else self.learning_rate


KINDS = (
    Kind(name="plain"),
    Kind(name="plain + BatchNorm", norm=True),
    Kind(name="residual", skip=True),
    Kind(name="residual + BatchNorm", norm=True, skip=True),
    Kind(name="SkipInit", skip=True, gain=True, learning_rate=0.2, deep_rate=0.05),
)


def make(kind: Kind, blocks: int, width: int, classes: int, seed: int) -> Params:
    """Return the parameters, float32, by name; those of the blocks have the axis [blocks, ...] in front.

    Args:
      kind: the kind of the network.
      blocks: number of blocks.
      width: channels of all convolutions.
      classes: length of a row of logits.
      seed: of the kernels, which are normal with He's variance (arXiv:1502.01852, section 2.2).
    """
    stream = np.random.default_rng(seed)

    def kernel(*shape: int, fan_in: int, gain: float = 2.0) -> jax.Array:
        return jnp.asarray(stream.normal(0.0, (gain / fan_in) ** 0.5, shape), jnp.float32)

    params = {
        "stem": kernel(3, 3, 1, width, fan_in=9),
        "conv": kernel(blocks, LAYERS_PER_BLOCK, 3, 3, width, width, fan_in=9 * width),
        "head": kernel(width, classes, fan_in=width, gain=1.0),
        "head_bias": jnp.zeros(classes),
    }
    if kind.norm:
        params |= {"scale": jnp.ones((blocks, 2, width)), "bias": jnp.zeros((blocks, 2, width))}
        params |= {"end_scale": jnp.ones(width), "end_bias": jnp.zeros(width)}
    if kind.gain:
        params["gain"] = jnp.zeros(blocks)
    return params


def logits(kind: Kind, params: Params, images: jax.Array, probes: jax.Array) -> jax.Array:
    """Return [B, classes] float32.

    Args:
      kind: the kind of the network.
      params: as ``make`` returns them.
      images: [B, 8, 8, 1] float32, normalised. BatchNorm takes the statistics of these images.
      probes: [blocks, B, 4, 4, width] float32, added to the input of each block: zeros, whose gradient is
        that of the loss with respect to the input of each block.
    """
    stacked = {name: params[name] for name in ("conv", "scale", "bias", "gain") if name in params}

    def block(x: jax.Array, part: tuple[Params, jax.Array]) -> tuple[jax.Array, None]:
        of_block, probe = part
        x = x + probe
        y = x
        for i in range(LAYERS_PER_BLOCK):
            if kind.norm:
                y = _normalised(y, of_block["scale"][i], of_block["bias"][i])
            y = _convolved(jax.nn.relu(y), of_block["conv"][i], 1)
        if kind.gain:
            y = y * of_block["gain"]
        return x + y if kind.skip else y, None

    x = _convolved(images, params["stem"], 2)  # [B, 4, 4, width]
    x, _ = jax.lax.scan(block, x, (stacked, probes))
    if kind.norm:
        x = _normalised(x, params["end_scale"], params["end_bias"])
    return pooled(jax.nn.relu(x)) @ params["head"] + params["head_bias"]


def _convolved(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """A 3x3 convolution as one matrix product: on a CPU, 2 to 4 times as fast on images of 4x4 pixels."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))  # [B, H + 2, W + 2, in]
    height, width = x.shape[1], x.shape[2]
    patches = [padded[:, i : i + height : stride, j : j + width : stride] for i in range(3) for j in range(3)]
    return jnp.concatenate(patches, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def _normalised(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    mean, var = jnp.mean(x, axis=(0, 1, 2)), jnp.var(x, axis=(0, 1, 2))  # [width], [width]
    return (x - mean) * (scale * jax.lax.rsqrt(var + EPSILON)) + bias
