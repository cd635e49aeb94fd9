"""How a dataset is found: by its name, its path, or the module that has it."""

import contextlib
import dataclasses
import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from trainer import imports
from trainer.config import DataConfig
from trainer.data import own
from trainer.data.classes import match, relabelled
from trainer.data.source import Source
from trainer.errors import ConfigError, DataError
from trainer.registry import DATASETS
from trainer.runtime.messages import note, warn


def load(config: DataConfig, split: str) -> Source:
    """Open one split ("train" or "test") of the dataset that ``config.name`` names.

    Raises:
      ConfigError: the module of an own dataset cannot be imported.
      DataError: data are missing, truncated or inconsistent; the message names the file.
    """
    with _memory(config):
        if config.name in DATASETS:
            _check_whole(config)
            source = _checked(_module(DATASETS[config.name]).load(split, config), split)
        elif imports.is_object(config.name):
            source = own.load(split, config)
        else:
            detect = _module("detect")
            source = _checked(detect.source(detect.resolved(config), split, config), split)
        return _normalized(source, config)


def _check_whole(config: DataConfig) -> None:
    """Raise ConfigError for settings that choose a part of a dataset that comes in one piece."""
    if config.val_share:
        raise ConfigError(
            f"data.val_share: must be 0 for '{config.name}', which has a split for evaluation, "
            f"got {config.val_share:g}"
        )
    if config.subset:
        raise ConfigError(f"data.subset: must be empty for '{config.name}', got {config.subset!r}")


@contextlib.contextmanager
def _memory(config: DataConfig) -> Iterator[None]:
    """Convert a lack of memory, which another attempt would meet again."""
    try:
        yield
    except MemoryError:
        raise DataError(f"data: {config.name} needs more memory than this host has") from None


def _normalized(source: Source, config: DataConfig) -> Source:
    """Return the source with the mean and deviation that ``config.normalize`` asks for."""
    if config.normalize == "dataset":
        return source
    half = (0.5,) * source.image_shape[2]
    return dataclasses.replace(source, mean=half, std=half)


def _checked(source: Source, split: str) -> Source:
    if source.size == 0:
        raise DataError(f"data: split '{split}' of '{source.name}' must hold examples, got none")
    return source


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"trainer.data.formats.{name}")


def load_both(config: DataConfig) -> tuple[Source, Source]:
    """The training and the test split, both with the labels of the training split.

    Of a dataset at a path, a line on stderr states which splits it has and what was passed over.

    Raises:
      DataError: as `load`, or the test split has more classes than the training split, or others.
    """
    if config.name in DATASETS or imports.is_object(config.name):
        train, test = load(config, "train"), load(config, "test")
    else:
        detect = _module("detect")
        with _memory(config):
            dataset = detect.resolved(config)
            splits = ("train", "test")
            train, test = (_checked(detect.source(dataset, split, config), split) for split in splits)
        _describe(dataset, train, test, config)
        train, test = (_normalized(source, config) for source in (train, test))
    if test.num_classes > train.num_classes:
        raise DataError(
            f"data: the test split of '{train.name}' must have the {train.num_classes} classes of training, "
            f"got {test.num_classes}"
        )
    try:
        positions = match(train.class_names, test.class_names).positions
    except ConfigError as error:
        reason = error.args[0].removeprefix("data: ")
        raise DataError(f"data: the test split of '{train.name}' differs from training: {reason}") from None
    if list(test.class_names) != list(train.class_names):
        test = relabelled(test, train.class_names, positions)
    return train, test


def _describe(dataset: Any, train: Source, test: Source, config: DataConfig) -> None:
    """State which splits are used and what is not; images of kinds that are not read are a warning."""
    splits = dataset.splits
    unused = f"; not used: {', '.join(map(repr, dataset.unused))}" if dataset.unused else ""
    names = {split: repr(name) if name else "all images" for split, name in splits.items()}
    if dataset.held_out:
        names["test"] = f"{config.val_share:g} of each class, held out with seed {config.val_seed}"
    note(
        f"data: {dataset.place.path} ({dataset.kind}): trains on {names['train']} ({train.size:,} images),"
        f" evaluates on {names['test']} ({test.size:,}){unused}"
    )
    for split, source in (("train", train), ("test", test)):
        if texts := source.passed_over.texts():
            show = warn if source.passed_over.unread else note
            show(f"data: {dataset.place.address(splits[split])} passed over: {'; '.join(texts)}")
