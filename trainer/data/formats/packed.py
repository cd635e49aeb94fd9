"""The packed format: ArrayRecord shards of images, an index, and a manifest that is written last.

manifest.json                           what is here; without it the folder is no dataset yet
train-00000-of-00012.array_record       a record an image: a JPEG, or pixels [H, W, 3] uint8
train.index.npy                         a row an image, in the order of the records: INDEX
train.names.txt                         a line an image: what it was called in the source
"""

import bisect
import functools
import io
import itertools
import json
import resource
import threading
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import BadImage, Encoded, check_label
from trainer.data.staging import LocalShards, Shards, shards
from trainer.data.storage import Place
from trainer.errors import DataError

MANIFEST = "manifest.json"
FORMAT = "resnet-launch packed 1"
# crc32c: of the record. height, width: of the image as it lies there; pixels have no header that would say.
INDEX = np.dtype([("label", "<i4"), ("crc32c", "<u4"), ("bytes", "<u4"), ("height", "<u2"), ("width", "<u2")])
READER = "readahead_buffer_size:0,max_parallelism:0"  # for single records in any order


def read_manifest(place: Place) -> dict[str, Any]:
    """Raises DataError for a manifest that is damaged or of another version."""
    try:
        manifest = json.loads(place.read(MANIFEST))
        found = manifest["format"]
        if found == FORMAT:
            _check(manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"data: {place.address(MANIFEST)} is damaged: {error!r}", "pack it again") from None
    if found != FORMAT:
        raise DataError(f"data: {place.address(MANIFEST)} must be of format {FORMAT!r}, got {found!r}")
    return manifest


def _check(manifest: dict[str, Any]) -> None:
    """Raises KeyError, TypeError or AttributeError where something is missing or of another kind."""
    _ = manifest["encoding"], len(manifest["classes"])
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            _ = shard["name"].split(), shard["images"] + shard["bytes"]


def load(place: Place, split: str, config: DataConfig) -> Encoded:
    """One split; the shards of a bucket begin to be fetched."""
    manifest = read_manifest(place)
    listed = manifest["splits"][split]["shards"]
    index = _index(place, split, sum(shard["images"] for shard in listed))
    sizes = {shard["name"]: shard["bytes"] for shard in listed}
    records = Records(shards(place, sizes, config.stage, config.stage_gib), place, listed)
    raw, classes = manifest["encoding"] == "raw", len(manifest["classes"])
    labels = index["label"].tolist()

    def read(position: int) -> tuple[bytes | np.ndarray, int]:
        record = records.read(position)
        row = index[position]
        if len(record) != row["bytes"] or google_crc32c.value(record) != row["crc32c"]:
            raise BadImage("the record differs from its checksum")
        label = check_label(labels[position], classes)
        if not raw:
            return record, label
        return np.frombuffer(record, np.uint8).reshape(row["height"], row["width"], 3), label

    return Encoded(
        format="packed",
        class_names=manifest["classes"],
        size=len(index),
        read=read,
        labels=index["label"],
        name=lambda position: f"{records.name(position)} ({_names(place, split)[position]})",
    )


def _index(place: Place, split: str, images: int) -> np.ndarray:
    name = f"{split}.index.npy"
    try:
        index = np.load(io.BytesIO(place.read(name)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"data: {place.address(name)} is damaged: {error}", "pack it again") from None
    if index.dtype != INDEX or index.shape != (images,):
        raise DataError(
            f"data: {place.address(name)} must hold {images} rows, got {index.shape}", "pack it again"
        )
    return index


@functools.cache
def _names(place: Place, split: str) -> list[str]:
    return place.read(f"{split}.names.txt").decode(errors="replace").splitlines()


class Records:
    """Records of several ArrayRecord files as one sequence; safe in threads.

    Args:
      listed: a dict a shard, with its ``name`` and how many ``images`` it holds.
    """

    def __init__(self, files: Shards | LocalShards, place: Place, listed: list[dict[str, Any]]):
        self._files, self._place, self._listed = files, place, listed
        self._ends = list(itertools.accumulate(shard["images"] for shard in listed))
        self._readers: dict[int, Any] = {}
        self._lock = threading.Lock()
        _allow_files(len(listed))

    @property
    def size(self) -> int:
        return self._ends[-1] if self._ends else 0

    def find(self, position: int) -> tuple[int, int]:
        """The shard of a record and its number there."""
        shard = bisect.bisect_right(self._ends, position)
        return shard, position - (self._ends[shard - 1] if shard else 0)

    def name(self, position: int) -> str:
        shard, row = self.find(position)
        return f"{self._place.address(self._listed[shard]['name'])} record {row}"

    def read(self, position: int) -> bytes:
        """Raises BadImage where the record is damaged, DataError where the whole shard is."""
        shard, row = self.find(position)
        reader = self._readers.get(shard) or self._open(shard)
        try:
            return reader.read([row])[0]
        except (RuntimeError, ValueError, IndexError) as error:
            raise BadImage(f"the record cannot be read: {' '.join(str(error).split())[:200]}") from None

    def _open(self, shard: int) -> Any:
        listed = self._listed[shard]
        path = self._files.path(listed["name"])
        with self._lock:
            if shard not in self._readers:
                self._readers[shard] = open_shard(path, self._place.address(listed["name"]), listed["images"])
            return self._readers[shard]


def _allow_files(shards: int) -> None:
    """Lets this process keep so many more files open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + shards
    if soft != resource.RLIM_INFINITY:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def open_shard(path: Path, address: str, images: int | None = None) -> Any:
    """Opens one ArrayRecord file for random access; raises DataError naming what is wrong with it."""
    from array_record.python.array_record_module import ArrayRecordReader

    if not path.is_file():
        raise DataError(f"data: shard {address} does not exist", "copy or pack it again")
    try:
        reader = ArrayRecordReader(str(path), READER)
        found = reader.num_records()
        if not reader.ok():
            raise ValueError("its end is missing")
    except (RuntimeError, ValueError, OSError) as error:
        why = " ".join(str(error).split())[:200]
        raise DataError(f"data: shard {address} is damaged: {why}", "copy or pack it again") from None
    if images is not None and found != images:
        raise DataError(f"data: shard {address} must hold {images} records, got {found}", "copy it again")
    return reader
