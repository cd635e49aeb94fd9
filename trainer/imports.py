"""Code that a request names: ``package.module:name``, ``package.module``, and the names that packages add.

A module is looked for where Python finds it: among installed packages and on PYTHONPATH. The folder that a
process starts in is not searched, and neither is a run directory.
"""

import contextlib
import importlib
import importlib.metadata
import os
import re
import sys
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from trainer.errors import ConfigError, TrainError, first_line

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
OBJECT = rf"^{_NAME}([.]{_NAME})*:{_NAME}([.]{_NAME})*$"
MODULE = rf"^{_NAME}([.]{_NAME})+$"
# what is named -> group of entry points through which installed packages add names
GROUPS = {
    "archs": "resnet_launch.archs",
    "datasets": "resnet_launch.datasets",
    "recipes": "resnet_launch.recipes",
}


def is_object(text: str) -> bool:
    """Return whether a text has the form ``package.module:name``."""
    return re.fullmatch(OBJECT, text) is not None


def is_module(text: str) -> bool:
    """Return whether a text has the form ``package.module``, with at least one dot."""
    return re.fullmatch(MODULE, text) is not None and not text.endswith((".yaml", ".yml"))


def added(kind: str, name: str) -> str:
    """Return what a name stands for that installed packages add; the name itself where none adds it.

    Args:
      kind: "archs", "datasets" or "recipes".
      name: a word.
    """
    if not re.fullmatch("[A-Za-z0-9][-A-Za-z0-9_.]*", name):
        return name
    points = importlib.metadata.entry_points(group=GROUPS[kind], name=name)
    meanings = sorted({point.value.partition("[")[0].strip() for point in points})
    return meanings[0] if len(meanings) == 1 else name


def load(field: str, text: str) -> Any:
    """Import the object that ``package.module:name`` names.

    Args:
      field: setting whose value it is, for messages.
      text: name of the object.

    Raises:
      ConfigError: the module cannot be imported, or has no such name.
    """
    module_name, _, path = text.partition(":")
    value: Any = load_module(field, module_name)
    for name in path.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            raise ConfigError(f"{field}: {module_name} must define {path}, which it does not") from None
    return value


def load_module(field: str, name: str) -> ModuleType:
    """Import a module; arguments and errors are those of ``load``."""
    if name.partition(".")[0] in {*sys.stdlib_module_names, "trainer", "launcher"}:
        raise ConfigError(f"{field}: must name a module of your own, got {name}")
    with running(field, name, f"{name} cannot be imported"):
        try:
            with _installed():
                return importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or name
            raise ConfigError(
                f"{field}: {name} cannot be imported: ModuleNotFoundError: no module named {missing}",
                "install its package (in the image, for pods); PYTHONPATH=. finds modules of this folder",
            ) from None


@contextlib.contextmanager
def _installed() -> Iterator[None]:
    """Leave out the folder that Python was started in, unless PYTHONPATH has it.

    ``python -m`` puts it first, and a run directory of somebody else may be that folder.
    """
    here = os.getcwd() if os.path.isdir(".") else ""
    chosen = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    is_start = not sys.flags.safe_path and sys.path[:1] in ([here], [""]) and here not in chosen
    removed = sys.path.pop(0) if is_start else None
    try:
        yield
    finally:
        if removed is not None:
            sys.path.insert(0, removed)


@contextlib.contextmanager
def running(field: str, name: str, failure: str, kind: type[TrainError] = ConfigError) -> Iterator[None]:
    """Run code of a module that a request names; what it raises becomes one error with its place in the code.

    Args:
      field: setting that names the code, for messages.
      name: module or object whose code runs.
      failure: what cannot be done; the error follows it.
      kind: class of the error.

    Raises:
      ConfigError: the code raised something else than an error of the trainer.
    """
    try:
        yield
    except (TrainError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too: a module that ends the process is no module
        if isinstance(error, GeneratorExit):
            raise
        raise kind(f"{field}: {failure}: {described(error, name)}") from error


def described(error: BaseException, name: str) -> str:
    """Return the type, message and line of an error that code of a module raised."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename} line {error.lineno})"
    package = name.partition(":")[0].partition(".")[0]
    # By the name in the frame: a module whose import fails is in `sys.modules` no more.
    own = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    place = f" ({own[-1][0]} line {own[-1][1]})" if own else ""
    return f"{type(error).__name__}: {first_line(error, 400)}{place}"
