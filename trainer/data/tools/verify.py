"""Verification of a dataset: every example is read back; damaged and duplicate ones are named."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from trainer.config import DataConfig
from trainer.data.encoded import BadImage, Encoded
from trainer.data.formats.dataset import Dataset
from trainer.data.formats.detect import check_classes, open_split
from trainer.data.images import decode
from trainer.data.pipeline import cores
from trainer.errors import DataError
from trainer.runtime.counter import Advance

CHUNK = 1024  # examples in flight; bounds the memory


@dataclass(frozen=True)
class Finding:
    """A problem of one example.

    Args:
      kind: "bad" (damaged), "suspect" (it has pixels, and a decoder complained of it), "duplicate" (the bytes
        and label of another example), "conflict" (the bytes of another example with a different label), or
        "passed over" (files of a split that are no examples).
      text: the example and the problem.
    """

    kind: str
    text: str


def verify(dataset: Dataset, config: DataConfig, advance: Advance) -> Iterator[Finding]:
    """Yield the findings, split by split; a shard that is missing or cannot be opened is one finding."""
    seen: dict[bytes, tuple[str, int]] = {}
    for split in dataset.splits:
        try:
            data = open_split(dataset, split, config)
        except DataError as error:
            yield Finding("bad", error.args[0])
            continue
        yield from _verify_split(data, config, seen, advance)
        for text in data.passed_over.texts():
            yield Finding("passed over", f"{dataset.place.address(dataset.splits[split])}: {text}")
        try:
            check_classes(dataset, split, data)
        except DataError as error:
            yield Finding("bad", error.args[0])


def _verify_split(
    data: Encoded, config: DataConfig, seen: dict[bytes, tuple[str, int]], advance: Advance
) -> Iterator[Finding]:
    max_pixels = config.max_pixels
    reported: set[str] = set()  # a missing shard is the same finding for each of its examples

    def check(index: int) -> tuple[bytes, int, str] | Finding:
        """The digest of the image, its label and what is suspect; or the finding that it is bad."""
        suspect = ""
        try:
            image, label = data.read(index)
            if isinstance(image, bytes):
                _, suspect = decode.inspect(image, max_pixels)
        except BadImage as error:
            return Finding("bad", f"{data.name(index)}: {error}")
        except DataError as error:
            return Finding("bad", error.args[0])
        content = image if isinstance(image, bytes) else image.tobytes()
        return hashlib.blake2b(content, digest_size=16).digest(), label, suspect

    with ThreadPoolExecutor(config.threads or max(cores(), data.concurrent_reads)) as pool:
        for start in range(0, data.size, CHUNK):
            chunk = range(start, min(start + CHUNK, data.size))
            for index, result in zip(chunk, pool.map(check, chunk), strict=True):
                advance(1)
                if isinstance(result, Finding):
                    if result.text not in reported:
                        yield result
                    reported.add(result.text)
                    continue
                digest, label, suspect = result
                if suspect:
                    yield Finding("suspect", f"{data.name(index)}: {suspect}")
                if digest not in seen:
                    seen[digest] = data.name(index), label
                    continue
                first_name, first_label = seen[digest]
                kind = "duplicate" if label == first_label else "conflict"
                text = f"{data.name(index)} (label {label}) equals {first_name} (label {first_label})"
                yield Finding(kind, text)
