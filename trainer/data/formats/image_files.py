"""Which files are images that the trainer reads, by the suffixes of their names."""

from collections import Counter
from collections.abc import Iterable

from trainer.data.images import kinds
from trainer.data.passed_over import PassedOver, suffix


def is_image(name: str) -> bool:
    """Whether a file name promises an image that is read."""
    return suffix(name) in kinds.READ_SUFFIXES


def passed_over(names: Iterable[str], system: int, listed: bool = True) -> PassedOver:
    """What is no image that is read.

    Args:
      names: those of all files, without hidden and system files.
      system: number of hidden and system files.
      listed: whether the images among ``names`` are examples; if not, they are counted as passed over.
    """
    counts = Counter(map(suffix, names)).most_common()
    unread = {s: count for s, count in counts if s in kinds.SUFFIXES and s not in kinds.READ_SUFFIXES}
    other = {s or "no suffix": count for s, count in counts if s not in kinds.SUFFIXES}
    unlisted = 0 if listed else sum(count for s, count in counts if s in kinds.READ_SUFFIXES)
    return PassedOver(system=system, unread=unread, other=other, unlisted=unlisted)
