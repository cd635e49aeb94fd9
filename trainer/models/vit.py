"""Vision Transformer (Dosovitskiy et al. 2020, arXiv:2010.11929) in Flax NNX, and DeiT III's variant of it.

Matrices run in ``Inputs.dtype``; normalisation, softmax and the head are float32. GELU is the exact one, as
in timm and torchvision.
"""

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from trainer.config import ModelConfig
from trainer.devices import cpu_barrier
from trainer.devices.model_axis import Division, divided, undivided
from trainer.errors import ConfigError
from trainer.models import sight
from trainer.models.architecture import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Architecture,
    Foreign,
    Inputs,
    from_oihw,
    to_oihw,
)
from trainer.models.attention import LINEAR_INIT, MLP, Attention, LayerNorm, Linear, attend, split_heads
from trainer.models.patches import Patches
from trainer.models.repeat import repeat
from trainer.models.variants import Drop, drop_branch, drops_of

TOKEN_STD = 1e-6  # of the class token and of map pooling's probe
SINCOS_BASE = 10_000.0
HALF = (0.5, 0.5, 0.5)  # mean and deviation of the images that timm's weights of ViT expect: -1 to 1


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Sizes of a network and the settings that it honours.

    Args:
      patch: pixels of a side of a patch.
      width, depth, heads, hidden: length of a token, blocks, heads, length between the matrices of a block.
      pool: what the head sees: "token", the class token; "mean" of all tokens; "map", one attention with a
        learned probe (Zhai et al. 2021, arXiv:2106.04560, section 2.3).
      positions: "learned", or "sincos2d": fixed waves (Beyer et al. 2022, arXiv:2205.01580, section 2).
      representation: whether a layer with tanh stands before the head (arXiv:2010.11929, section 3.1).
      class_position: whether the class token has a position of its own.
      layer_scale: first value of a gain for each channel at the end of each branch (Touvron et al. 2021,
        arXiv:2103.17239, section 2); 0: no such gain.
      depth_rate: share of the examples that skip the last block; rises linearly from 0 at the first.
    """

    patch: int
    width: int
    depth: int
    heads: int
    hidden: int
    pool: str = "token"
    positions: str = "learned"
    representation: bool = False
    class_position: bool = True
    layer_scale: float = 0.0
    depth_rate: float = 0.0

    @classmethod
    def resolve(cls, model: ModelConfig, sizes: dict[str, Any]) -> "ViTConfig":
        """Return the configuration of a registered network with the settings of a run."""
        chosen = {key: getattr(model, key) for key in ("pool", "positions") if getattr(model, key) != "auto"}
        chosen |= {"representation": model.representation, "depth_rate": model.stochastic_depth}
        return cls(**{**sizes, **chosen})


class Block(nnx.Module):
    """Attention and an MLP, each after a normalisation and around it a skip connection.

    Args:
      config: sizes of the network.
      dtype: dtype to compute in.
    """

    def __init__(self, config: ViTConfig, dtype: DTypeLike, *, rngs: nnx.Rngs):
        self.norm1 = LayerNorm(config.width)
        self.attention = Attention(config.width, config.heads, dtype, rngs=rngs)
        self.norm2 = LayerNorm(config.width)
        self.mlp = MLP(config.width, config.hidden, dtype, rngs=rngs)
        self.scaled = config.layer_scale > 0
        if self.scaled:
            self.gain1 = nnx.Param(jnp.full(config.width, config.layer_scale, jnp.float32))
            self.gain2 = nnx.Param(jnp.full(config.width, config.layer_scale, jnp.float32))

    def __call__(self, x: jax.Array, drop: Drop = None) -> jax.Array:
        """Return [B, T, width] in the dtype of x.

        Args:
          x: [B, T, width] of any float dtype.
          drop: a scalar key and the share of the examples that skip a branch; None: none does.
        """
        x = cpu_barrier.once(x + self._kept(self.attention(self.norm1(x)), "gain1", drop, 0))
        return x + self._kept(self.mlp(self.norm2(x)), "gain2", drop, 1)

    def _kept(self, branch: jax.Array, gain: str, drop: Drop, number: int) -> jax.Array:
        if self.scaled:
            branch = branch * getattr(self, gain)[...].astype(branch.dtype)
        if drop is None:
            return branch
        key, rate = drop
        return drop_branch(branch, rate, jax.random.fold_in(key, number))


class MapPooling(nnx.Module):
    """One token from all: a learned probe attends to them, then an MLP (arXiv:2106.04560, section 2.3).

    Args:
      config: sizes of the network.
      dtype: dtype to compute in.
    """

    def __init__(self, config: ViTConfig, dtype: DTypeLike, *, rngs: nnx.Rngs):
        width = config.width
        self.probe = nnx.Param(LINEAR_INIT(rngs.params(), (1, width), jnp.float32)[0])
        self.query = Linear(width, width, dtype, rngs=rngs)
        self.kv = Linear(width, 2 * width, dtype, rngs=rngs)
        self.out = Linear(width, width, dtype, rngs=rngs)
        self.norm = LayerNorm(width)
        self.mlp = MLP(width, config.hidden, dtype, rngs=rngs)
        self.heads = config.heads

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, width]. x: [B, T, width] of any float dtype; so is what is returned."""
        batch, _, width = x.shape
        probe = jnp.broadcast_to(self.probe[...], (batch, 1, width)).astype(x.dtype)
        [q] = split_heads(self.query, undivided(probe), 1, self.heads)  # [B, 1, heads, width / heads]
        k, v = split_heads(self.kv, undivided(x), 2, self.heads)  # each [B, T, heads, width / heads]
        y = divided(attend(q, k, v).reshape(batch, width), -1)
        y = undivided(self.out(y))  # [B, width]
        return y + self.mlp(self.norm(y))


