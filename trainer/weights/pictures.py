"""Pictures to classify: files, the files of folders, and what comes in on stdin."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trainer.data.images.kinds import HEAD_BYTES, PLAIN_PNM, PNM, image_kind, suffix_kind
from trainer.errors import DataError, first_line
from trainer.runtime.messages import warn

STDIN = "-"
PASSED_OVER = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")  # of file managers; so are hidden names
CONTROL = bytes(set(range(32)) - set(b"\t\n\r\0"))


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture by its name.

    Attributes:
      name: path as it was typed or listed, or "-".
      data: content of the file where it came in on stdin; None: it is read from the path.
    """

    name: str
    data: bytes | None = None

    def read(self) -> bytes:
        """Return the content of the file.

        Raises:
          DataError: the file cannot be read.
        """
        if self.data is not None:
            return self.data
        try:
            return Path(self.name).read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
            raise DataError(f"{self.name}: must be an image, got {reason.lower()}") from None


def named(arguments: Sequence[str], stdin: BinaryIO) -> Iterator[Picture | DataError]:
    """Yield the pictures that a command line names, and an error for each name without one.

    A folder stands for its pictures at any depth, in the order of their names. "-" is a picture on stdin, or
    a list of files and folders there, one per line or separated by NUL.
    """
    for argument in arguments:
        if argument == STDIN:
            yield from _from_stdin(stdin.read())
        elif os.path.isdir(argument):
            yield from _in_folder(argument)
        else:
            yield Picture(name=argument)


def _from_stdin(data: bytes) -> Iterator[Picture | DataError]:
    if not data.strip():
        yield DataError("stdin: must hold a picture, or a list of files with one per line, got nothing")
    elif not _is_text(data) or image_kind(data) in (PNM, PLAIN_PNM):
        yield Picture(name=STDIN, data=data)
    else:
        text = os.fsdecode(data)
        lines = text.split("\0") if "\0" in text else text.splitlines()
        # A line "-" is a file of that name: stdin is read already.
        for name in (f"./{STDIN}" if line == STDIN else line for line in lines if line.strip()):
            yield from _in_folder(name) if os.path.isdir(name) else [Picture(name=name)]


def _is_text(data: bytes) -> bool:
    """Return whether bytes can be a list of names: all images but PNM have control characters."""
    return data.translate(None, CONTROL) == data


def _in_folder(folder: str) -> Iterator[Picture | DataError]:
    """Yield the files of a folder that are images by their name or content; the others are counted."""
    pictures, others, visited = 0, Counter[str](), set[str]()
    problems: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=problems.append, followlinks=True):
        if (target := os.path.realpath(parent)) in visited:  # a link to a folder above it
            folders.clear()
            continue
        visited.add(target)
        folders[:] = sorted(name for name in folders if not _is_foreign(name))
        for name in sorted(name for name in files if not _is_foreign(name)):
            path = os.path.join(parent, name)
            if suffix_kind(name) or _begins_as_image(path):
                pictures += 1
                yield Picture(name=path)
            else:
                others[os.path.splitext(name)[1].lower() or "no suffix"] += 1
    for problem in problems:
        yield DataError(f"{problem.filename}: must be a folder that can be listed, got {problem.strerror}")
    if others:
        listed = ", ".join(f"{suffix}: {count:,}" for suffix, count in sorted(others.items()))
        warn(f"{folder}: passed over {others.total():,} that are no images ({listed})")
    if not pictures and not problems:
        yield DataError(f"{folder}: must hold pictures, got none")


def _is_foreign(name: str) -> bool:
    return name.startswith(".") or name in PASSED_OVER


def _begins_as_image(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            kind = image_kind(file.read(HEAD_BYTES))
    except OSError:
        return False
    return kind is not None and bool(kind.suffixes)
