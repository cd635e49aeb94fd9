"""Names that data gives: of shards, splits, files and classes."""

import unicodedata
from typing import Any

from trainer.errors import CONTROL, DataError, printable

MAX_PART_BYTES, MAX_BYTES = 255, 4096  # of a part between slashes and of a whole name (Linux)


def plain_name(name: Any, source: str) -> str:
    """Return a name that data gives, which must stay below the folder it is used in.

    It is relative, with ``/`` between its parts. No part is empty or begins with a dot.

    Args:
      name: as the data hold it.
      source: where it stands, for the message.

    Raises:
      DataError: the name leads out of its folder, is hidden, or is none.
    """
    if isinstance(name, str) and _is_plain(name):
        return name
    raise DataError(
        f"data: {source} must hold plain relative names, got {printable(repr(name))[:200]}",
        "names with '..', a leading '/' or '.', or an empty part are refused; write the dataset again",
    )


def _is_plain(name: str) -> bool:
    if "/." in name or "//" in name or "\0" in name or name[:1] in ("", "/", ".") or name[-1] == "/":
        return False
    encoded = len(name.encode(errors="surrogateescape"))
    return encoded <= MAX_PART_BYTES or (
        encoded <= MAX_BYTES
        and all(len(part.encode(errors="surrogateescape")) <= MAX_PART_BYTES for part in name.split("/"))
    )


def class_name(name: str, address: str) -> str:
    """Return the name of a class in normal form NFC, in which equal names are equal strings.

    Raises:
      DataError: it is empty, not UTF-8, or holds control characters.
    """
    if not name.strip() or CONTROL.search(name):
        raise DataError(
            f"data: {address} must be a class name in UTF-8 without control characters, "
            f"got '{printable(name)}'",
            "rename it",
        )
    return unicodedata.normalize("NFC", name)
