"""Files that are written: whole or not at all, and under a name that says what is in them."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from trainer.errors import ConfigError, TrainError

PYTORCH, SAFETENSORS = (".pth", ".pt"), (".safetensors",)
# Target of `resnet-train export` -> suffixes of the formats that it can be written in.
SUFFIXES = {
    "safetensors": SAFETENSORS,
    "indices": SAFETENSORS,
    "torchvision": (*PYTORCH, *SAFETENSORS),
    "timm": (*PYTORCH, *SAFETENSORS),
    "onnx": (".onnx",),
    "report": (".html", ".htm"),
}


def check_name(path: str | Path, target: str) -> None:
    """Check the name of a file before the work of which it shall hold the result.

    Raises:
      ConfigError: its suffix is that of another format, or its folder does not exist.
    """
    check_suffix(path, target)
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: must be in an existing folder")
    if path.is_dir():
        raise ConfigError(f"{path}: must be a file, got a folder")


def check_suffix(path: str | os.PathLike[str], target: str) -> None:
    """Check that the name of a file ends as its format asks.

    Raises:
      ConfigError: its suffix is that of another format.
    """
    name, suffixes = Path(path), SUFFIXES[target]
    if name.suffix.lower() not in suffixes:
        hint = f"name it {name.with_suffix(suffixes[0])}" if name.name else None
        listed = " or ".join(suffixes)
        raise ConfigError(f"{path}: must end with {listed} for {target}, got {name.suffix!r}", hint)


@contextlib.contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside a file, which takes its place once it is written whole.

    Raises:
      TrainError: the file cannot be written.
    """
    path = Path(path)
    # In a folder that others may write to, nobody can put a link in the place of a name that is not known.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise TrainError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
