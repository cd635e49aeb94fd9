"""Looks for the errors of a network: all in a confusion matrix, those it was most certain of as pictures."""

import heapq

import cv2
import jax
import numpy as np

from trainer.config import DataConfig
from trainer.data import pipeline
from trainer.learning.step import normalise
from trainer.report.mistakes import ErrorAnalysis, Mistake
from trainer.weights import inference
from trainer.weights.file import Weights

MISTAKES = 24
SIDE_PIXELS = 96  # larger pictures are made smaller


def look(found: Weights, data: DataConfig) -> ErrorAnalysis:
    """Runs a network over the test split of a dataset.

    Raises:
      ConfigError: its images have other channels or more classes than the network.
      DataError: the data is not here, or damaged.
    """
    test, data = inference.open_test(found, data)
    net, params, stats = inference.taken_apart(found)

    @jax.jit
    def chances(images: jax.Array) -> jax.Array:
        return jax.nn.softmax(net.apply(params, stats, normalise(images, test), train=False)[0])

    count = len(found.class_names)
    confusion = np.zeros((count, count), np.int64)
    certain: list[tuple[float, int, np.ndarray, int, int]] = []  # a heap: the least certain is on top
    for number, batch in enumerate(
        pipeline.eval_batches(test, inference.BATCH, np.arange(inference.BATCH), data)
    ):
        given, truth = np.asarray(chances(batch["image"])), batch["label"]
        named, real = given.argmax(-1), batch["weight"] > 0
        np.add.at(confusion, (truth[real], named[real]), 1)
        for row in np.flatnonzero(real & (named != truth)):
            entry = (float(given[row, named[row]]), number * inference.BATCH + int(row))
            if len(certain) < MISTAKES or entry[0] > certain[0][0]:
                mistake = (*entry, batch["image"][row].copy(), int(truth[row]), int(named[row]))
                (heapq.heappush if len(certain) < MISTAKES else heapq.heappushpop)(certain, mistake)
    names = list(found.class_names)
    mistakes = [
        Mistake(image=_png(image), truth=names[truth], predicted=names[named], probability=chance)
        for chance, _, image, truth, named in sorted(certain, key=lambda m: (-m[0], m[1]))
    ]
    return ErrorAnalysis(class_names=names, confusion=confusion, mistakes=mistakes)


def _png(image: np.ndarray) -> bytes:
    """image: [H, W, C] uint8, C is 1 or 3."""
    if max(image.shape[:2]) > SIDE_PIXELS:
        image = cv2.resize(image, (SIDE_PIXELS, SIDE_PIXELS), interpolation=cv2.INTER_AREA)
    if image.shape[-1] == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", image)[1].tobytes()
