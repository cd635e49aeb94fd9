"""The image as a grid of vectors."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

LECUN = nnx.initializers.lecun_normal()


class Patches(nnx.Module):
    """The image cut into squares, and each made a vector: a convolution whose stride is its size.

    Pixels beyond the last whole square are left out, as a convolution without padding leaves them out.

    Args:
      size: pixels of a side of a square.
      channels, width: channels of the image, length of a token.
      dtype: dtype to compute in.
      init: initialiser of [size * size * channels, width].
    """

    def __init__(
        self,
        size: int,
        channels: int,
        width: int,
        dtype: DTypeLike,
        *,
        rngs: nnx.Rngs,
        init: nnx.Initializer = LECUN,
    ):
        self.size, self.dtype = size, dtype
        matrix = init(rngs.params(), (size * size * channels, width), jnp.float32)
        self.kernel = nnx.Param(matrix.reshape(size, size, channels, width))
        self.bias = nnx.Param(jnp.zeros(width, jnp.float32))

    def __call__(self, images: jax.Array) -> jax.Array:
        """Return [B, H / size, W / size, width] in ``dtype``. images: [B, H, W, C] of any float dtype."""
        batch, height, width, channels = images.shape
        rows, columns = height // self.size, width // self.size
        images = images[:, : rows * self.size, : columns * self.size]
        parts = images.astype(self.dtype).reshape(batch, rows, self.size, columns, self.size, channels)
        flat = parts.swapaxes(2, 3).reshape(batch, rows, columns, -1)  # [B, rows, columns, size * size * C]
        kernel = self.kernel[...].astype(self.dtype).reshape(flat.shape[-1], -1)
        return flat @ kernel + self.bias[...].astype(self.dtype)
