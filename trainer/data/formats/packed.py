"""The packed format: ArrayRecord shards of images, an index, and a manifest that is written last.

manifest.json                        classes, splits and shards; without it the folder is not a dataset yet
train-00000-of-00012.array_record    one record per image: a JPEG, or pixels [H, W, 3] uint8
train.index.npy                      one row of INDEX per image, in the order of the records
train.names.txt                      one line per image: its name in the source
"""

import bisect
import functools
import io
import itertools
import json
import math
import resource
import threading
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import BadImage, Encoded, check_label
from trainer.data.formats.dataset import Dataset, Top
from trainer.data.names import plain_name, printable
from trainer.data.staging import LocalShards, StagedShards, open_shards
from trainer.data.storage import Place, storage_errors
from trainer.errors import CONTROL, DataError

MANIFEST = "manifest.json"
CHUNK_BYTES = 2**24
FORMAT = "resnet-launch packed 1"
ENCODINGS = ("jpeg", "raw")
# crc32c: of the record. height, width: of the stored image; records of raw pixels have no header with them.
INDEX = np.dtype([("label", "<i4"), ("crc32c", "<u4"), ("bytes", "<u4"), ("height", "<u2"), ("width", "<u2")])
READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"  # suits single records in any order


def read_manifest(place: Place) -> dict[str, Any]:
    """The content of manifest.json.

    Raises:
      DataError: it is missing, damaged or of another version.
    """
    address = place.address(MANIFEST)
    try:
        manifest = json.loads(place.read(MANIFEST))
        version = manifest["format"]
        if version == FORMAT:
            _check(manifest, address)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"data: {address} is damaged: {repr(error)[:200]}", "pack it again") from None
    if version != FORMAT:
        raise DataError(f"data: {address} must be of format {FORMAT!r}, got {printable(repr(version))[:100]}")
    return manifest


def _read_through(path: Path) -> None:
    """Read a file to its end and drop it; an OSError if the disk fails."""
    with path.open("rb") as file:
        while file.read(CHUNK_BYTES):
            pass


def _check(manifest: dict[str, Any], address: str) -> None:
    """Check every entry that the reader uses, the names of splits and shards first of all.

    Raises:
      DataError: a name leads out of the folder.
      KeyError, TypeError, AttributeError, ValueError: an entry is missing, of another type or impossible.
    """
    if manifest["encoding"] not in ENCODINGS:
        raise ValueError(f"encoding {manifest['encoding']!r}")
    classes = manifest["classes"]
    if not classes or not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise TypeError("classes must be a list of names")
    if wrong := next((name for name in classes if CONTROL.search(name)), None):
        raise ValueError(f"class {printable(wrong)[:100]}, which has control characters")
    for name, split in manifest["splits"].items():
        if "/" in plain_name(name, address):
            raise ValueError(f"split {name!r}")
        shards = [plain_name(shard["name"], address) for shard in split["shards"]]
        if len(set(shards)) < len(shards):
            raise ValueError(f"split {name!r} lists a shard twice")
        for count in (shard[key] for shard in split["shards"] for key in ("images", "bytes")):
            if type(count) is not int or not 0 <= count < 2**53:
                raise ValueError(f"a shard of {count!r} images or bytes")


def matches(top: Top) -> Dataset | None:
    """The dataset of a folder with a manifest.

    Raises:
      DataError: the manifest is damaged, or the dataset is not whole.
    """
    place = top.place
    if MANIFEST in top.files:
        splits = read_manifest(place)["splits"]
        shards = {s: {shard["name"]: shard["bytes"] for shard in splits[s]["shards"]} for s in splits}
        return Dataset(place=place, kind="packed", splits={s: s for s in splits}, shards=shards)
    if "pack.json" in top.files:
        raise DataError(
            f"data: {place.path} is not finished", "run the same `data pack` command again to finish it"
        )
    if any(name.endswith(".index.npy") for name in top.files):
        raise DataError(
            f"data: {place.path} is a packed dataset without its {MANIFEST}", "copy or pack it again"
        )
    return None


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """One split of a packed dataset; shards of a bucket start to be fetched.

    Raises:
      DataError: the manifest, index or a shard is missing or damaged.
    """
    place = dataset.place
    manifest = read_manifest(place)
    shards = manifest["splits"][split]["shards"]
    index = _index(place, split, sum(shard["images"] for shard in shards))
    sizes = {shard["name"]: shard["bytes"] for shard in shards}
    records = Records(open_shards(place, sizes, config.stage, config.stage_gib), place, shards)
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
        shape = int(row["height"]), int(row["width"]), 3
        if not record or len(record) != math.prod(shape):
            raise BadImage(f"the record must hold {shape[1]} x {shape[0]} pixels, got {len(record)} bytes")
        return np.frombuffer(record, np.uint8).reshape(shape), label

    return Encoded(
        format="packed",
        class_names=manifest["classes"],
        size=len(index),
        read=read,
        labels=index["label"],
        name=lambda position: f"{records.name(position)} ({_names(place, split)[position]})",
    )


