"""Which examples a step sees: a function of (seed, step), read by each host for its own rows.

The training data is one endless stream: epoch after epoch, each a seeded permutation of the index. Step s of
batch size B takes the examples at positions s*B to (s+1)*B of it, so the state of the input is the number of
the step. No batch is dropped or padded at the end of an epoch; the next epoch's examples follow. A run that
was rolled back goes on further along the stream: where, is kept with its checkpoints.
"""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np

from trainer.config import DataConfig
from trainer.data.images import crop
from trainer.data.permutation import permuted
from trainer.data.source import Source

Batch = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class TrainStream:
    """The order of the training examples.

    Args:
      size: examples of an epoch.
      batch: examples of a step, over all hosts.
      seed: of the permutations.
      repeats: times that an example stands in an epoch, one after the other (arXiv:1902.05509); an epoch
        stays as long and holds fewer examples. Each time has an epoch number of its own.
      turns: (step, batch of the stream) from which on the batches follow each other, by step.
      rollbacks: that led here.
    """

    size: int
    batch: int
    seed: int
    repeats: int = 1
    turns: tuple[tuple[int, int], ...] = ((0, 0),)
    rollbacks: int = 0

    def rolled_back(self, failed: int, to: int) -> "TrainStream":
        """The stream of a run that goes on from step ``to`` without the batches up to that of ``failed``."""
        kept = tuple(turn for turn in self.turns if turn[0] < to)
        turns = (*kept, (to, self._batch(failed - 1) + 1))
        return dataclasses.replace(self, turns=turns, rollbacks=self.rollbacks + 1)

    def kept(self) -> dict[str, Any]:
        """What a checkpoint must tell of the stream, as JSON."""
        return {"turns": [list(turn) for turn in self.turns], "rollbacks": self.rollbacks}

    def resumed(self, kept: dict[str, Any]) -> "TrainStream":
        """The stream as a checkpoint tells it; one of an older version tells nothing."""
        if not kept:
            return self
        turns = tuple((step, batch) for step, batch in kept["turns"])
        return dataclasses.replace(self, turns=turns, rollbacks=kept["rollbacks"])

    def _batch(self, step: int) -> int:
        """Which batch of the stream the step after ``step`` updates takes."""
        since, first = [turn for turn in self.turns if turn[0] <= step][-1]
        return first + step - since

    def rows(self, step: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The epoch and the example index of the given rows (0..batch-1) of a step, both int64."""
        positions = self._batch(step) * self.batch + rows
        places, times = divmod(positions, self.repeats)
        return places // self.size * self.repeats + times, permuted(self.size, self.seed, places)


def train_batches(
    source: Source, stream: TrainStream, rows: np.ndarray, steps: range, config: DataConfig
) -> Iterator[Batch]:
    """Batches of this host for the given steps, prepared ahead in threads.

    Yields dicts: image [b, H, W, C] uint8, label, epoch and index [b] int32, with b = len(rows).
    """

    def make(step: int) -> Batch:
        epochs, indices = stream.rows(step, rows)
        images, labels = source.gather(indices, crop.draws(stream.seed, epochs, indices))
        return {
            "image": images,
            "label": labels,
            "epoch": epochs.astype(np.int32),
            "index": indices.astype(np.int32),
        }

    return _prepared(make, steps, config)


def eval_batches(source: Source, batch: int, rows: np.ndarray, config: DataConfig) -> Iterator[Batch]:
    """Every example exactly once over all hosts: image, label and weight [b] float32, 0 for padding."""

    def make(step: int) -> Batch:
        positions = step * batch + rows
        images, labels = source.gather(np.minimum(positions, source.size - 1))
        return {"image": images, "label": labels, "weight": (positions < source.size).astype(np.float32)}

    return _prepared(make, range(eval_steps(source.size, batch)), config)


def eval_steps(size: int, batch: int) -> int:
    return -(-size // batch)


def _prepared(make, steps: range, config: DataConfig) -> Iterator[Batch]:
    dataset = grain.MapDataset.range(steps.start, steps.stop).map(make)
    threads = config.threads or cores()
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(config.prefetch, threads))
    return iter(dataset.to_iter_dataset(options))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
