"""The part of the training split that ``data.val_share`` and ``data.val_seed`` hold out for evaluation."""

import dataclasses

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import Encoded
from trainer.data.formats.dataset import Dataset
from trainer.data.permutation import permuted
from trainer.data.source import Source
from trainer.errors import DataError


def applied(dataset: Dataset, config: DataConfig) -> Dataset:
    """The dataset with the splits that the settings ask for.

    With ``data.val_share`` its training split is divided. A split for evaluation that it has is not used.

    Raises:
      DataError: there is no training split to divide.
    """
    if not config.val_share:
        return dataset
    if "train" not in dataset.splits:
        names = ", ".join(dataset.splits.values())
        raise DataError(f"data.val_share: {dataset.place.path} must hold a training split, got {names}")
    train, *others = dataset.splits["train"], *(n for s, n in dataset.splits.items() if s != "train")
    return dataclasses.replace(
        dataset,
        splits={"train": train, "test": train},
        shards={split: dataset.shards["train"] for split in ("train", "test") if dataset.shards},
        unused=(*dataset.unused, *others),
        held_out=True,
    )


def rows(size: int, labels: np.ndarray | None, split: str, config: DataConfig) -> np.ndarray:
    """The examples of a split among all of the training split, [n] int64, in their order.

    Each class gives its share, rounded: at least one example of two or more, and never the last one. It
    depends on the seed and the number of examples alone. Where reading every example would be needed to know
    the labels, the share is of all examples.

    Args:
      size: number of all examples.
      labels: [size] int32, of all examples; None: not known.
    """
    order = permuted(size, config.val_seed, np.arange(size)) if size else np.empty(0, np.int64)
    classes = np.zeros(size, np.int64) if labels is None else labels.astype(np.int64)
    held = np.zeros(size, bool)
    by_class = order[np.argsort(classes[order], kind="stable")]
    _, starts = np.unique(classes[by_class], return_index=True)
    for members in np.split(by_class, starts[1:]):
        count = round(len(members) * config.val_share)
        held[members[: min(max(count, 1), len(members) - 1)]] = True
    return np.flatnonzero(held if split == "test" else ~held)


def part(data: Encoded, split: str, config: DataConfig) -> Encoded:
    """The examples of one split of an undecoded training split."""
    chosen = rows(data.size, data.labels, split, config)
    return dataclasses.replace(
        data,
        size=len(chosen),
        read=lambda index: data.read(int(chosen[index])),
        name=lambda index: data.name(int(chosen[index])),
        labels=None if data.labels is None else data.labels[chosen],
        passed_over=data.passed_over if split == "train" else type(data.passed_over)(),
    )


def source_part(source: Source, labels: np.ndarray, split: str, config: DataConfig) -> Source:
    """The examples of one split of a decoded training split with ``labels`` [size]."""
    chosen, name = rows(source.size, labels, split, config), source.example_name
    return dataclasses.replace(
        source,
        size=len(chosen),
        gather=lambda indices, draws=None: source.gather(chosen[indices], draws),
        example_name=None if name is None else lambda index: name(int(chosen[index])),
    )
