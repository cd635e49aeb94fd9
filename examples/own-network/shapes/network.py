"""A small convolutional network with dropout, as a module of Flax NNX."""

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.models.architecture import Inputs, architecture


class ConvNet(nnx.Module):
    """Two convolutions, the mean over all pixels, and a head."""

    def __init__(self, inputs: Inputs, rngs: nnx.Rngs):
        width = inputs.model.width
        options = {"strides": 2, "dtype": inputs.dtype, "rngs": rngs}
        self.first = nnx.Conv(inputs.channels, width, (3, 3), **options)
        self.second = nnx.Conv(width, 2 * width, (3, 3), **options)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.head = nnx.Linear(2 * width, inputs.classes, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """Return logits, [B, classes]. images: [B, H, W, C] float32, normalised."""
        x = nnx.relu(self.first(images))
        x = nnx.relu(self.second(x))
        x = jnp.mean(x, axis=(1, 2))
        return self.head(self.dropout(x, deterministic=not train))


@architecture(settings=["width", "dtype"])
def convnet(inputs: Inputs, rngs: nnx.Rngs) -> nnx.Module:
    """Return the network. It honours model.width and model.dtype; other settings of the model are refused."""
    return ConvNet(inputs, rngs)
