"""Code that the pods import: `package.module:name`, `package.module`, and the names that packages add.

Nothing is imported here. A name that an installed package adds (entry points of the groups
`resnet_launch.archs`, `.datasets` and `.recipes`) is read from the metadata of this machine and becomes the
module that it stands for, so that the pods need no metadata.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from launcher import contract
from launcher.request.readers import Wrong

Kind = Literal["archs", "datasets", "recipes"]
LONGEST = 253  # characters


def is_object(value: Any) -> bool:
    """Return whether a value has the form `package.module:name`."""
    return _matches("object", value)


def is_module(value: Any) -> bool:
    """Return whether a value has the form `package.module`, with at least one dot."""
    return _matches("module", value) and not value.endswith((".yaml", ".yml"))


def added(kind: Kind, name: Any) -> str:
    """Return what a name stands for that installed packages add; empty where none adds it.

    Raises:
      Wrong: two packages give it two meanings, or its meaning is of another form.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9_.]*", name):
        return ""
    from importlib.metadata import entry_points

    group = contract.document()["imports"]["groups"][kind]
    meanings = sorted(
        {point.value.partition("[")[0].strip() for point in entry_points(group=group, name=name)}
    )
    if len(meanings) > 1:
        raise Wrong(f"must have one meaning, and installed packages give it {' and '.join(meanings)}", name)
    is_meant = is_module if kind == "recipes" else is_object
    if meanings and not is_meant(meanings[0]):
        form = "package.module" if kind == "recipes" else "package.module:name"
        raise Wrong(f"must stand for {form} in the package that adds {name}", meanings[0])
    return meanings[0] if meanings else ""


def names(kind: Kind) -> list[str]:
    """Return the trainer's names of one kind and, after them, those that installed packages add."""
    from importlib.metadata import entry_points

    group = contract.document()["imports"]["groups"][kind]
    own = list(contract.document()[kind])
    return own + sorted({point.name for point in entry_points(group=group)} - set(own))


def _matches(form: Literal["object", "module"], value: Any) -> bool:
    pattern = contract.document()["imports"][form]
    return isinstance(value, str) and len(value) <= LONGEST and bool(re.fullmatch(pattern, value))
