"""What a trained network says: of a run or a file of weights, on a dataset or on pictures."""

import dataclasses
from collections.abc import Sequence
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
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601


def find(place: str) -> Weights:
    """The network of a run's directory (its best checkpoint) or of a file of weights.

    Raises:
      ConfigError: it is neither, or the run has no checkpoint yet.
    """
    if place.endswith(".safetensors"):
        return load(place)
    return of_run(directory.read(epath.Path(place)))


def of_run(config: TrainConfig) -> Weights:
    """The best checkpoint of a run, with the averaged weights where it has them."""
    train, test = datasets.load_both(config.data)
    program = make_program(config, train, test, jax.devices()[0].platform)
    checkpoints = Checkpoints(f"{config.run_dir}/checkpoints", config.checkpoint)
    try:
        best = checkpoints.best()
        if best is None:
            raise ConfigError(f"{config.run_dir}: must hold a checkpoint, got none yet")
        one = mesh.replicated(mesh.make_mesh(1, jax.devices()[:1]))
        found = checkpoints.restore(program.shapes, one, best)
    finally:
        checkpoints.close()
    params, stats = step.evaluated(found.state, config.optim)[""]
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


def evaluate(found: Weights, data: DataConfig) -> dict[str, Any]:
    """Accuracy, mean loss and number of examples on the test split of a dataset.

    Raises:
      ConfigError: its images have other channels or more classes than the network.
    """
    test, data = open_test(found, data)
    net, params, stats = taken_apart(found)
    run = jax.jit(step.make_eval_step(net, test))
    rows = np.arange(BATCH)
    sums = [run(params, stats, batch) for batch in pipeline.eval_batches(test, BATCH, rows, data)]
    totals = {name: sum(np.asarray(s[name]).item() for s in sums) for name in sums[0]}
    examples = totals["examples"]
    return {
        "data": data.name,
        "accuracy": totals["correct"] / examples,
        "loss": totals["loss"] / examples,
        "examples": examples,
    }


def open_test(found: Weights, data: DataConfig) -> tuple[Source, DataConfig]:
    """The test split of a dataset as a network must see it.

    Raises:
      ConfigError: its images have other channels or more classes than the network.
    """
    data = dataclasses.replace(data, image_size=found.image_size)
    test = datasets.load(data, "test")
    if test.image_shape[2] != len(found.mean) or test.num_classes > len(found.class_names):
        raise ConfigError(
            f"data: must have {len(found.mean)} channels and at most {len(found.class_names)} classes, "
            f"got {test.image_shape[2]} and {test.num_classes}"
        )
    return dataclasses.replace(test, mean=found.mean, std=found.std), data


def predict(found: Weights, paths: Sequence[str], top: int, max_pixels: int):
    """Yields for each picture {image, top: [{class, probability}]}, the most probable first.

    Raises:
      DataError: a file is not there or not an image; it is named.
    """
    net, params, stats = taken_apart(found)
    mean, std = (np.array(a, np.float32) for a in (found.mean, found.std))

    @jax.jit
    def probabilities(image: jax.Array) -> jax.Array:
        images = (image[None].astype(jnp.float32) / 255.0 - mean) / std
        return jax.nn.softmax(net.apply(params, stats, images, train=False)[0][0])

    for path in paths:
        chances = np.asarray(probabilities(read(path, found, max_pixels)))
        best = np.argsort(-chances, kind="stable")[:top]
        rows = [{"class": found.class_names[i], "probability": round(float(chances[i]), 6)} for i in best]
        yield {"image": path, "top": rows}


def read(path: str, found: Weights, max_pixels: int) -> np.ndarray:
    """A picture as the network sees it in evaluation: [image_size, image_size, channels] uint8."""

    def choose(height: int, width: int) -> crop.Box:
        return crop.centre_box(height, width, found.crop)

    out = np.empty((found.image_size, found.image_size, 3), np.uint8)
    try:
        decode.crop_into(Path(path).read_bytes(), choose, out, max_pixels)
    except (OSError, BadImage) as error:
        raise DataError(f"{path}: must be an image, got {error}") from None
    return out if len(found.mean) == 3 else np.round(out @ GREY)[..., None].astype(np.uint8)


def taken_apart(found: Weights) -> tuple[network.Network, Arrays, Arrays]:
    """The network, its parameters and its running statistics."""
    net, _ = found.network(jax.devices()[0].platform)
    arrays = {name: jnp.asarray(a) for name, a in found.arrays.items()}
    stats = {name: a for name, a in arrays.items() if name.endswith((".mean", ".var"))}
    return net, {name: a for name, a in arrays.items() if name not in stats}, stats
