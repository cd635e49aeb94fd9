"""Dataset: the format, the splits and the shards at a path, found from the names of files alone."""

from collections.abc import Collection
from dataclasses import dataclass, field

from trainer.data.encoded import SPLIT_NAMES
from trainer.data.passed_over import is_system
from trainer.data.storage import Place


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset at a path.

    Args:
      kind: its format: the name of a module of `trainer.data.formats`.
      splits: the trainer's name of a split -> its name in this dataset.
      unused: names of other splits and folders there, which nothing reads.
      shards: split -> {name of a shard: bytes}; empty for formats without shards.
      subset: which of several datasets there it is; empty: the only one.
      held_out: whether the test split is a part of the training split, by ``data.val_share``.
    """

    place: Place
    kind: str
    splits: dict[str, str]
    unused: tuple[str, ...] = ()
    shards: dict[str, dict[str, int]] = field(default_factory=dict)
    subset: str = ""
    held_out: bool = False


@dataclass(frozen=True, kw_only=True)
class Top:
    """What lies directly in the folder of a dataset, without hidden and system names.

    Args:
      folders: sorted names.
      files: name -> bytes.
      subset: which of several datasets there is asked for; empty: the only one.
    """

    place: Place
    folders: list[str]
    files: dict[str, int]
    subset: str = ""


def top_of(place: Place, subset: str = "") -> Top:
    """List a folder; both parts are empty where it does not exist."""
    folders, files = place.top_level()
    return Top(
        place=place,
        folders=[name for name in folders if not is_system(name)],
        files={name: size for name, size in files.items() if not is_system(name)},
        subset=subset,
    )


def named_splits(names: Collection[str]) -> dict[str, str]:
    """The trainer's name of a split -> the name among ``names`` that means it, in any case of letters.

    Of several, the first in SPLIT_NAMES, and the one in lower case first.
    """
    splits = {}
    for split, accepted in SPLIT_NAMES.items():
        matching = [
            (accepted.index(name.casefold()), name != name.casefold(), name)
            for name in names
            if name.casefold() in accepted
        ]
        if matching:
            splits[split] = min(matching)[2]
    return splits
