"""Evaluation and predictions of a trained network, loaded from a run directory or a weights file."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from trainer import imports
from trainer.config import DataConfig, TrainConfig
from trainer.data import datasets, pipeline
from trainer.data.classes import match, relabelled
from trainer.data.encoded import BadImage
from trainer.data.images import crop, decode
from trainer.data.images.kinds import image_kind, refusal
from trainer.data.source import Source
from trainer.devices import cpu_barrier, mesh
from trainer.errors import ConfigError, DataError
from trainer.learning import step
from trainer.models import network
from trainer.program import state_shapes
from trainer.rundir import directory
from trainer.rundir.checkpoints import Checkpoints
from trainer.rundir.dataset import DatasetRecord, listed
from trainer.rundir.dataset import read as read_record
from trainer.runtime.agreement import from_first_host
from trainer.runtime.counter import counted
from trainer.runtime.messages import note, warn
from trainer.state import Arrays
from trainer.weights.file import Weights, load
from trainer.weights.pictures import Picture
from trainer.weights.torch_names import as_float32

BATCH = 256
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma of red, green and blue (ITU-R BT.601)


def load_weights(path: str, head: bool = True) -> Weights:
    """Load the best checkpoint of a run directory, or a weights file.

    Args:
      path: run directory, a path or gs://…, or a file. In a job of several hosts, all call this alike.
      head: whether the network must have its head; without one it can only be trained further.

    Raises:
      ConfigError: the path is neither, or the run has no checkpoint yet.
    """
    root = epath.Path(path)
    if path.endswith(".safetensors") or (not path.startswith("gs://") and root.is_file()):
        weights = load(path, head)
        _announce(weights.model.arch, path)
        return weights
    config = directory.read(root)
    _announce(config.model.arch, path)
    return load_best(config)


def _announce(arch: str, path: str) -> None:
    """Say that code is imported which a file or a run directory names, perhaps written by somebody else."""
    if imports.is_object(arch) and jax.process_index() == 0:
        note(f"{path} names the network {arch}, whose module is imported from this installation")


def load_best(config: TrainConfig) -> Weights:
    """Load the best checkpoint of a run, with the averaged weights where it has them.

    Raises:
      ConfigError: the run has no checkpoint yet.
      DataError: the run is of a version that kept no class names, and its dataset is missing or damaged.
    """
    dataset = _dataset(config)
    checkpoints = Checkpoints(f"{config.run_dir}/checkpoints", config.checkpoint, writing=False)
    try:
        best = json.loads(from_first_host(json.dumps(checkpoints.best() if jax.process_index() == 0 else 0)))
        if best is None:
            raise ConfigError(f"{config.run_dir}: must hold a checkpoint, got none yet")
        sharding = mesh.replicated(mesh.make_mesh(1, jax.local_devices()[:1]))
        checkpoint = checkpoints.restore(state_shapes(config, dataset), sharding, best)
    finally:
        checkpoints.close()
    params, stats = step.evaluated(checkpoint.state, config.optim)[""]
    return Weights(
        model=network.with_stem(config.model, dataset.image_size),
        class_names=list(dataset.class_names),
        image_size=dataset.image_size,
        mean=dataset.mean,
        std=dataset.std,
        crop=dataset.crop,
        arrays={n: as_float32(np.asarray(a), f"{config.run_dir}: {n}") for n, a in (params | stats).items()},
    )


def _dataset(config: TrainConfig) -> DatasetRecord:
    """Return the record of a run's dataset; that of the dataset itself for runs of older versions."""
    if record := read_record(epath.Path(config.run_dir)):
        return record
    record = datasets.load(directory.data_at_hand(config), "train").record()
    warn(
        f"{config.run_dir} was written by a version that kept no class names; those of its dataset now are "
        f"assumed: {listed(record.class_names)}"
    )
    return record


def evaluate(weights: Weights, data: DataConfig) -> dict[str, Any]:
    """Measure a network on the test split of a dataset.

    Returns:
      data: name of the dataset; accuracy: top-1, 0 to 1; loss: mean cross-entropy; examples: their number;
      classes: how many of the network's classes the dataset has; damaged: images that were left out.

    Raises:
      ConfigError: the images have another number of channels than the network's, or more classes.
      DataError: the dataset is missing or damaged.
    """
    test, data, classes = open_test(weights, data)
    net, params, stats = build_network(weights)
    eval_step = jax.jit(step.make_eval_step(net, test), compiler_options=cpu_barrier.options())
    rows = np.arange(BATCH)
    totals = {"loss": 0.0, "correct": 0, "examples": 0}
    batches = pipeline.eval_batches(test, BATCH, rows, data)
    for batch in counted("evaluating", batches, test.size, BATCH):
        sums = eval_step(params, stats, batch)
        totals = {name: total + np.asarray(sums[name]).item() for name, total in totals.items()}
    examples = totals["examples"]
    if not examples:
        raise DataError(f"data: none of the {test.size:,} test images of '{test.name}' can be read")
    return {
        "data": data.name,
        "accuracy": totals["correct"] / examples,
        "loss": totals["loss"] / examples,
        "examples": examples,
        "classes": classes,
        "damaged": test.size - examples,
    }


