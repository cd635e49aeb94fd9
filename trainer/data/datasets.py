"""How a dataset is found, by its name or its path."""

import importlib

from trainer.config import DataConfig
from trainer.data.classes import match, relabelled
from trainer.data.source import Source
from trainer.errors import ConfigError, DataError
from trainer.registry import DATASETS


def load(config: DataConfig, split: str) -> Source:
    """Open one split ("train" or "test") of the dataset that ``config.name`` names, by name or path.

    Raises:
      DataError: data are missing, truncated or inconsistent; the message names the file.
    """
    module = importlib.import_module(f"trainer.data.formats.{DATASETS.get(config.name, 'detect')}")
    source = module.load(split, config)
    if source.size == 0:
        raise DataError(f"data: split '{split}' of '{source.name}' must hold examples, got none")
    return source


def load_both(config: DataConfig) -> tuple[Source, Source]:
    """The training and the test split, both with the labels of the training split.

    Raises:
      DataError: as `load`, or the test split has more classes than the training split, or others.
    """
    train, test = load(config, "train"), load(config, "test")
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
