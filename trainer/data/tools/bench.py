"""How fast this host prepares batches, whether that feeds its chips, and what would."""

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from trainer.config import DataConfig
from trainer.data import pipeline
from trainer.data.encoded import BadImage, Encoded, Example
from trainer.data.formats.detect import Dataset, encoded
from trainer.data.images import decoded
from trainer.data.source import Source
from trainer.data.tools.pack_image import Packing, keep
from trainer.errors import DataError

BATCH = 64
SAMPLE = 192  # images that are packed in memory to see what packing would give
# What a dataset can be turned into: the command that does it, and how it keeps an image.
WAYS = {
    "data pack SRC DST --short-side 256 --quality 90": Packing(),
    "data pack SRC DST --raw 256": Packing(encoding="raw"),
}


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Images a second that one way of keeping the data gives on this host."""

    way: str  # the command that makes the data so, or what they are as they are
    images_per_second: float
    bytes_per_image: float


def measure(dataset: Dataset, config: DataConfig, seconds: float) -> list[Rate]:
    """Rates of the training split as it is, and of samples of it packed in memory.

    The first goes through the whole pipeline, reading included; the others read from memory, as a host does
    whose shards are in the page cache.
    """
    data = encoded(dataset, "train", config)
    sample = _sample(data)
    if not sample:
        raise DataError(f"data bench: no image of {dataset.place.path} can be read", "data verify names them")
    rate = _rate(data, config, seconds)
    found = [Rate(way=f"as it is: {dataset.kind}", images_per_second=rate, bytes_per_image=_bytes(sample))]
    for way, packing in WAYS.items():
        packed = [_packed(image, label, packing, config) for image, label in sample]
        rate = _rate(_in_memory(packed, data), config, seconds)
        found.append(Rate(way=way, images_per_second=rate, bytes_per_image=_bytes(packed)))
    return found


def _bytes(examples: list[Example]) -> float:
    return float(np.mean([len(i) if isinstance(i, bytes) else i.nbytes for i, _ in examples]))


def _sample(data: Encoded) -> list[Example]:
    found = []
    for index in np.linspace(0, data.size - 1, min(SAMPLE, data.size)).astype(int).tolist():
        try:
            found.append(data.read(index))
        except BadImage:
            continue
    return found


def _packed(image: bytes | np.ndarray, label: int, packing: Packing, config: DataConfig) -> Example:
    record, height, width = keep(image, packing, config.max_pixels)
    if packing.encoding == "raw":
        return np.frombuffer(record, np.uint8).reshape(height, width, 3), label
    return record, label


def _in_memory(examples: list[Example], data: Encoded) -> Encoded:
    return replace(data, size=len(examples), read=examples.__getitem__, labels=None, name=str, at_once=1)


def _rate(data: Encoded, config: DataConfig, seconds: float) -> float:
    """Images a second of the training pipeline, its threads warmed up."""
    source: Source = decoded.source_of(data, replace(config, bad_images=data.size))
    stream = pipeline.TrainStream(size=data.size, batch=BATCH, seed=0)
    batches = pipeline.train_batches(source, stream, np.arange(BATCH), range(10**9), config)
    ahead = 2 * max(config.prefetch, config.threads or pipeline.cores())
    for _ in range(ahead):  # what was prepared before the clock started must not count
        next(batches)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        next(batches)
        count += 1
    return count * BATCH / (time.perf_counter() - begun)


def verdict(rates: list[Rate], need: float, what: str, cores: int) -> list[str]:
    """Lines that say whether a host with this need would starve, and which change would cure it.

    Args:
      need: images a second that the chips of one host take.
      what: the slice and network, for people.
    """
    here = rates[0].images_per_second
    lines = [f"{what} asks {need:,.0f} images/s of each host; this one gives {here:,.0f} ({here / need:.0%})"]
    if here >= need:
        return [*lines, "it would not starve"]
    more = _cores(need, here, cores)
    lines.append(f"it would starve on such a host; as it is, more threads cure it from {more} cores on")
    for rate in rates[1:]:
        share = rate.images_per_second / need
        enough = f"gives {share:.0%}, all of it from {_cores(need, rate.images_per_second, cores)} cores on"
        lines.append(f"{rate.way}: {'cures it' if share >= 1 else enough}")
    return lines


def _cores(need: float, rate: float, cores: int) -> int:
    return math.ceil(need / (rate / cores))
