"""Batches of each host; which examples a step sees is a function of (seed, step).

The training data is one endless stream: epoch after epoch, each a seeded permutation of the examples. With
batch size B, step s takes positions s*B to (s+1)*B-1 of the stream, so the step number is the whole state of
the input. No batch is dropped or padded at the end of an epoch; the examples of the next epoch follow. A run
that was rolled back skips batches of the stream; its checkpoints record which.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np

from trainer.config import DataConfig
from trainer.data.images import crop
from trainer.data.permutation import permuted
from trainer.data.source import DAMAGED, Source

Batch = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class TrainStream:
    """The order of the training examples.

    Args:
      size: examples per epoch.
      batch: examples per step, over all hosts.
      seed: seed of the permutations.
      repeats: consecutive repetitions of each example (Berman et al. 2019, arXiv:1902.05509). An epoch keeps
        its length and holds fewer distinct examples. Each repetition has its own epoch number, and thus
        its own augmentation.
      segments: (first step, its batch of the stream), ascending by step; within a segment, batches follow
        each other.
      rollbacks: number of rollbacks so far.
    """

    size: int
    batch: int
    seed: int
    repeats: int = 1
    segments: tuple[tuple[int, int], ...] = ((0, 0),)
    rollbacks: int = 0

    def rolled_back(self, failed: int, to: int) -> "TrainStream":
        """The stream of a run that continues from step ``to`` with the batch after the one that failed.

        ``failed`` is the number of updates including the one that failed, so its batch is that of
        ``failed - 1``.
        """
        earlier = tuple(segment for segment in self.segments if segment[0] < to)
        segments = (*earlier, (to, self._batch(failed - 1) + 1))
        return dataclasses.replace(self, segments=segments, rollbacks=self.rollbacks + 1)

    def to_json(self) -> dict[str, Any]:
        """The state that a checkpoint saves."""
        return {"turns": [list(segment) for segment in self.segments], "rollbacks": self.rollbacks}

    def resumed(self, saved: dict[str, Any]) -> "TrainStream":
        """The stream with the state of a checkpoint; checkpoints of older versions have none."""
        if not saved:
            return self
        segments = tuple((step, batch) for step, batch in saved["turns"])
        return dataclasses.replace(self, segments=segments, rollbacks=saved["rollbacks"])

    def _batch(self, step: int) -> int:
        """The batch of the stream that is next after ``step`` updates."""
        first_step, first_batch = [segment for segment in self.segments if segment[0] <= step][-1]
        return first_batch + step - first_step

    def examples(self, step: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Epochs and example indices, both [n] int64, of ``rows`` [n] (0..batch-1) of a step."""
        positions = self._batch(step) * self.batch + rows
        positions, repetitions = divmod(positions, self.repeats)
        epochs = positions // self.size * self.repeats + repetitions
        return epochs, permuted(self.size, self.seed, positions)


def train_batches(
    source: Source, stream: TrainStream, rows: np.ndarray, steps: range, config: DataConfig
) -> Iterator[Batch]:
    """Training batches of this host, prepared ahead in threads.

    Args:
      rows: [b], the rows of each global batch that this host reads.
      steps: the steps to yield batches for.

    Yields:
      image [b, H, W, C] uint8; label, epoch and index [b] int32.
    """

    def make(step: int) -> Batch:
        epochs, indices = stream.examples(step, rows)
        images, labels = source.gather(indices, crop.draws(stream.seed, epochs, indices))
        return {
            "image": images,
            "label": labels,
            "epoch": epochs.astype(np.int32),
            "index": indices.astype(np.int32),
        }

    return _prepared(make, steps, config)


def eval_batches(source: Source, batch: int, rows: np.ndarray, config: DataConfig) -> Iterator[Batch]:
    """Evaluation batches of this host; over all hosts, every example comes exactly once.

    The last batch is padded to the size of the others, so that nothing is compiled again for it.

    Args:
      batch: examples per step, over all hosts.
      rows: [b], the rows of each global batch that this host reads.

    Yields:
      image [b, H, W, C] uint8; label [b] int32; weight [b] float32, 0 for padding and damaged images, 1 else.
    """

    def make(step: int) -> Batch:
        positions = step * batch + rows
        images, labels = source.gather(np.minimum(positions, source.size - 1))
        counted = (positions < source.size) & (labels != DAMAGED)
        labels = np.where(counted, labels, 0)
        return {"image": images, "label": labels, "weight": counted.astype(np.float32)}

    return _prepared(make, range(eval_steps(source.size, batch)), config)


def eval_steps(size: int, batch: int) -> int:
    """Batches that hold ``size`` examples, the last one padded."""
    return -(-size // batch)


def _prepared(make: Callable[[int], Batch], steps: range, config: DataConfig) -> Iterator[Batch]:
    """``make(step)`` of each step in order, made ahead in threads."""
    dataset = grain.MapDataset.range(steps.start, steps.stop).map(make)
    threads = config.threads or cores()
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(config.prefetch, threads))
    return iter(dataset.to_iter_dataset(options))


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
