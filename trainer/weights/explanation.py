"""Where a trained network looks in an image, by what its family names: attention or a map of the image."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from trainer.errors import ConfigError
from trainer.models import sight
from trainer.models.sight import Recording
from trainer.weights import inference
from trainer.weights.file import Weights

ROLLOUT, GRAD_CAM = "attention rollout", "Grad-CAM"
HINT = "sight.spatial or sight.patches of trainer.models names it: docs/guides/own-network.md"
# What is inside a scan or a rematerialised block cannot be read from outside.
UNROLLED = {"repeat": "loop", "remat": "none"}


class Explainer:
    """Maps of where one network looks.

    Attributes:
      method: "attention rollout" or "Grad-CAM"; only the second depends on a class.

    Args:
      weights: a trained network.

    Raises:
      ConfigError: the network names neither attention with its grid nor a map of the image.
    """

    def __init__(self, weights: Weights):
        self._arch, self._weights = weights.model.arch, weights
        model = dataclasses.replace(weights.model, **UNROLLED)
        self._net, self._params, self._stats = inference.build_network(
            dataclasses.replace(weights, model=model)
        )
        image = jax.ShapeDtypeStruct((weights.image_size, weights.image_size, len(weights.mean)), jnp.uint8)
        shown = Recording()
        maps, attention = jax.eval_shape(lambda image: self._shown_in(image, shown), image)
        wide = [i for i, x in enumerate(maps) if x.ndim == 4 and min(x.shape[1:3]) > 1]
        if shown.hidden and (shown.grid or not wide):
            raise self._refusal("what is inside a scan or a compiled part of it")
        if shown.grid and attention:
            self.method, compute = ROLLOUT, self._rollout
        elif wide:
            self.method, compute = GRAD_CAM, self._grad_cam
            self._number, self._shape = wide[-1], maps[wide[-1]].shape
        else:
            raise self._refusal("neither")
        jax.eval_shape(compute, image, jax.ShapeDtypeStruct((), jnp.int32))
        self._compute = jax.jit(compute)

    def __call__(self, image: np.ndarray, label: int) -> np.ndarray:
        """Return how much each part of an image counts: [rows, columns] float32, 0 to 1.

        A rollout is scaled so that its least is 0 and its most 1. Grad-CAM is divided by its most; where
        nothing speaks for the class all is 0.

        Args:
          image: [image_size, image_size, C] uint8.
          label: number of the class that Grad-CAM looks for.
        """
        values = np.asarray(self._compute(image, np.int32(label)))
        least = values.min() if self.method == ROLLOUT else np.float32(0)
        most = values.max()
        return (values - least) / (most - least) if most > least else np.zeros_like(values)

    def _logits(self, image: jax.Array, recording: Recording) -> jax.Array:
        """Return the logits of an image, [classes], and fill the recording."""
        images = inference.normalised(image[None], self._weights)
        with sight.recorded(recording):
            return self._net.apply(self._params, self._stats, images, train=False)[0][0]

    def _shown_in(self, image: jax.Array, recording: Recording) -> tuple[list[jax.Array], list[jax.Array]]:
        self._logits(image, recording)
        return recording.maps, recording.weights

    def _rollout(self, image: jax.Array, label: jax.Array) -> jax.Array:
        recording = Recording()
        self._logits(image, recording)
        try:
            return sight.rollout(recording)
        except ValueError as error:
            raise self._refusal(str(error)) from None

    def _grad_cam(self, image: jax.Array, label: jax.Array) -> jax.Array:
        def logit(shift: jax.Array) -> tuple[jax.Array, jax.Array]:
            recording = Recording(shift=shift, shifted=self._number)
            return self._logits(image, recording)[label], recording.maps[self._number]

        gradient, values = jax.grad(logit, has_aux=True)(jnp.zeros(self._shape))
        return sight.grad_cam(values[0], gradient[0])

    def _refusal(self, got: str) -> ConfigError:
        must = f"--explain: {self._arch} must name a map of the image, or attention with its grid of patches"
        return ConfigError(f"{must}, got {got}", HINT)
