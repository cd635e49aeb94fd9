"""The extras of this package: which of their packages this Python lacks, and how to install them.

The package is on no public index, so an extra is installed from a checkout.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from launcher.errors import ActionError

PACKAGE = "resnet-launch"
EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def require(extra: str, purpose: str) -> None:
    """Check that the packages of an extra are installed.

    Args:
      extra: `train` or `check`.
      purpose: what needs them, the subject of the message.

    Raises:
      ActionError: some are missing; the hint installs them.
    """
    if lacking := missing(extra):
        names = ", ".join(lacking[:4]) + (f" and {len(lacking) - 4} more" if len(lacking) > 4 else "")
        raise ActionError(f"{purpose} needs packages that are not installed here: {names}", install(extra))


def lacking(extra: str, problem: str) -> ActionError:
    """Return the error of something that an extra would bring; its hint installs that."""
    return ActionError(problem, install(extra))


def missing(extra: str) -> list[str]:
    """Return the packages of an extra that this Python lacks; `trainer` stands for the trainer itself."""
    lacking = [] if importlib.util.find_spec("trainer") else ["trainer"]
    for name in _packages(extra):
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            lacking.append(name)
    return lacking


def install(extra: str) -> str:
    """Return the command that installs an extra from the checkout that this package came from."""
    command = f"pip install '.[{extra}]'"
    checkout = _checkout()
    if checkout is None:
        return f"{command} in a checkout of {PACKAGE}"
    return command if checkout == Path.cwd() else f"cd {shlex.quote(str(checkout))} && {command}"


def _packages(extra: str) -> Iterator[str]:
    try:
        requirements = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:  # a source tree on PYTHONPATH
        requirements = [f"jax; extra == '{extra}'"]
    for requirement in requirements:
        text, _, marker = requirement.partition(";")
        name = re.split(r"[^A-Za-z0-9._-]", text.strip(), maxsplit=1)[0]
        if EXTRA.findall(marker) != [extra]:
            continue
        if name == PACKAGE:  # an extra that includes others
            for included in re.findall(r"\[([^\]]+)\]", text):
                yield from _packages(included)
        else:
            yield name


def _checkout() -> Path | None:
    """Return the folder that this package was installed from; None where it is gone or was none."""
    try:
        origin = metadata.distribution(PACKAGE).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        origin = None
    url = urlsplit(json.loads(origin).get("url", "")) if origin else urlsplit("")
    folder = Path(unquote(url.path)) if url.scheme == "file" else Path(__file__).parents[1]
    return folder if (folder / "pyproject.toml").is_file() else None
