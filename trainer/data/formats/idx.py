"""IDX files, and Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747) as Debian packages it.

Names have a dash or a dot before "idx". EMNIST (`emnist`) is IDX too: several datasets in one folder.
"""

import re

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import Encoded, check_label
from trainer.data.formats import emnist
from trainer.data.formats.class_names import from_file
from trainer.data.formats.dataset import Dataset, Top
from trainer.data.formats.idx_file import read_idx
from trainer.data.source import Source, from_arrays
from trainer.data.storage import Place
from trainer.errors import DataError

DEBIAN_ROOT = "/usr/share/datasets/fashion-mnist"
# The name of a file of images; EMNIST's names begin with that of one of its datasets.
FILE = re.compile(
    r"(?P<stem>(?:emnist-(?P<subset>[a-z]+)-)?(?P<split>train|t10k|test))-images[-.]idx3-ubyte(?:\.gz)?"
)
SPLITS = {"train": "train", "t10k": "test", "test": "test"}
CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)  # fmt: skip


def load(split: str, config: DataConfig) -> Source:
    """Fashion-MNIST: images [N, 28, 28, 1] uint8, 60,000 for training and 10,000 for testing.

    Raises:
      DataError: as `read_split`.
    """
    stem = "train" if split == "train" else "t10k"
    images, labels, _ = read_split(Place(config.root or DEBIAN_ROOT), stem, "data.root")
    # Mean and standard deviation of the training pixels, scaled to 0..1.
    return from_arrays("fashion-mnist", images, labels, CLASSES, mean=0.2860, std=0.3530)


def source(dataset: Dataset, split: str) -> Source:
    """One split as it is stored, with the mean and deviation of its training pixels.

    Raises:
      DataError: as `read_split`.
    """
    place, stems = dataset.place, dataset.splits
    images, labels, names = read_split(place, stems[split])
    training_images = images if split == "train" else read_split(place, stems["train"])[0]
    mean, std = float(training_images.mean() / 255), float(training_images.std() / 255)
    return from_arrays(place.path, images, labels, names, mean=mean, std=std or 1.0)


def matches(top: Top) -> Dataset | None:
    """The dataset of a folder of IDX files; a split is called by the beginning of its files' names.

    Raises:
      DataError: the folder holds several datasets of EMNIST, and ``data.subset`` names none of them.
    """
    files = [match for name in top.files if (match := FILE.fullmatch(name))]
    subsets = sorted({match["subset"] or "" for match in files})
    subset = subsets[0] if len(subsets) == 1 else top.subset
    if files and subset not in subsets:
        listed = ", ".join(name or "one without a name" for name in subsets)
        raise DataError(
            f"data.subset: must be one of the datasets in {top.place.path}, {listed}, got {subset!r}",
            f"--set data.subset={subsets[-1]}; the data verbs take --subset {subsets[-1]}",
        )
    splits = {SPLITS[match["split"]]: match["stem"] for match in files if (match["subset"] or "") == subset}
    if not splits:
        return None
    others = tuple(f"emnist-{name}" for name in subsets if name != subset)
    asked = top.subset if top.subset == subset else ""
    ordered = {split: splits[split] for split in ("train", "test") if split in splits}
    return Dataset(place=top.place, kind="idx", splits=ordered, unused=others, subset=asked)


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """One split, its grey images as RGB pixels.

    Raises:
      DataError: as `read_split`.
    """
    pixels, labels, names = read_split(dataset.place, dataset.splits[split])

    def read(index: int) -> tuple[np.ndarray, int]:
        return np.repeat(pixels[index], 3, axis=-1), check_label(int(labels[index]), len(names))

    return Encoded(
        format="idx",
        class_names=names,
        size=len(labels),
        read=read,
        name=lambda index: f"{dataset.place.path} {split} example {index}",
        labels=labels.astype(np.int32),
    )


def read_split(place: Place, stem: str, field: str = "data") -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images [N, H, W, 1] uint8, labels [N] and class names of one split; files may be gzipped.

    Args:
      stem: the beginning of the names of its files.
      field: the setting that names the folder, for messages.

    Raises:
      DataError: as `read_idx`, or the numbers of images and labels differ.
    """
    images = read_idx(place, f"{stem}-images", 3, field)[..., None]
    labels = read_idx(place, f"{stem}-labels", 1, field)
    if len(images) != len(labels):
        raise DataError(
            f"{field}: {stem} of {place.path} must hold one label per image, "
            f"got {len(images)} images and {len(labels)} labels"
        )
    if subset := emnist.subset(stem):
        return emnist.upright(images), *emnist.classes(place, subset, labels)
    classes = int(labels.max()) + 1 if labels.size else 0
    names = from_file(place) or [str(number) for number in range(classes)]
    return images, labels, names
