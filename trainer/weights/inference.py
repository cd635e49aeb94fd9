"""Evaluation and predictions of a trained network, loaded from a run directory or a weights file."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from trainer.config import DataConfig, TrainConfig
from trainer.data import datasets, pipeline
from trainer.data.encoded import BadImage
from trainer.data.images import crop, decode
from trainer.data.source import Source
from trainer.devices import mesh
from trainer.errors import ConfigError, DataError
from trainer.learning import step
from trainer.models import network
from trainer.program import make_program
from trainer.registry import DATASETS
from trainer.rundir import directory
from trainer.rundir.checkpoints import Checkpoints
from trainer.state import Arrays
from trainer.weights.file import Weights, load

BATCH = 256
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma of red, green and blue (ITU-R BT.601)


def load_weights(path: str) -> Weights:
    """Load the best checkpoint of a run directory, or a weights file.

    Args:
      path: run directory, a path or gs://…, or a file that ends with .safetensors.

    Raises:
      ConfigError: the path is neither, or the run has no checkpoint yet.
    """
    if path.endswith(".safetensors"):
        return load(path)
    return load_best(directory.read(epath.Path(path)))


def load_best(config: TrainConfig) -> Weights:
    """Load the best checkpoint of a run, with the averaged weights where it has them.

    Raises:
      ConfigError: the run has no checkpoint yet.
      DataError: the dataset of the run is missing or damaged.
    """
    train, test = datasets.load_both(config.data)
    program = make_program(config, train, test, jax.devices()[0].platform)
    checkpoints = Checkpoints(f"{config.run_dir}/checkpoints", config.checkpoint)
    try:
        best = checkpoints.best()
        if best is None:
            raise ConfigError(f"{config.run_dir}: must hold a checkpoint, got none yet")
        sharding = mesh.replicated(mesh.make_mesh(1, jax.devices()[:1]))
        checkpoint = checkpoints.restore(program.shapes, sharding, best)
    finally:
        checkpoints.close()
    params, stats = step.evaluated(checkpoint.state, config.optim)[""]
    height = train.image_shape[0]
    return Weights(
        model=dataclasses.replace(config.model, stem=network.stem(config.model, height)),
        class_names=list(train.class_names),
        image_size=height,
        mean=tuple(train.mean),
        std=tuple(train.std),
        crop=1.0 if config.data.name in DATASETS else config.data.eval_crop,
        arrays={name: np.asarray(a) for name, a in (params | stats).items()},
    )


def evaluate(weights: Weights, data: DataConfig) -> dict[str, Any]:
    """Measure a network on the test split of a dataset.

    Returns:
      data: name of the dataset; accuracy: top-1, 0 to 1; loss: mean cross-entropy; examples: their number.

    Raises:
      ConfigError: the images have another number of channels than the network's, or more classes.
      DataError: the dataset is missing or damaged.
    """
    test, data = open_test(weights, data)
    net, params, stats = build_network(weights)
    eval_step = jax.jit(step.make_eval_step(net, test))
    rows = np.arange(BATCH)
    sums = [eval_step(params, stats, batch) for batch in pipeline.eval_batches(test, BATCH, rows, data)]
    totals = {name: sum(np.asarray(s[name]).item() for s in sums) for name in sums[0]}
    examples = totals["examples"]
    return {
        "data": data.name,
        "accuracy": totals["correct"] / examples,
        "loss": totals["loss"] / examples,
        "examples": examples,
    }


def open_test(weights: Weights, data: DataConfig) -> tuple[Source, DataConfig]:
    """Open the test split of a dataset, with the image size and normalisation of a network.

    Raises:
      ConfigError: the images have another number of channels than the network's, or more classes.
      DataError: the dataset is missing or damaged.
    """
    data = dataclasses.replace(data, image_size=weights.image_size)
    test = datasets.load(data, "test")
    if test.image_shape[2] != len(weights.mean) or test.num_classes > len(weights.class_names):
        channels = "1 channel" if len(weights.mean) == 1 else f"{len(weights.mean)} channels"
        raise ConfigError(
            f"data: must have {channels} and at most {len(weights.class_names)} classes, "
            f"got {test.image_shape[2]} and {test.num_classes}"
        )
    return dataclasses.replace(test, mean=weights.mean, std=weights.std), data


def predict(weights: Weights, paths: Sequence[str], top: int, max_pixels: int) -> Iterator[dict[str, Any]]:
    """Yield {image, top: [{class, probability}]} for each image file, the most probable class first.

    Args:
      weights: network to use.
      paths: JPEG or PNG files.
      top: number of classes per image.
      max_pixels: height times width above which an image is refused.

    Raises:
      DataError: a file is missing or not an image; the message names it.
    """
    net, params, stats = build_network(weights)
    mean, std = (np.array(a, np.float32) for a in (weights.mean, weights.std))

    @jax.jit
    def probabilities(image: jax.Array) -> jax.Array:
        images = (image[None].astype(jnp.float32) / 255.0 - mean) / std
        return jax.nn.softmax(net.apply(params, stats, images, train=False)[0][0])

    for path in paths:
        values = np.asarray(probabilities(read_image(path, weights, max_pixels)))
        best = np.argsort(-values, kind="stable")[:top]
        rows = [{"class": weights.class_names[i], "probability": round(float(values[i]), 6)} for i in best]
        yield {"image": path, "top": rows}


def read_image(path: str, weights: Weights, max_pixels: int) -> np.ndarray:
    """Return an image file as evaluation crops it: [image_size, image_size, channels] uint8, 0..255.

    Raises:
      DataError: the file is missing, not an image, or has more than ``max_pixels``.
    """

    def choose(height: int, width: int) -> crop.Box:
        return crop.centre_box(height, width, weights.crop)

    out = np.empty((weights.image_size, weights.image_size, 3), np.uint8)
    try:
        decode.crop_into(Path(path).read_bytes(), choose, out, max_pixels)
    except (OSError, BadImage) as error:
        raise DataError(f"{path}: must be an image, got {error}") from None
    return out if len(weights.mean) == 3 else np.round(out @ GREY)[..., None].astype(np.uint8)


def build_network(weights: Weights) -> tuple[network.Network, Arrays, Arrays]:
    """Return the network, its parameters and its running statistics, both by name."""
    net, _ = weights.network(jax.devices()[0].platform)
    arrays = {name: jnp.asarray(a) for name, a in weights.arrays.items()}
    stats = {name: a for name, a in arrays.items() if name.endswith((".mean", ".var"))}
    return net, {name: a for name, a in arrays.items() if name not in stats}, stats
