"""Error analysis of a network: its confusion matrix, and its most confident mistakes as pictures."""

import functools
import heapq
from collections.abc import Callable

import jax
import numpy as np

from trainer.config import DataConfig
from trainer.data import pipeline
from trainer.data.source import Source
from trainer.devices import cpu_barrier
from trainer.errors import DataError
from trainer.learning.step import normalise
from trainer.report.mistakes import ErrorAnalysis, Mistake
from trainer.runtime.counter import counted
from trainer.weights import drawing, inference
from trainer.weights.explanation import Explainer
from trainer.weights.file import Weights
from trainer.weights.looks import look_at

MISTAKES = 24  # pictures on the page of a run


def analyse_errors(weights: Weights, data: DataConfig, explainer: Explainer | None = None) -> ErrorAnalysis:
    """Evaluate a network on the test split of a dataset and collect its mistakes.

    Args:
      weights: network to evaluate.
      data: dataset.
      explainer: draws where the network looked when it predicted a wrong class; None: nothing does.

    Raises:
      ConfigError: the images have another number of channels than the network's, or more classes.
      DataError: the dataset is missing or damaged.
    """
    test, data, _ = inference.open_test(weights, data)
    net, params, stats = inference.build_network(weights)

    @functools.partial(jax.jit, compiler_options=cpu_barrier.options())
    def class_probabilities(images: jax.Array) -> jax.Array:
        return jax.nn.softmax(net.apply(params, stats, normalise(images, test), train=False)[0])

    count = len(weights.class_names)
    confusion = np.zeros((count, count), np.int64)
    # A heap with the least confident mistake on top: (probability, example, image, truth, predicted).
    mistakes: list[tuple[float, int, np.ndarray, int, int]] = []
    batches = pipeline.eval_batches(test, inference.BATCH, np.arange(inference.BATCH), data)
    for number, batch in enumerate(counted("looking for mistakes", batches, test.size, inference.BATCH)):
        probabilities, labels = np.asarray(class_probabilities(batch["image"])), batch["label"]
        predicted, real = probabilities.argmax(-1), batch["weight"] > 0  # 0: padding and damaged images
        np.add.at(confusion, (labels[real], predicted[real]), 1)
        for row in np.flatnonzero(real & (predicted != labels)):
            probability = float(probabilities[row, predicted[row]])
            example = number * inference.BATCH + int(row)
            if len(mistakes) < MISTAKES or probability > mistakes[0][0]:
                image = batch["image"][row].copy()
                mistake = (probability, example, image, int(labels[row]), int(predicted[row]))
                (heapq.heappush if len(mistakes) < MISTAKES else heapq.heappushpop)(mistakes, mistake)
    if not confusion.any():
        raise DataError(f"data: none of the {test.size:,} test images of '{test.name}' can be read")
    return ErrorAnalysis(
        class_names=list(weights.class_names),
        confusion=confusion,
        damaged=test.size - int(confusion.sum()),
        mistakes=_sorted(mistakes, weights, _names(test, data), explainer),
        method=explainer.method if explainer else "",
    )


def _names(test: Source, data: DataConfig) -> Callable[[int], str]:
    """Return a function from the number of a test example to its file or record, below the dataset's path."""
    example_name = test.example_name or "test example {}".format
    return lambda example: example_name(example).removeprefix(f"{data.name.rstrip('/')}/")


def _sorted(
    mistakes: list[tuple[float, int, np.ndarray, int, int]],
    weights: Weights,
    name: Callable[[int], str],
    explainer: Explainer | None,
) -> list[Mistake]:
    """Return the mistakes with the highest probability first, in the order of the examples among equals."""
    return [
        Mistake(
            image=drawing.png(image),
            truth=weights.class_names[label],
            predicted=weights.class_names[predicted],
            probability=probability,
            name=name(example),
            look=look_at(explainer, image, predicted, drawing.SIDE_PIXELS) if explainer else None,
        )
        for probability, example, image, label, predicted in sorted(mistakes, key=lambda m: (-m[0], m[1]))
    ]
