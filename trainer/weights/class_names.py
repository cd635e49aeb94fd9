"""Names of classes from a file of a person (`--classes`)."""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError
from trainer.pickled import shown
from trainer.weights.file import Weights

MAX_BYTES = 16 << 20


def read(path: str | Path) -> list[str]:
    """Read a name per line, or a JSON list of names, in the order of the logits.

    The file that an export writes beside weights, and ``dataset.json`` of a run, are JSON with such a list.

    Raises:
      ConfigError: the file cannot be read, or a name is empty or twice in it.
    """
    file = Path(path)
    hint = "a text file with one name per line, or a JSON list of names"
    try:
        if not file.is_file() or file.stat().st_size > MAX_BYTES:
            got = f"more than {MAX_BYTES >> 20} MiB" if file.is_file() else "no file there"
            raise ConfigError(f"--classes: {path} must be a file of names, got {got}", hint)
        text = file.read_bytes().decode("utf-8-sig")
        names = json.loads(text) if file.suffix.lower() == ".json" else _lines(text)
    except OSError as error:
        raise ConfigError(f"--classes: {path} must be readable, got {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--classes: {path} must hold names in UTF-8, got {error}", hint) from None
    if isinstance(names, dict):
        names = names.get("class_names")
    return _checked(path, names, hint)


def renamed(weights: Weights, names: list[str]) -> Weights:
    """Return weights whose classes have other names.

    Raises:
      ConfigError: there are more or fewer names than classes.
    """
    count = len(weights.class_names)
    if len(names) != count:
        raise ConfigError(f"--classes: must name the {count} classes of the network, got {len(names)} names")
    return dataclasses.replace(weights, class_names=names)


def _lines(text: str) -> list[str]:
    """Return the lines without the empty ones at the end."""
    return [line.strip() for line in text.rstrip().split("\n")]


def _checked(path: str | Path, names: Any, hint: str) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"--classes: {path} must be a list of names, got other JSON", hint)
    for number, name in enumerate(names, 1):
        if not name or not name.isprintable():
            raise ConfigError(f"--classes: {path} must hold a name at {number}, got {shown(name)}", hint)
    if not names:
        raise ConfigError(f"--classes: {path} must be a list of names, got an empty one", hint)
    [(name, count)] = Counter(names).most_common(1)
    if count > 1:
        raise ConfigError(f"--classes: {path} must hold each name once, got {name!r} {count} times", hint)
    return names
