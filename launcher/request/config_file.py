"""Writing into resnet-launch.yaml: one value changes, and every other byte stays."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from launcher import files
from launcher.errors import ActionError, Problem, RequestError
from launcher.request import documents, sources
from launcher.request.discovery import FILE, find_file

PLAIN = re.compile(r"[A-Za-z0-9][\w./@:-]*[\w]")  # text that YAML reads as it stands


def nearest(directory: Path) -> Path:
    """Return the resnet-launch.yaml that a directory uses, or where a new one goes.

    Raises:
      RequestError: the file may not be relied on, or is wrong.
    """
    path = find_file(directory)
    if path:
        sources.file(path)
    return path or directory / FILE


def set_value(path: Path, key: str, value: str) -> None:
    """Set one key of a file, which is made where it is missing; comments and order stay.

    Raises:
      RequestError: the file is wrong, or of a form in which the key cannot be set.
      ActionError: the file cannot be written.
    """
    text = _read(path) if os.path.lexists(path) else ""
    before = _values(path, text)
    changed = _changed(text, path, key, value)
    try:
        after = _values(path, changed)
    except RequestError:
        after = {}
    if after != before | {key: value}:
        problem = f"must be a plain mapping for {key} to be written into it"
        raise RequestError(Problem(str(path), problem, f"write into it: {key}: {value}"))
    _write(path, changed)


def _read(path: Path) -> str:
    documents.read(str(path), path)  # a regular file of a bounded size
    return path.read_bytes().decode()  # with its ends of lines


def _values(path: Path, text: str) -> dict[str, Any]:
    root = documents.parse(str(path), text)
    value = None if root is None else documents.spelled(root)
    return value if isinstance(value, dict) else {}


def _changed(text: str, path: Path, key: str, value: str) -> str:
    root = documents.parse(str(path), text)
    spelled = value if PLAIN.fullmatch(value) else "'" + value.replace("'", "''") + "'"
    newline = "\r\n" if "\r\n" in text else "\n"
    if root is None or root.id != "mapping":
        return f"{text}{newline if text and not text.endswith(newline) else ''}{key}: {spelled}{newline}"
    for name, node in root.value:
        if name.value == key:
            start, end = node.start_mark.index, node.end_mark.index
            end -= len(text[start:end]) - len(text[start:end].rstrip())  # a block ends with its line
            space = "" if start == 0 or text[start - 1].isspace() else " "
            return text[:start] + space + spelled + text[end:]
    head = text if text.endswith(("\n", "\r\n")) or not text else text + newline
    return f"{head}{key}: {spelled}{newline}"


def _write(path: Path, text: str) -> None:
    """Replace a file at once; a link stays, and what it names is replaced."""
    place = Path(os.path.realpath(path))
    try:
        mode = place.stat().st_mode & 0o777 if place.exists() else 0o644
        files.write(place, text, mode)
    except OSError as error:
        raise ActionError(f"cannot write {path}: {error.strerror}") from None
