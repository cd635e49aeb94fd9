"""A dataset from a module that a request names: ``--data package.module:name``.

``name`` is a function ``(split, config) -> Source``. ``split`` is "train" or "test", and ``config`` is the
section ``data`` of the settings. ``Source.gather`` reads the examples, in several threads at once and in
an order that follows from the step, so an example must be the same whenever it is read.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer import imports
from trainer.config import DataConfig
from trainer.data.source import DAMAGED, Source
from trainer.errors import DataError

CHANNELS = (1, 3)


def load(split: str, config: DataConfig) -> Source:
    """Return one split of the dataset that ``config.name`` names as ``package.module:name``.

    Raises:
      ConfigError: the module cannot be imported, or its function fails.
      DataError: what it returns is no ``Source``, or contradicts itself; the message names the part.
    """
    name = config.name
    function = imports.load("data.name", name)
    if not callable(function):
        raise DataError(
            f"data.name: {name} must be a function (split, config), got {type(function).__name__}"
        )
    with imports.running("data.name", name, f"{name} cannot open the split '{split}'"):
        opened = function(split, config)
    source = _checked(name, opened)
    source = dataclasses.replace(source, gather=_Checked(name, source))
    source.gather(np.zeros(1, np.int64))
    return source


def _checked(name: str, source: Any) -> Source:
    """Return a source; raise DataError for its first part that is not as ``Source`` describes it."""
    if not isinstance(source, Source):
        raise DataError(
            f"data.name: {name} must return a Source of trainer.data.source, got {type(source).__name__}"
        )
    if type(source.size) is not int or source.size < 1:
        raise DataError(f"data.name: {name}: size must be a whole number of at least 1, got {source.size!r}")
    shape = tuple(source.image_shape)
    if len(shape) != 3 or shape[0] != shape[1] or shape[0] < 1 or shape[2] not in CHANNELS:
        raise DataError(f"data.name: {name}: image_shape must be (side, side, 1 or 3 channels), got {shape}")
    names = source.class_names
    if not names or not all(isinstance(each, str) for each in names) or len(set(names)) < len(names):
        raise DataError(f"data.name: {name}: class_names must be different texts, got {list(names)[:5]!r}")
    for field in ("mean", "std"):
        values: Sequence[float] = getattr(source, field)
        if len(values) != shape[2] or not all(isinstance(value, int | float) for value in values):
            raise DataError(f"data.name: {name}: {field} must be {shape[2]} numbers, got {values!r}")
    if not all(map(math.isfinite, (*source.mean, *source.std))):
        raise DataError(
            f"data.name: {name}: mean and std must be finite, got {source.mean!r} and {source.std!r}"
        )
    if min(source.std) <= 0:
        raise DataError(f"data.name: {name}: std must be above 0, got {source.std!r}")
    if not 0 < source.crop <= 1:
        raise DataError(f"data.name: {name}: crop must be above 0 and at most 1, got {source.crop!r}")
    return source


class _Checked:
    """``gather`` of an own source, whose errors and results of a wrong form name the dataset."""

    def __init__(self, name: str, source: Source):
        self._name, self._gather = name, source.gather
        self._shape, self._classes = tuple(source.image_shape), len(source.class_names)

    def __call__(
        self, indices: np.ndarray, draws: np.ndarray | None = None, /
    ) -> tuple[np.ndarray, np.ndarray]:
        if not len(indices):  # the last batch of an evaluation leaves some hosts without an example
            return np.empty((0, *self._shape), np.uint8), np.empty(0, np.int32)
        with imports.running("data.name", self._name, f"{self._name} cannot read examples", DataError):
            images, labels = map(np.asarray, self._gather(indices, draws))
        expected = (len(indices), *self._shape)
        if images.shape != expected or images.dtype != np.uint8:
            raise DataError(
                f"data.name: {self._name}: gather must return images {expected} uint8, "
                f"got {images.shape} {images.dtype}"
            )
        if labels.shape != expected[:1] or labels.dtype.kind not in "iu":
            raise DataError(
                f"data.name: {self._name}: gather must return labels {expected[:1]} of integers, "
                f"got {labels.shape} {labels.dtype}"
            )
        if len(labels) and not DAMAGED <= labels.min() <= labels.max() < self._classes:
            raise DataError(
                f"data.name: {self._name}: labels must be 0..{self._classes - 1}, got {labels.min()}.."
                f"{labels.max()}"
            )
        return images, labels.astype(np.int32)
