"""The images/s that this host prepares, whether its chips would starve, and what would prevent that."""

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from trainer.config import DataConfig
from trainer.data import pipeline
from trainer.data.encoded import BadImage, Encoded, Example
from trainer.data.formats.dataset import Dataset
from trainer.data.formats.detect import encoded
from trainer.data.images import decoded
from trainer.data.source import Source
from trainer.data.tools.pack_image import Packing, pack_image
from trainer.errors import DataError

BATCH = 64
SAMPLE = 192  # images that are packed in memory to measure what packing would give
# A command that converts a dataset -> how it stores an image.
WAYS = {
    "data pack SRC DST --short-side 256 --quality 90": Packing(),
    "data pack SRC DST --raw 256": Packing(encoding="raw"),
}


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Speed of this host with one way of storing the data.

    Args:
      way: the command that stores the data so, or their current format.
      images_per_second: on this host, all threads together.
      bytes_per_image: mean over a sample.
    """

    way: str
    images_per_second: float
    bytes_per_image: float


def measure(dataset: Dataset, config: DataConfig, seconds: float) -> list[Rate]:
    """Measure the training split as it is, then samples of it in each of WAYS.

    The first rate includes reading from storage. The others read from memory, like a host with its shards in
    the page cache.

    Args:
      seconds: duration of each measurement.

    Raises:
      DataError: no image can be read.
    """
    data = encoded(dataset, "train", config)
    sample = _sample(data)
    if not sample:
        raise DataError(
            f"data bench: no image of {dataset.place.path} can be read", "`data verify` names them"
        )
    rate = _rate(data, config, seconds)
    rates = [
        Rate(way=f"as it is: {dataset.kind}", images_per_second=rate, bytes_per_image=_mean_bytes(sample))
    ]
    for way, packing in WAYS.items():
        packed = [_packed(image, label, packing, config) for image, label in sample]
        rate = _rate(_in_memory(packed, data), config, seconds)
        rates.append(Rate(way=way, images_per_second=rate, bytes_per_image=_mean_bytes(packed)))
    return rates


def _mean_bytes(examples: list[Example]) -> float:
    return float(np.mean([len(i) if isinstance(i, bytes) else i.nbytes for i, _ in examples]))


def _sample(data: Encoded) -> list[Example]:
    """Up to SAMPLE readable examples from all over the split."""
    examples = []
    for index in np.linspace(0, data.size - 1, min(SAMPLE, data.size)).astype(int).tolist():
        try:
            examples.append(data.read(index))
        except BadImage:
            continue
    return examples


def _packed(image: bytes | np.ndarray, label: int, packing: Packing, config: DataConfig) -> Example:
    record, height, width = pack_image(image, packing, config.max_pixels)
    if packing.encoding == "raw":
        return np.frombuffer(record, np.uint8).reshape(height, width, 3), label
    return record, label


def _in_memory(examples: list[Example], data: Encoded) -> Encoded:
    return replace(
        data, size=len(examples), read=examples.__getitem__, labels=None, name=str, concurrent_reads=1
    )


def _rate(data: Encoded, config: DataConfig, seconds: float) -> float:
    """Images/s of the training pipeline after its threads have warmed up."""
    source: Source = decoded.as_source(data, replace(config, bad_images=data.size))
    stream = pipeline.TrainStream(size=data.size, batch=BATCH, seed=0)
    batches = pipeline.train_batches(source, stream, np.arange(BATCH), range(10**9), config)
    prefetched = 2 * max(config.prefetch, config.threads or pipeline.cores())
    for _ in range(prefetched):  # batches prepared before the clock starts must not count
        next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(batches)
        count += 1
    return count * BATCH / (time.perf_counter() - start)


def compare(rates: list[Rate], need: float, consumer: str, cores: int) -> list[str]:
    """Lines that compare the rates with a need, and name what would meet it.

    Args:
      rates: of `measure`, the data as they are first.
      need: images/s that the chips of one host consume.
      consumer: name of the slice and network, for the output.
      cores: number of cores that the rates were measured on.
    """
    current = rates[0].images_per_second
    supply = f"this host prepares {current:,.0f} ({current / need:.0%})"
    lines = [f"{consumer} needs {need:,.0f} images/s per host; {supply}"]
    if current >= need:
        return [*lines, "its chips would not starve"]
    cores_needed = _cores_needed(need, current, cores)
    lines.append(
        f"its chips would starve: with the data as they are, a host needs {cores_needed:,} such cores"
    )
    for rate in rates[1:]:
        fraction = rate.images_per_second / need
        cores_needed = _cores_needed(need, rate.images_per_second, cores)
        shortage = f"{fraction:.0%} of the need; a host needs {cores_needed:,} such cores"
        lines.append(f"{rate.way}: {'enough on this host' if fraction >= 1 else shortage}")
    return lines


def _cores_needed(need: float, rate: float, cores: int) -> int:
    """Cores for ``need`` images/s, where ``cores`` give ``rate`` and the rate grows with the cores."""
    return math.ceil(need / (rate / cores))
