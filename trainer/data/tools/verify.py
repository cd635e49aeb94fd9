"""Reads every example of a dataset back and names each that is damaged or there twice."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import BadImage, Encoded
from trainer.data.formats.detect import Dataset, encoded
from trainer.data.images import decode
from trainer.data.pipeline import cores
from trainer.data.tools.pack_shards import Done
from trainer.errors import DataError

CHUNK = 1024  # examples under way at once: what bounds the memory


@dataclass(frozen=True)
class Finding:
    """kind: "bad", "duplicate" (the very same bytes) or "conflict" (the same bytes with other labels)."""

    kind: str
    text: str


def verify(dataset: Dataset, config: DataConfig, done: Done) -> Iterator[Finding]:
    """Every finding, split by split; a shard that is missing or cannot be opened is found once."""
    seen: dict[bytes, tuple[str, int]] = {}
    for split in dataset.splits:
        try:
            data = encoded(dataset, split, config)
        except DataError as error:
            yield Finding("bad", error.args[0])
            continue
        yield from _split(data, config, seen, done)


def _split(
    data: Encoded, config: DataConfig, seen: dict[bytes, tuple[str, int]], done: Done
) -> Iterator[Finding]:
    max_pixels = config.max_pixels
    told: set[str] = set()  # a missing shard is the same finding for each of its examples

    def look(index: int) -> tuple[bytes, int] | Finding:
        """The digest of the image and its label, or what is wrong with it."""
        try:
            image, label = data.read(index)
            pixels = image if isinstance(image, np.ndarray) else decode.upright(image, max_pixels)
        except BadImage as why:
            return Finding("bad", f"{data.name(index)}: {why}")
        except DataError as error:
            return Finding("bad", error.args[0])
        content = image if isinstance(image, bytes) else pixels.tobytes()
        return hashlib.blake2b(content, digest_size=16).digest(), label

    with ThreadPoolExecutor(config.threads or max(cores(), data.at_once)) as pool:
        for start in range(0, data.size, CHUNK):
            chunk = range(start, min(start + CHUNK, data.size))
            for index, found in zip(chunk, pool.map(look, chunk), strict=True):
                done(1)
                if isinstance(found, Finding):
                    if found.text not in told:
                        yield found
                    told.add(found.text)
                    continue
                digest, label = found
                if digest not in seen:
                    seen[digest] = data.name(index), label
                    continue
                first, other = seen[digest]
                kind = "duplicate" if label == other else "conflict"
                yield Finding(kind, f"{data.name(index)} (label {label}) is {first} (label {other})")
