"""Parquet files of images, as Hugging Face ships them: a column of images, and one of labels.

An image is a struct with its ``bytes``, or a binary value. Files lie at the top, in ``data/`` or in a folder
of one configuration. Rows cannot be read one by one, so each file is unpacked once (`parquet_file`).
"""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import MAX_IMAGE_BYTES, BadImage, Encoded, check_label, numbered_classes
from trainer.data.formats import class_names, label_texts, parquet_file
from trainer.data.formats.dataset import Dataset, Top, named_splits, top_of
from trainer.data.formats.shards import dataset_of, split_folders
from trainer.data.formats.unpacked import UnpackedShards
from trainer.data.names import class_name
from trainer.data.staging import open_shards
from trainer.data.storage import Place
from trainer.errors import DataError

SUFFIX = ".parquet"
# train-00000-of-00003.parquet, also with 16 digits of a hash behind it; train.parquet, NAME-train-0.parquet
SHARD = re.compile(
    r"(?:.*?[-_.])??(?P<split>(?!of)[A-Za-z]+)"
    r"(?:-(?P<number>\d{5})-of-(?P<of>\d{5})(?:-[0-9a-f]{16})?|[-_.]?(?P<plain>\d{1,7})?)\.parquet"
)
PROBED = 16  # folders that are listed to find the files
THREADS = 4  # files that are unpacked at a time
MOST_TIMES = 100  # its own size that a file may unpack to


def matches(top: Top) -> Dataset | None:
    """The dataset of Parquet files at the top, in ``data/``, or in the folder that ``data.subset`` names.

    Raises:
      DataError: several folders hold files, and ``data.subset`` names none of them; or files are missing.
    """
    if dataset := _dataset(top):
        return dataset
    inside = {}
    # Beside folders of splits, files in another folder are not the dataset.
    for name in [] if named_splits(top.folders) else top.folders[:PROBED]:
        if dataset := _dataset(top_of(Place(top.place.address(name)))):
            inside[name] = dataset
    if not inside:
        return None
    names = [top.subset] if top.subset else list(inside)
    if len(names) > 1 or names[0] not in inside:
        raise DataError(
            f"data.subset: must be a folder of Parquet files in {top.place.path}, "
            f"one of {', '.join(inside)}, got {top.subset!r}",
            f"--set data.subset={next(iter(inside))}; the data verbs take --subset {next(iter(inside))}",
        )
    dataset = inside[names[0]]
    others = tuple(name for name in top.folders if name != names[0])
    return Dataset(
        place=dataset.place,
        kind=dataset.kind,
        splits=dataset.splits,
        unused=(*dataset.unused, *others),
        shards=dataset.shards,
        subset=top.subset,
    )


def _dataset(top: Top) -> Dataset | None:
    return dataset_of(top, "parquet", SHARD, split_folders(top, (SUFFIX,)))


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """One split; every file of it is unpacked first.

    Raises:
      DataError: a file is damaged, or its columns are unknown or differ between files.
    """
    place = dataset.place
    files, indices = _open(dataset, split, config)
    names = list(dataset.shards[split])
    shard = np.repeat(np.arange(len(names)), [len(index.rows) for index in indices])
    rows = np.concatenate([index.rows for index in indices])
    row = np.concatenate([np.arange(len(index.rows)) for index in indices])
    classes, labels = _labels(dataset, split, config, indices, rows["label"])

    def name(position: int) -> str:
        return f"{place.address(names[shard[position]])} row {row[position]}"

    def read(position: int) -> tuple[bytes, int]:
        start, size = int(rows["start"][position]), int(rows["size"][position])
        if size < 0:
            raise BadImage("its row must hold the bytes of an image, got none")
        if size > MAX_IMAGE_BYTES:
            raise BadImage(f"it must have at most 1 GiB, got {size / 2**30:.1f}")
        content = parquet_file.content(files.path(names[shard[position]]), start, size)
        return content, check_label(int(labels[position]), len(classes))

    return Encoded(format="parquet", class_names=classes, size=len(rows), read=read, name=name, labels=labels)


def _open(
    dataset: Dataset, split: str, config: DataConfig
) -> tuple[UnpackedShards, list[parquet_file.Index]]:
    place, sizes = dataset.place, dataset.shards[split]
    parquet_file.require()
    shards = open_shards(place, sizes, config.stage, config.stage_gib)
    files = UnpackedShards(
        shards, place, parquet_file.unpack, config, packed=lambda name: True, most_times=MOST_TIMES
    )
    with ThreadPoolExecutor(THREADS) as pool:
        indices = list(pool.map(lambda name: parquet_file.index(files.path(name)), sizes))
    for name, index in zip(sizes, indices, strict=True):
        if index.names != indices[0].names:
            raise DataError(
                f"data: {place.address(name)} must have the classes of {place.address(next(iter(sizes)))}, "
                "got others"
            )
    return files, indices


def _labels(
    dataset: Dataset, split: str, config: DataConfig, indices: list[parquet_file.Index], numbers: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """The classes, and the label of each row [N] int32; -1 where a row has none.

    Labels that are texts are numbered in each file in the order in which they appear.

    Raises:
      DataError: a text is none of the classes.
    """
    place = dataset.place
    if indices[0].names is not None:
        return [class_name(name, f"a class in {place.path}") for name in indices[0].names], numbers
    listed = class_names.from_file(place)
    if not any(index.texts for index in indices):
        largest = int(numbers.max()) if numbers.size else -1
        return listed or numbered_classes(max(largest + 1, 0), place.path), numbers
    training = indices
    if listed is None and split != "train" and "train" in dataset.splits:
        training = _open(dataset, "train", config)[1]
    addresses = [place.address(name) for name in dataset.shards[split]]
    every = {class_name(text, f"a label in {place.path}") for index in training for text in index.texts}
    classes = listed or label_texts.classes_of(every, place.path)
    by_name = {name: position for position, name in enumerate(classes)}
    parts = []
    for address, index in zip(addresses, indices, strict=True):
        positions = [_position(text, by_name, address) for text in index.texts]
        parts.append(np.array([*positions, -1], np.int32)[index.rows["label"]])
    return classes, np.concatenate(parts)


def _position(text: str, by_name: dict[str, int], address: str) -> int:
    """The label of a text; raises DataError where it is no class."""
    name = class_name(text, f"a label in {address}")
    if name not in by_name:
        raise DataError(
            f"data: labels in {address} must be among the {len(by_name):,} classes, got {name!r}",
            "the classes are those of classes.txt, or the labels of training",
        )
    return by_name[name]
