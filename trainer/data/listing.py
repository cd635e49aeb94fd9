"""Files below a folder: which there are, and what stands in their place where it is no file."""

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import DataError

Skip = Callable[[str], bool]
Guard = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files below a folder.

    Args:
      sizes: name -> bytes, sorted by name.
      unusable: name -> what is there instead of a file, such as "a link to nowhere".
      skipped: number of files and folders that were left out.
    """

    sizes: dict[str, int]
    unusable: dict[str, str]
    skipped: int


def local_files(root: str, subfolder: str, skip: Skip, errors: Guard) -> Listing:
    """Every file below a local subfolder, by its name relative to ``root``; links are followed.

    Args:
      skip: whether files and folders of a name, without its path, are left out.
      errors: converts the error of a folder that cannot be listed; it must not look like an empty one.
    """
    sizes, unusable, skipped = {}, {}, 0
    pending: list[tuple[str, tuple[tuple[int, int], ...]]] = [(subfolder, ())]
    while pending:
        folder, above = pending.pop()
        path = os.path.join(root, folder)
        with errors(path):
            entries, status = list(os.scandir(path)), os.stat(path)
        here = (*above, (status.st_dev, status.st_ino))
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if skip(entry.name):
                skipped += 1
            elif isinstance(size := _size(entry, here), int):
                sizes[name] = size
            elif size:
                unusable[name] = size
            else:
                pending.append((name, here))
    return Listing(sizes=dict(sorted(sizes.items())), unusable=unusable, skipped=skipped)


def _size(entry: os.DirEntry[str], above: tuple[tuple[int, int], ...]) -> int | str:
    """The bytes of a file; what there is instead of one; "" for a folder that is to be listed."""
    try:
        if entry.is_dir():
            status = entry.stat()
            looped = entry.is_symlink() and (status.st_dev, status.st_ino) in above
            return "a link to a folder above it" if looped else ""
        status = entry.stat()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return "a link to nowhere" if isinstance(error, FileNotFoundError) else f"a link: {reason}"
    return status.st_size if stat.S_ISREG(status.st_mode) else _kind_of_file(status.st_mode)


def _kind_of_file(mode: int) -> str:
    """What a file is that is not a regular one, from its mode."""
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
    }
    return kinds.get(stat.S_IFMT(mode), "a special file")


def read_file(path: Path) -> bytes:
    """The content of a regular file; reading a FIFO or a device might never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise DataError(f"data: {path} must be a regular file, got {_kind_of_file(mode)}")
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def without(objects: Mapping[str, int], skip: Skip) -> Listing:
    """A listing of objects without those that are left out, which count once for each folder."""
    sizes, skipped = {}, set()
    for name in sorted(objects):
        parts = name.split("/")
        depth = next((depth for depth, part in enumerate(parts, 1) if skip(part)), None)
        if depth:
            skipped.add(tuple(parts[:depth]))
        else:
            sizes[name] = objects[name]
    return Listing(sizes=sizes, unusable={}, skipped=len(skipped))