class ViT(nnx.Module):
    """The network: patches, blocks, pooling, head.

    Args:
      config: sizes of the network.
      inputs: what it is made for.
    """

    def __init__(self, config: ViTConfig, inputs: Inputs, *, rngs: nnx.Rngs):
        self.config, self.dtype = config, inputs.dtype
        width, dtype = config.width, inputs.dtype
        self.grid = inputs.image_size // config.patch
        self.patches = Patches(config.patch, inputs.channels, width, dtype, rngs=rngs)
        self.has_token = config.pool == "token"
        if self.has_token:
            self.token = nnx.Param(TOKEN_STD * jax.random.normal(rngs.params(), (width,), jnp.float32))
        if config.positions == "learned":
            count = self.grid**2 + (self.has_token and config.class_position)
            drawn = jax.random.normal(rngs.params(), (count, width), jnp.float32)
            self.positions = nnx.Param(drawn / np.sqrt(width).astype(np.float32))
        self.model = inputs.model
        self.blocks = nnx.List([Block(config, dtype, rngs=rngs) for _ in range(config.depth)])
        self.norm = LayerNorm(width)
        if config.pool == "map":
            self.pooling = MapPooling(config, dtype, rngs=rngs)
        if config.representation:
            init = nnx.initializers.lecun_normal()
            self.representation = Linear(width, width, dtype, rngs=rngs, kernel_init=init)
        self.head = Linear(width, inputs.classes, jnp.float32, rngs=rngs, kernel_init=nnx.initializers.zeros)

    def __call__(self, images: jax.Array, train: bool, key: jax.Array | None = None) -> jax.Array:
        """Return logits, [B, classes] float32.

        Args:
          images: [B, H, W, C] float32, normalised; H and W multiples of the patch.
          train: whether examples may skip blocks.
          key: a scalar key of the examples that do; None: none does.

        Raises:
          ConfigError: patches do not divide the images.
        """
        x = self.embed(images)  # [B, T, width]
        drops = drops_of(self.config.depth, self.config.depth_rate, key if train else None)
        x = repeat(list(self.blocks), x, drops, self.model, lambda block, x, drop: block(x, drop))
        x = self.pool(self.norm(x))  # [B, width]
        if self.config.representation:
            x = jnp.tanh(self.representation(x))
        return self.head(x.astype(jnp.float32))

    def embed(self, images: jax.Array) -> jax.Array:
        """Return the tokens of the images with their positions: [B, T, width] in the compute dtype.

        Positions that were learned on another grid are resampled (arXiv:2010.11929, section 3.2).
        """
        batch, height, width, _ = images.shape
        if height % self.config.patch or width % self.config.patch:
            raise ConfigError(
                f"model.arch: images must be multiples of the {self.config.patch} pixels of a patch, got "
                f"{height}x{width}"
            )
        x = self.patches(images)  # [B, rows, columns, width]
        rows, columns, features = x.shape[1:]
        sight.patches(rows, columns, first=self.has_token)
        x = x.reshape(batch, rows * columns, features)
        if self.config.positions == "sincos2d":
            x = x + jnp.asarray(sincos2d(rows, columns, features)).astype(x.dtype)
            return self._with_token(x, None)
        first, grid = split_positions(self.positions[...], self.grid)  # [0 or 1, width], [grid * grid, width]
        x = x + resampled(grid, self.grid, (rows, columns)).astype(x.dtype)
        return self._with_token(x, first)

    def _with_token(self, x: jax.Array, position: jax.Array | None) -> jax.Array:
        if not self.has_token:
            return x
        token = self.token[...]
        if position is not None and len(position):
            token = token + position[0]
        token = jnp.broadcast_to(token.astype(x.dtype), (len(x), 1, x.shape[-1]))
        return jnp.concatenate([token, x], axis=1)  # [B, 1 + rows * columns, width]

    def pool(self, x: jax.Array) -> jax.Array:
        """Return one vector for each image: [B, width]. x: [B, T, width], normalised; dtypes are the same."""
        if self.config.pool == "token":
            return x[:, 0]
        if self.config.pool == "map":
            return self.pooling(x)
        return jnp.mean(x.astype(jnp.float32), axis=1).astype(x.dtype)


