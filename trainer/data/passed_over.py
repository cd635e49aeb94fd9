"""Files that no dataset uses: those of operating systems and tools, and images of kinds that are not read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

# Names that file managers, storage boxes and notebooks write beside the user's files, in lower case.
SYSTEM_NAMES = frozenset(
    (
        *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "folder.htt"),  # Windows
        *("$recycle.bin", "recycler", "system volume information", "found.000"),
        *("lost+found", "lost.dir"),  # Linux, Android
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@sharebin"),  # Synology
        *("@recycle", "@recently-snapshot", "@__thumb", "@transcode"),  # QNAP
        *("__pycache__", "picasa.ini", "zbthumbnail.info", "sync.ffs_db"),
    )
)
SYSTEM_PREFIXES = (".", "~$")  # hidden files, ._x of macOS among them; locks of office programs


def is_system(part: str) -> bool:
    """Whether a file or folder of this name, without its path, is hidden or a system's own."""
    return part.startswith(SYSTEM_PREFIXES) or part.casefold() in SYSTEM_NAMES


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """What a split holds beside its images.

    Args:
      system: number of files and folders that are hidden or a system's own.
      unread: suffix -> number of image files of a kind that is not read.
      other: suffix -> number of all other files.
      unlisted: number of images that no list of the dataset names.
    """

    system: int = 0
    unread: Mapping[str, int] = field(default_factory=dict)
    other: Mapping[str, int] = field(default_factory=dict)
    unlisted: int = 0

    def texts(self) -> list[str]:
        """What was passed over, for people: one text for each group that has any."""
        unread, other = sum(self.unread.values()), sum(self.other.values())
        texts = [f"images that are not read: {unread:,} ({_listed(self.unread)})"] if unread else []
        texts += [f"images that no list names: {self.unlisted:,}"] if self.unlisted else []
        texts += [f"other files: {other:,} ({_listed(self.other)})"] if other else []
        texts += [f"hidden and system files: {self.system:,}"] if self.system else []
        return texts


NOTHING = PassedOver()


def suffix(name: str) -> str:
    """The suffix of a file name in lower case, with its dot; empty where it has none."""
    return os.path.splitext(name)[1].lower()


def _listed(counts: Mapping[str, int], most: int = 8) -> str:
    listed = ", ".join(f"{ending} {count:,}" for ending, count in list(counts.items())[:most])
    return listed + (", …" if len(counts) > most else "")
