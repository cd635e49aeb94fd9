"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as their archives unpack, for Python and binary.

cs.toronto.edu/~kriz/cifar.html describes both. Their images are 32 x 32 pixels: all of red, then green, blue.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import Encoded, check_label, parse_class_names
from trainer.data.formats import cifar_pickle
from trainer.data.formats.dataset import Dataset, Top, top_of
from trainer.data.names import class_name
from trainer.data.storage import Place
from trainer.errors import DataError

SIDE = 32
PIXELS = 3 * SIDE * SIDE  # bytes per image
MAX_BYTES = 2**28  # of a file; the largest, CIFAR-100's train for Python, has 155 MB
COARSE = "coarse"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The files of one archive.

    Args:
      train, test: files of the splits.
      names: the file of class names; of CIFAR-100's binary archive that of the fine ones.
      binary: whether the files are records of bytes; else they are pickles.
      hundred: whether images have a fine and a coarse label.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    binary: bool
    hundred: bool


BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
# The folder that an archive unpacks to -> its files.
ARCHIVES = {
    "cifar-10-batches-py": Archive(
        train=BATCHES, test=("test_batch",), names="batches.meta", binary=False, hundred=False
    ),
    "cifar-100-python": Archive(train=("train",), test=("test",), names="meta", binary=False, hundred=True),
    "cifar-10-batches-bin": Archive(
        train=tuple(f"{name}.bin" for name in BATCHES),
        test=("test_batch.bin",),
        names="batches.meta.txt",
        binary=True,
        hundred=False,
    ),
    "cifar-100-binary": Archive(
        train=("train.bin",), test=("test.bin",), names="fine_label_names.txt", binary=True, hundred=True
    ),
}


def matches(top: Top) -> Dataset | None:
    """The dataset of an unpacked archive, or of a folder that holds one.

    Raises:
      DataError: there are several archives, or files are missing.
    """
    if archive := _archive(top):
        return _dataset(top, "", archive)
    inside = [name for name in top.folders if name in ARCHIVES]
    if len(inside) > 1:
        raise DataError(
            f"data: {top.place.path} must hold one dataset, got {', '.join(inside)}",
            f"name one of them: {top.place.address(inside[0])}",
        )
    for name in inside:
        folder = top_of(Place(top.place.address(name)))
        if archive := _archive(folder):
            return _dataset(folder, f"{name}/", archive, top)
    return None


def _archive(top: Top) -> Archive | None:
    """The archive whose first file for training and class names lie in a folder, complete or not."""
    for archive in ARCHIVES.values():
        if archive.names in top.files and not {*archive.train, *archive.test}.isdisjoint(top.files):
            return archive
    return None


def _dataset(folder: Top, prefix: str, archive: Archive, top: Top | None = None) -> Dataset:
    place = folder.place
    for files in (archive.train, archive.test):
        missing = [name for name in files if name not in folder.files]
        if missing:
            raise DataError(
                f"data: {place.path} must hold {', '.join(files)}, got all but {', '.join(missing)}",
                "unpack the archive again",
            )
    too_large = next(
        (name for name in (*archive.train, *archive.test) if folder.files[name] > MAX_BYTES), None
    )
    if too_large:
        size = folder.files[too_large] / 2**20
        raise DataError(f"data: {place.address(too_large)} must have at most 256 MiB, got {size:,.0f}")
    subset = (top or folder).subset
    if subset and (subset != COARSE or not archive.hundred):
        return Dataset(place=place, kind="cifar", splits={"train": "train"})
    return Dataset(
        place=place,
        kind="cifar",
        splits={"train": "train", "test": "test"},
        subset=subset,
    )


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """One split: pixels [32, 32, 3] uint8 in memory.

    Raises:
      DataError: a file is damaged; the message names it.
    """
    place = dataset.place
    top = top_of(place)
    archive = _archive(top)
    if archive is None:
        raise DataError(f"data: {place.path} has changed since it was listed")
    files = archive.train if split == "train" else archive.test
    coarse = dataset.subset == COARSE
    parse = _binary if archive.binary else cifar_pickle.batch
    parts = [_parsed(place, name, parse, archive.hundred, coarse) for name in files]
    pixels = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([numbers for _, numbers in parts])
    names = _class_names(place, archive, coarse)
    ends = list(itertools.accumulate(len(numbers) for _, numbers in parts))

    def read(index: int) -> tuple[np.ndarray, int]:
        planes = pixels[index].reshape(3, SIDE, SIDE)
        return np.ascontiguousarray(planes.transpose(1, 2, 0)), check_label(int(labels[index]), len(names))

    def name(index: int) -> str:
        file = next(number for number, end in enumerate(ends) if index < end)
        return f"{place.address(files[file])} example {index - (ends[file - 1] if file else 0)}"

    return Encoded(format="cifar", class_names=names, size=len(labels), read=read, name=name, labels=labels)


Parse = Callable[[bytes, bool, bool], tuple[np.ndarray, np.ndarray]]


def _parsed(
    place: Place, name: str, parse: Parse, hundred: bool, coarse: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, 3072] uint8 and labels [n] int32 of a file."""
    try:
        images, labels = parse(place.read(name), hundred, coarse)
        if images.ndim != 2 or images.shape[1] != PIXELS or len(images) != len(labels):
            shape = " x ".join(map(str, images.shape))
            raise ValueError(f"{shape} bytes of images and {len(labels):,} labels")
    except (ValueError, ArithmeticError, LookupError, TypeError) as error:
        raise _damaged(place, name, error) from None
    return images, labels


def _damaged(place: Place, name: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:200]
    return DataError(
        f"data: {place.address(name)} must be a file of CIFAR, got {reason}", "unpack the archive again"
    )


def _binary(content: bytes, hundred: bool, coarse: bool) -> tuple[np.ndarray, np.ndarray]:
    """As `cifar_pickle.batch`: an image is its label, or coarse and fine label, and its pixels."""
    record = PIXELS + 1 + hundred
    if not content or len(content) % record:
        raise ValueError(f"{len(content):,} bytes, which is no multiple of {record:,}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    return rows[:, 1 + hundred :], rows[:, int(hundred and not coarse)].astype(np.int32)


def _class_names(place: Place, archive: Archive, coarse: bool) -> list[str]:
    file = archive.names.replace("fine", "coarse") if coarse else archive.names
    content = place.read(file)
    if archive.binary:
        return parse_class_names(content.rstrip() + b"\n", place.address(file))
    try:
        names: Iterable[str] = cifar_pickle.class_names(content, archive.hundred, coarse)
    except (ValueError, ArithmeticError, LookupError, TypeError) as error:
        raise _damaged(place, file, error) from None
    return [class_name(name, f"a name in {place.address(file)}") for name in names]
