"""Source: decoded examples of one split, as the pipeline reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trainer.data.passed_over import NOTHING, PassedOver
from trainer.errors import DataError
from trainer.rundir.dataset import DatasetRecord

DAMAGED = -1  # label of an example that an evaluation leaves out, because its image cannot be read


class Gather(Protocol):
    """The signature of ``Source.gather``."""

    def __call__(
        self, indices: np.ndarray, draws: np.ndarray | None = None, /
    ) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, kw_only=True)
class Source:
    """Random access to the examples of one split.

    ``gather(indices [b] int64, draws [b, DRAWS] float64) -> (images [b, H, W, C] uint8, labels [b] int32)``
    is safe in threads. ``draws`` come from `crop.draws` and choose the random crops of training. Without
    them, the images are cropped as for evaluation, and damaged ones have the label DAMAGED. Sources of small
    whole images ignore them.

    Args:
      name: the dataset's, for messages.
      size: number of examples.
      image_shape: height, width, channels.
      class_names: one per label, in order.
      mean, std: per channel, of pixels scaled to 0..1.
      crop: share of the shorter side that images without draws are cropped to; 1: whole images.
      passed_over: what the split holds beside its images.
      example_name: the file or record of an example, for people; None: it has no name.
    """

    name: str
    size: int
    image_shape: tuple[int, int, int]  # H, W, C
    class_names: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    gather: Gather
    crop: float = 1.0
    passed_over: PassedOver = NOTHING
    example_name: Callable[[int], str] | None = None

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def record(self) -> DatasetRecord:
        """What a run keeps of its training data."""
        return DatasetRecord(
            class_names=tuple(self.class_names),
            image_size=self.image_shape[0],
            mean=tuple(self.mean),
            std=tuple(self.std),
            crop=self.crop,
            images=self.size,
        )


def from_arrays(
    name: str, images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], mean: float, std: float
) -> Source:
    """A source of images in memory.

    Args:
      images: [N, H, W, C] uint8.
      labels: [N], integers from 0.
      mean, std: of pixels scaled to 0..1, the same for every channel.

    Raises:
      DataError: the numbers of images and labels differ, or a label has no class.
    """
    if len(images) != len(labels):
        raise DataError(
            f"data: '{name}' must hold one label per image, got {len(images)} images and {len(labels)} labels"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < len(class_names):
        bad = int(np.flatnonzero((labels < 0) | (labels >= len(class_names)))[0])
        raise DataError(
            f"data: labels of '{name}' must be 0..{len(class_names) - 1}, got {labels[bad]} at example {bad}"
        )
    labels = labels.astype(np.int32)
    channels = images.shape[-1]
    return Source(
        name=name,
        size=len(images),
        image_shape=images.shape[1:],
        class_names=class_names,
        mean=(mean,) * channels,
        std=(std,) * channels,
        gather=lambda indices, draws=None: (images[indices], labels[indices]),
    )
