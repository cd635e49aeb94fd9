"""Networks of this package: some that keep the contract, and some that break a part of it."""

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.config import ModelConfig
from trainer.devices.model_axis import Division
from trainer.models import sight
from trainer.models.architecture import Foreign, Inputs, Outputs, architecture
from trainer.models.attention import Attention as attention_layer
from trainer.models.patches import Patches


class MLP(nnx.Module):
    """Two matrices with BatchNorm, dropout that holds its own random state, and a penalty."""

    def __init__(self, inputs: Inputs, rngs: nnx.Rngs):
        features = inputs.image_size**2 * inputs.channels
        self.hidden = nnx.Linear(features, inputs.model.width, dtype=inputs.dtype, rngs=rngs)
        self.norm = nnx.BatchNorm(inputs.model.width, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.head = nnx.Linear(inputs.model.width, inputs.classes, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool) -> Outputs:
        x = images.reshape(len(images), -1)  # [B, features]
        x = nnx.relu(self.norm(self.hidden(x), use_running_average=not train))  # [B, width]
        penalty = 1e-4 * jnp.sum(jnp.square(self.hidden.kernel[...]))
        return Outputs(self.head(self.dropout(x, deterministic=not train)), {"weights": penalty})


def in_torch(model: ModelConfig) -> Foreign:
    words = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}

    def theirs(name: str) -> str:
        part, _, leaf = name.rpartition(".")
        return f"{part}.{words.get(leaf, leaf)}"

    return Foreign(name=theirs, anchor="hidden.weight", mean=(0.5,), std=(0.25,))


@architecture(settings=["width", "dtype"], foreign={"timm": in_torch})
def mlp(inputs: Inputs, rngs: nnx.Rngs) -> MLP:
    return MLP(inputs, rngs)


def hidden_axis(name: str) -> int | None:
    return {"hidden.kernel": 1, "hidden.bias": 0}.get(name)


@architecture(settings=["width"], division=Division(counts={"hidden units": 16}, axis=hidden_axis))
def divided(inputs: Inputs, rngs: nnx.Rngs) -> MLP:
    return MLP(inputs, rngs)


class Attention(nnx.Module):
    """Patches, one block of attention with a class token, and a key of its own in training."""

    def __init__(self, inputs: Inputs, rngs: nnx.Rngs):
        width = inputs.model.width
        self.patches = nnx.Conv(inputs.channels, width, (4, 4), strides=4, dtype=inputs.dtype, rngs=rngs)
        self.token = nnx.Param(jnp.zeros((1, 1, width)))
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, width, decode=False, dtype=inputs.dtype, rngs=rngs)
        self.head = nnx.Linear(width, inputs.classes, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool, key: jax.Array | None = None) -> jax.Array:
        x = self.patches(images)  # [B, H / 4, W / 4, width]
        x = x.reshape(len(x), -1, x.shape[-1])  # [B, patches, width]
        x = jnp.concatenate([jnp.broadcast_to(self.token[...], (len(x), 1, x.shape[-1])), x], axis=1)
        x = x + nnx.gelu(self.attention(self.norm(x)))
        if key is not None:
            x = x * jax.random.bernoulli(key, 0.9, (len(x), 1, 1)).astype(x.dtype)
        return self.head(x[:, 0])


@architecture(settings=["width", "dtype"])
def attention(inputs: Inputs, rngs: nnx.Rngs) -> Attention:
    return Attention(inputs, rngs)


def undecorated(inputs: Inputs, rngs: nnx.Rngs) -> MLP:
    return MLP(inputs, rngs)


@architecture()
def no_module(inputs: Inputs, rngs: nnx.Rngs) -> None:
    return None


@architecture()
def not_made(inputs: Inputs, rngs: nnx.Rngs) -> MLP:
    raise RuntimeError(f"no {inputs.classes} classes")