def open_test(weights: Weights, data: DataConfig) -> tuple[Source, DataConfig, int]:
    """Open the test split of a dataset with the classes, image size, crop and normalisation of a network.

    The labels become those of the network, by the names of the classes. A warning names what had to be
    assumed, and the classes of the network that the dataset lacks.

    Returns:
      The source, the settings that it was opened with, and the number of classes that the dataset has.

    Raises:
      ConfigError: the images have another number of channels or pixels than the network's, or a class that
        it does not know.
      DataError: the dataset is missing or damaged.
    """
    data = dataclasses.replace(data, image_size=weights.image_size, eval_crop=weights.crop)
    test = datasets.load(data, "test")
    expected = (weights.image_size, weights.image_size, len(weights.mean))
    if test.image_shape != expected:
        raise ConfigError(f"data: images must be {_shape(expected)}, got {_shape(test.image_shape)}")
    matched = match(weights.class_names, test.class_names)
    if matched.warning:
        warn(matched.warning)
    test = relabelled(test, weights.class_names, matched.positions)
    return dataclasses.replace(test, mean=weights.mean, std=weights.std), data, len(matched.positions)


def _shape(shape: tuple[int, int, int]) -> str:
    height, width, channels = shape
    return f"{height}x{width} pixels with {channels} channel{'' if channels == 1 else 's'}"


def predict(
    weights: Weights,
    pictures: Iterable[Picture | DataError],
    top: int,
    max_pixels: int,
    watch: Callable[[np.ndarray, int, dict[str, Any]], None] | None = None,
) -> Iterator[dict[str, Any] | DataError]:
    """Yield {image, top: [{class, probability}]} for each picture, the most probable class first.

    Args:
      weights: network to use.
      pictures: pictures by name, and errors, which are yielded as they are.
      top: number of classes per image.
      max_pixels: height times width above which an image is refused.
      watch: called with the image, as ``read_image`` returns it, the number of its most probable class, and
        what is yielded for it.

    Yields:
      A DataError in the place of a picture that is missing or cannot be decoded; the message names it.
    """
    net, params, stats = build_network(weights)

    @functools.partial(jax.jit, compiler_options=cpu_barrier.options())
    def probabilities(image: jax.Array) -> jax.Array:
        images = normalised(image[None], weights)
        return jax.nn.softmax(net.apply(params, stats, images, train=False)[0][0])

    for picture in pictures:
        try:
            if isinstance(picture, DataError):
                raise picture
            image = read_image(picture, weights, max_pixels)
        except DataError as error:
            yield error
            continue
        values = np.asarray(probabilities(image))
        best = np.argsort(-values, kind="stable")[:top]
        rows = [{"class": weights.class_names[i], "probability": round(float(values[i]), 6)} for i in best]
        row = {"image": picture.name, "top": rows}
        if watch:
            watch(image, int(best[0]), row)
        yield row


def normalised(images: jax.Array, weights: Weights) -> jax.Array:
    """Return images as a network expects them: [B, H, W, C] float32, from 0..255 of any dtype."""
    mean, std = (np.array(a, np.float32) for a in (weights.mean, weights.std))
    return (images.astype(jnp.float32) / 255.0 - mean) / std


def read_image(picture: Picture, weights: Weights, max_pixels: int) -> np.ndarray:
    """Return a picture as evaluation crops it: [image_size, image_size, channels] uint8, 0..255.

    Raises:
      DataError: the file is missing, no image, of a kind that is not read, or has more than ``max_pixels``.
    """
    data = picture.read()
    kind = image_kind(data)
    if kind is None or not kind.read:
        raise DataError(f"{picture.name}: {refusal(data)}")

    def choose(height: int, width: int) -> crop.Box:
        return crop.centre_box(height, width, weights.crop)

    out = np.empty((weights.image_size, weights.image_size, 3), np.uint8)
    try:
        decode.crop_into(data, choose, out, max_pixels)
    except BadImage as error:
        raise DataError(f"{picture.name}: must be an image, got {error}") from None
    return out if len(weights.mean) == 3 else np.round(out @ GREY)[..., None].astype(np.uint8)


def build_network(weights: Weights) -> tuple[network.Network, Arrays, Arrays]:
    """Return the network, its parameters and its running statistics, both by name."""
    net, _ = weights.network(jax.devices()[0].platform)
    arrays = {name: jnp.asarray(a) for name, a in weights.arrays.items()}
    stats = {name: a for name, a in arrays.items() if name in net.statistics}
    return net, {name: a for name, a in arrays.items() if name not in stats}, stats
