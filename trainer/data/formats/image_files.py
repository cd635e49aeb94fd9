"""Which files are images that the trainer reads, by the suffixes of their names."""

from collections.abc import Collection

from trainer.data.images import kinds
from trainer.data.passed_over import PassedOver, counted


def is_image(name: str) -> bool:
    """Whether a file name promises an image that is read."""
    kind = kinds.suffix_kind(name)
    return kind is not None and kind.read


def passed_over(names: Collection[str], system: int) -> PassedOver:
    """What is no image that is read.

    Args:
      names: those of all files, without hidden and system files.
      system: number of hidden and system files.
    """
    unread = [name for name in names if kinds.suffix_kind(name) and not is_image(name)]
    other = [name for name in names if not kinds.suffix_kind(name)]
    return PassedOver(system=system, unread=counted(unread), other=counted(other))