class Broken(nnx.Module):
    """Breaks the part of the contract that ``kind`` names."""

    def __init__(self, kind: str, inputs: Inputs, rngs: nnx.Rngs):
        self.kind = kind
        self.head = nnx.Linear(inputs.channels, inputs.classes, rngs=rngs)
        if kind == "cache":
            self.memory = nnx.Cache(jnp.zeros(3))
        if kind == "half":
            self.half = nnx.Param(jnp.zeros(3, jnp.bfloat16))
        if kind == "array":
            self.table = nnx.data(jnp.zeros(3))

    def __call__(self, images: jax.Array, train: bool):
        logits = self.head(images.mean(axis=(1, 2)))
        if self.kind == "shape":
            return logits[:, :-1]
        if self.kind == "dict":
            return {"logits": logits}
        if self.kind == "penalty":
            return Outputs(logits, {"rows": logits[:, 0]})
        if self.kind == "metric":
            return Outputs(logits, metrics={"residual": logits[:, 0]})
        if self.kind == "unknown":
            return Outputs(logits, metrics={"depth": logits[0, 0]})
        if self.kind == "raises":
            return images @ self.head.kernel[...][:0]
        return logits


def _broken(kind: str):
    @architecture()
    def make(inputs: Inputs, rngs: nnx.Rngs) -> Broken:
        return Broken(kind, inputs, rngs)

    return make


cache, half, array = _broken("cache"), _broken("half"), _broken("array")
shape, mapping, penalty, raises = _broken("shape"), _broken("dict"), _broken("penalty"), _broken("raises")
metric, unknown = _broken("metric"), _broken("unknown")


class NoTrain(nnx.Module):
    def __init__(self, inputs: Inputs, rngs: nnx.Rngs):
        self.head = nnx.Linear(inputs.channels, inputs.classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        return self.head(images.mean(axis=(1, 2)))


@architecture()
def no_train(inputs: Inputs, rngs: nnx.Rngs) -> NoTrain:
    return NoTrain(inputs, rngs)


class Colours(nnx.Module):
    """The mean of what is above 0 in each channel, and a matrix."""

    def __init__(self, inputs: Inputs, rngs: nnx.Rngs):
        self.head = nnx.Linear(inputs.channels, inputs.classes, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return self.head(sight.spatial(nnx.relu(images)).mean(axis=(1, 2)))


@architecture()
def colours(inputs: Inputs, rngs: nnx.Rngs) -> Colours:
    return Colours(inputs, rngs)


class Pixel(Colours):
    """A map that is pooled before it is named."""

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return self.head(sight.spatial(images.mean(axis=(1, 2), keepdims=True))[:, 0, 0])


@architecture()
def pixel(inputs: Inputs, rngs: nnx.Rngs) -> Pixel:
    return Pixel(inputs, rngs)


class Tokens(nnx.Module):
    """Attention of the package over 4x4 patches of 4 pixels, in a way that a rollout cannot follow."""

    def __init__(self, inputs: Inputs, rngs: nnx.Rngs, way: str):
        self.patches = Patches(4, inputs.channels, 8, inputs.dtype, rngs=rngs)
        self.attention = attention_layer(8, 2, inputs.dtype, rngs=rngs)
        self.head = nnx.Linear(8, inputs.classes, rngs=rngs)
        self.way = way

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        x = self.patches(images).reshape(len(images), -1, 8)  # [B, 16, 8]
        sight.patches(4, 4, first=False)
        if self.way == "scanned":
            x = x + self.attention(x)  # seen, and no more than a part
            x, _ = jax.lax.scan(lambda x, _: (x + self.attention(x), None), x, length=2)
        elif self.way == "too_few":
            x = self.attention(x[:, :4])
        else:
            x = self.attention(self.attention(x)[:, ::2])
        return self.head(x.mean(axis=1))


@architecture()
def scanned(inputs: Inputs, rngs: nnx.Rngs) -> Tokens:
    return Tokens(inputs, rngs, "scanned")


@architecture()
def too_few(inputs: Inputs, rngs: nnx.Rngs) -> Tokens:
    return Tokens(inputs, rngs, "too_few")


@architecture()
def halved(inputs: Inputs, rngs: nnx.Rngs) -> Tokens:
    return Tokens(inputs, rngs, "halved")