def _index(place: Place, split: str, images: int) -> np.ndarray:
    """The rows of a split, [images] of INDEX."""
    name = f"{split}.index.npy"
    data = place.read(name)
    file = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("an unknown version of .npy")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # numpy parses the header as Python, and raises what Python raises
        reason = printable(str(error))[:200]
        raise DataError(f"data: {place.address(name)} is damaged: {reason}", "pack it again") from None
    if dtype != INDEX or shape != (images,):
        raise DataError(f"data: {place.address(name)} must hold {images} rows, got {shape}", "pack it again")
    rows = data[file.tell() :]
    if len(rows) != images * INDEX.itemsize:
        raise DataError(f"data: {place.address(name)} is damaged: its end is missing", "pack it again")
    return np.frombuffer(rows, INDEX)


@functools.cache
def _names(place: Place, split: str) -> list[str]:
    """The names of a split's images in the source; read only where a message needs one."""
    return place.read(f"{split}.names.txt").decode(errors="replace").splitlines()


class Records:
    """The records of several ArrayRecord files as one sequence; safe in threads.

    Args:
      shards: one dict per shard, with its ``name`` and the number of ``images`` in it.
    """

    def __init__(self, files: StagedShards | LocalShards, place: Place, shards: list[dict[str, Any]]):
        self._files, self._place, self._shards = files, place, shards
        self._ends = list(itertools.accumulate(shard["images"] for shard in shards))
        self._readers: dict[int, Any] = {}
        self._lock = threading.Lock()
        _allow_open_files(len(shards))

    @property
    def size(self) -> int:
        """Number of records."""
        return self._ends[-1] if self._ends else 0

    def find(self, position: int) -> tuple[int, int]:
        """The number of the shard that holds a record, and the record's number in it."""
        shard = bisect.bisect_right(self._ends, position)
        return shard, position - (self._ends[shard - 1] if shard else 0)

    def name(self, position: int) -> str:
        """The shard and number of a record, for messages."""
        shard, row = self.find(position)
        return f"{self._place.address(self._shards[shard]['name'])} record {row}"

    def read(self, position: int) -> bytes:
        """The bytes of a record.

        Raises:
          BadImage: the record is damaged.
          DataError: the shard is damaged or missing.
        """
        shard, row = self.find(position)
        reader = self._readers.get(shard) or self._open(shard)
        try:
            return reader.read([row])[0]
        except (RuntimeError, ValueError, IndexError) as error:
            raise BadImage(f"the record cannot be read: {' '.join(str(error).split())[:200]}") from None

    def _open(self, shard: int) -> Any:
        name, images = self._shards[shard]["name"], self._shards[shard]["images"]
        path = self._files.path(name)
        with self._lock:
            if shard not in self._readers:
                self._readers[shard] = open_shard(path, self._place.address(name), images)
            return self._readers[shard]


def _allow_open_files(count: int) -> None:
    """Raise this process's limit of open files by ``count``, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + count
    if soft != resource.RLIM_INFINITY:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def open_shard(path: Path, address: str, images: int | None = None) -> Any:
    """Open one ArrayRecord file for random access.

    Args:
      path: the local file.
      address: the shard's full address, for messages.
      images: the number of records that it must hold; None: any.

    Raises:
      DataError: the file is missing, damaged or has another number of records.
    """
    from array_record.python.array_record_module import ArrayRecordReader

    if not path.is_file():
        raise DataError(f"data: shard {address} does not exist", "copy or pack it again")
    try:
        reader = ArrayRecordReader(str(path), READER_OPTIONS)
        records = reader.num_records()
        if not reader.ok():
            raise ValueError("its end is missing")
    except (RuntimeError, ValueError, OSError) as error:
        with storage_errors(address):  # damage is what can be read and makes no sense
            _read_through(path)
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"data: shard {address} is damaged: {reason}", "copy or pack it again") from None
    if images is not None and records != images:
        raise DataError(f"data: shard {address} must hold {images} records, got {records}", "copy it again")
    return reader