def sincos2d(rows: int, columns: int, width: int) -> np.ndarray:
    """Return fixed positions, [rows * columns, width] float32: sin x, cos x, sin y, cos y (arXiv:2205.01580).

    The frequencies fall geometrically from 1 to 1 / 10,000. ``width`` is a multiple of 4.
    """
    y, x = np.mgrid[:rows, :columns]
    frequencies = 1.0 / SINCOS_BASE ** (np.arange(width // 4) / (width // 4 - 1))
    x, y = (axis.reshape(-1, 1) * frequencies for axis in (x, y))  # [rows * columns, width / 4]
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)


def split_positions(positions: jax.Array, grid: int) -> tuple[jax.Array, jax.Array]:
    """Return the class token's position, [0 or 1, width], and those of the patches, [grid * grid, width]."""
    extra = len(positions) - grid**2
    return positions[:extra], positions[extra:]


def resampled(positions: jax.Array, grid: int, target: tuple[int, int]) -> jax.Array:
    """Return the positions of a square grid on another one, by bicubic interpolation with antialiasing.

    Args:
      positions: [grid * grid, width] float32.
      grid: patches of a side that they were learned with.
      target: rows and columns; the result is [rows * columns, width] float32.
    """
    if target == (grid, grid):
        return positions
    width = positions.shape[-1]
    square = positions.reshape(grid, grid, width)
    return jax.image.resize(square, (*target, width), "cubic", antialias=True).reshape(-1, width)


def fit(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return positions of another grid for that of a network, as timm resamples them; the rest as it is.

    Args:
      name: our name of the array.
      array: positions, [class token and rows x rows, width] float32, of a square grid.
      shape: their shape in the network, with a class token or without as there.
    """
    if name != "positions" or array.ndim != 2 or array.shape[1:] != shape[1:]:
        return array
    rows = math.isqrt(shape[0])
    first = shape[0] - rows**2  # 0 or 1: a square and one more is no square
    before = math.isqrt(max(len(array) - first, 0))
    if before**2 != len(array) - first or not before:
        return array
    grid = resampled(jnp.asarray(array[first:], jnp.float32), before, (rows, rows))
    return np.concatenate([array[:first], np.asarray(grid)])


SETTINGS = frozenset({"dtype", "pool", "positions", "representation", "stochastic_depth", "repeat", "remat"})


def architecture(**sizes: Any) -> Architecture:
    """Return a network of the family; ``sizes`` are fields of ``ViTConfig``."""

    def make(inputs: Inputs, rngs: nnx.Rngs) -> ViT:
        config = ViTConfig.resolve(inputs.model, sizes)
        if inputs.image_size % config.patch:
            raise ConfigError(
                f"model.arch: images must be a multiple of the {config.patch} pixels of a patch of "
                f"{inputs.model.arch}, got {inputs.image_size}",
                "--set data.image_size=224 decodes them so",
            )
        return ViT(config, inputs, rngs=rngs)

    return Architecture(
        make=make,
        settings=SETTINGS,
        draws=lambda model: model.stochastic_depth > 0,
        fit=fit,
        # torchvision's ViT has no gains at the end of its branches.
        foreign={"timm": deit3_names}
        if "layer_scale" in sizes
        else {"timm": timm_names, "torchvision": torchvision_names},
        division=Division(
            counts={"heads": sizes["heads"], "hidden units": sizes["hidden"]}, axis=divided_axis
        ),
        by_slice=True,
    )


# Layer -> which axis of its kernel mesh.model divides. Queries, keys and values are divided by rows
# (trainer.models.attention.split_heads), what follows them and the second matrix of an MLP too.
KERNEL_AXES = {"qkv": 0, "query": 0, "kv": 0, "out": 0, "hidden": 1}


def divided_axis(name: str) -> int | None:
    """Return which axis of an array ``mesh.model`` divides; None: each device has all of it."""
    *_, layer, leaf = ["", *name.split(".")]
    if leaf == "bias":
        return 0 if layer == "hidden" else None
    return KERNEL_AXES.get(layer) if leaf == "kernel" else None


# our part of a name -> theirs
TIMM = {
    "patches": "patch_embed.proj",
    "attention.qkv": "attn.qkv",
    "attention.out": "attn.proj",
    "mlp.hidden": "mlp.fc1",
    "mlp.out": "mlp.fc2",
    "norm1": "norm1",
    "norm2": "norm2",
    "norm": "norm",
    "head": "head",
    "pooling.query": "attn_pool.q",
    "pooling.kv": "attn_pool.kv",
    "pooling.out": "attn_pool.proj",
    "pooling.norm": "attn_pool.norm",
    "pooling.mlp.hidden": "attn_pool.mlp.fc1",
    "pooling.mlp.out": "attn_pool.mlp.fc2",
}
# arrays that lead no layer, [1, tokens, width] there
ALONE = {"token": "cls_token", "positions": "pos_embed", "pooling.probe": "attn_pool.latent"}
TORCHVISION = {
    "patches": "conv_proj",
    "attention.qkv": "self_attention.in_proj",
    "attention.out": "self_attention.out_proj",
    "mlp.hidden": "mlp.0",
    "mlp.out": "mlp.3",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "norm": "encoder.ln",
    "representation": "heads.pre_logits",
    "head": "heads.head",
}
OWN_NAMES = "--to safetensors writes our own names"
LEAVES = {"kernel": "weight", "bias": "bias", "scale": "weight"}


def timm_names(model: ModelConfig) -> Foreign:
    """Return timm's names and layouts; its weights of ViT expect images of -1 to 1.

    Raises:
      ConfigError: the network has a layer that timm's has not.
    """
    if model.representation:
        raise ConfigError(
            "timm: must have every layer of the network, got model.representation=true, which it lacks",
            OWN_NAMES,
        )

    def name(ours: str) -> str:
        if ours in ALONE:
            return ALONE[ours]
        prefix, path, leaf = _parts(ours)
        if leaf in ("gain1", "gain2"):
            return f"{prefix}ls{leaf[-1]}.gamma"
        return f"{prefix}{TIMM[path]}.{LEAVES[leaf]}"

    return Foreign(
        name=name, anchor="blocks.0.attn.qkv.weight", read=_read, write=_write, mean=HALF, std=HALF
    )


def deit3_names(model: ModelConfig) -> Foreign:
    """Return timm's names and layouts; its weights of DeiT III expect ImageNet's mean and deviation."""
    return dataclasses.replace(timm_names(model), mean=IMAGENET_MEAN, std=IMAGENET_STD)


def torchvision_names(model: ModelConfig) -> Foreign:
    """Return torchvision's names and layouts.

    Raises:
      ConfigError: the network has a layer that torchvision's has not.
    """
    if model.pool == "map":
        raise ConfigError(
            "torchvision: must have every layer of the network, got model.pool=map, which it lacks", OWN_NAMES
        )

    def name(ours: str) -> str:
        if ours in ("token", "positions"):
            return {"token": "class_token", "positions": "encoder.pos_embedding"}[ours]
        prefix, path, leaf = _parts(ours)
        prefix = prefix.replace("blocks.", "encoder.layers.encoder_layer_")
        joint = "_" if path == "attention.qkv" else "."
        return f"{prefix}{TORCHVISION[path]}{joint}{LEAVES[leaf]}"

    return Foreign(
        name=name,
        anchor="encoder.layers.encoder_layer_0.self_attention.in_proj_weight",
        head="heads.head.weight",
        head_bias="heads.head.bias",
        read=_read,
        write=_write,
    )


def _parts(ours: str) -> tuple[str, str, str]:
    """Return ("blocks.3." or "", path, leaf) of our name of an array."""
    match = re.fullmatch(r"(blocks\.\d+\.)?(?:(.*)\.)?(\w+)", ours)
    assert match
    return match[1] or "", match[2] or "", match[3]


def _read(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if name in ALONE:
        return array.reshape(array.shape[-2:] if name == "positions" else array.shape[-1:])
    return from_oihw(name, array, shape)


def _write(name: str, array: np.ndarray) -> np.ndarray:
    if name in ALONE:
        return array.reshape(1, -1, array.shape[-1])
    return to_oihw(name, array)
