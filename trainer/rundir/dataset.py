"""``dataset.json`` of a run directory: the classes of a run and the images that its network expects.

With it a run predicts, evaluates and exports without its training data, and is not resumed on other classes.
"""

import dataclasses
import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from etils import epath

from trainer.errors import ConfigError, RunDirectoryError
from trainer.rundir import files

NAME = "dataset.json"
LISTS = ("class_names", "mean", "std")
MAX_IMAGE_PIXELS = 16_384  # of a side


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """What a trained network must know of its dataset.

    Attributes:
      class_names: names of the classes, in the order of the logits.
      image_size: height and width of the input in pixels.
      mean: mean of each channel, for images scaled to 0..1.
      std: standard deviation of each channel, on the same scale.
      crop: share of an image's shorter side that the centre crop of an evaluation takes, 0 to 1.
      images: number of training images, from which the order of the batches follows.
    """

    class_names: tuple[str, ...]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float
    images: int | None = None  # number of training images; None in the records of older versions


def read(root: epath.Path) -> DatasetRecord | None:
    """Return the record in a run directory; None in the directories of older versions, which lack it.

    Raises:
      ConfigError: the file is damaged.
    """
    path = root / NAME
    text = files.read(path)
    if text is None:
        return None
    try:
        fields: dict[str, Any] = json.loads(text)
        lists = {name: tuple(fields[name]) for name in LISTS}
        if wrong := [name for name in LISTS if not isinstance(fields[name], list) or not fields[name]]:
            raise ValueError(f"{wrong[0]} that is no list, or an empty one")
        values: dict[str, Any] = fields | lists
        return _checked(DatasetRecord(**values))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        hint = "restore the file; without it, the dataset of the run is read for the names of its classes"
        raise ConfigError(f"{path}: must hold the classes of a run as JSON, got {error}", hint) from None


def _checked(record: DatasetRecord) -> DatasetRecord:
    """Return a record whose values are of their types and within bounds; raise ValueError for another."""
    if not all(isinstance(name, str) for name in record.class_names):
        raise ValueError("class_names that are not all text")
    if type(record.image_size) is not int or not 1 <= record.image_size <= MAX_IMAGE_PIXELS:
        raise ValueError(f"image_size {repr(record.image_size)[:80]}")
    numbers = (*record.mean, *record.std, record.crop)
    if not all(type(number) in (int, float) and abs(number) < 1e9 for number in numbers):
        raise ValueError("mean, std or crop that are not numbers")
    if len(record.mean) != len(record.std) or len(record.mean) not in (1, 3):
        raise ValueError(f"{len(record.mean)} means and {len(record.std)} deviations")
    if record.images is not None and (type(record.images) is not int or record.images < 1):
        raise ValueError(f"images {repr(record.images)[:80]}")
    if min(record.std) <= 0 or not 0 < record.crop <= 1:
        raise ValueError("std that is not above 0, or crop that is not above 0 and at most 1")
    return record


def write(root: epath.Path, record: DatasetRecord) -> None:
    """Write the record unless the directory holds it already; readers see a whole file or none."""
    path, text = root / NAME, json.dumps(dataclasses.asdict(record), indent=2) + "\n"
    if files.read(path) != text:
        files.write(path, text)


def check(root: epath.Path, record: DatasetRecord) -> str:
    """Check that a run continues with the classes and images that it has learnt.

    Args:
      root: run directory; one without a checkpoint continues nothing, and is not checked.
      record: that of the dataset as it is now.

    Returns:
      A warning, empty where nothing had to be assumed.

    Raises:
      RunDirectoryError: the run has other classes or images; the message states the first difference.
    """
    if not files.has_checkpoint(root):
        return ""
    before = read(root)
    if before is None:
        return (
            f"run directory {root} was written by a version that kept no class names; it is assumed to be "
            f"trained for those of its dataset now: {listed(record.class_names)}"
        )
    if difference := first_difference(before.class_names, record.class_names):
        hint = "give the classes of the dataset their names back, or start another run with train.init"
        raise RunDirectoryError(f"run directory {root} holds a run of other classes: {difference}", hint)
    for name in ("image_size", "mean", "std"):
        old, new = getattr(before, name), getattr(record, name)
        if not _close(old, new):
            hint = "use another --name or --run-dir, or the dataset that the run was started with"
            raise RunDirectoryError(f"run directory {root} holds a run with {name} {old}, got {new}", hint)
    if before.images is not None and before.images != record.images:
        return (
            f"the dataset had {before.images:,} training images and has {record.images:,} now: "
            "the batches that follow are not those of an unbroken run"
        )
    return ""


def first_difference(before: Sequence[str], now: Sequence[str]) -> str:
    """Return the first class that differs between two lists; empty if they are the same.

    Names that differ only in how Unicode composes their letters are the same.
    """
    old, new = map(normalised, before), map(normalised, now)
    equal = next((i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), None)
    if equal is None and len(before) == len(now):
        return ""
    position = min(len(before), len(now)) if equal is None else equal
    was, got = (repr(names[position]) if position < len(names) else "none" for names in (before, now))
    return f"class {position} of {len(before):,} is {was}, got {got} of {len(now):,}"


def normalised(name: str) -> str:
    """Return a class name as names are compared: in Unicode's normal form C (UAX 15)."""
    return unicodedata.normalize("NFC", name)


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first names for a message, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _close(old: float | tuple[float, ...], new: float | tuple[float, ...]) -> bool:
    """Return whether numbers are the same but for the rounding of another processor."""
    if isinstance(old, tuple) and isinstance(new, tuple):
        return len(old) == len(new) and all(map(_close, old, new))
    return not isinstance(old, tuple) and not isinstance(new, tuple) and math.isclose(old, new, rel_tol=1e-6)
