"""The reference page of the Python API: signatures and docstrings of the names that programs may import."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
import types
from collections.abc import Callable

from markup import code, table

# heading: module and names that other programs may use
PYTHON = {
    "Submit from Python": ("launcher", ("TrainingJob", "render", "submit", "Cluster")),
    "Errors": ("launcher.errors", ("LauncherError", "RequestError", "ActionError", "Problem")),
    "Follow a run": ("launcher.runs.status", ("status",)),
    "Train a network of your own": (
        "trainer.models.architecture",
        ("architecture", "Architecture", "Inputs", "Outputs"),
    ),
    "Read a dataset of your own": ("trainer.data.source", ("Source",)),
    "Join the other hosts": ("trainer.runtime", ("join",)),
    "Use a trained network": ("trainer.weights.inference", ("load_weights", "evaluate", "predict")),
    "Read a run directory": ("trainer.rundir.directory", ("read",)),
}


def python_api() -> str:
    """Return the page of the names that other programs may import: signature and docstring."""
    parts = [
        "# Python API\n",
        "Every name has a docstring, and the package is typed. [Submit from Python](../guides/python.md) has "
        "an example.\n",
    ]
    for heading, (module, names) in PYTHON.items():
        parts.append(f"## {heading}\n")
        for name in names:
            item = getattr(importlib.import_module(module), name)
            parts += [f"### {module}.{name}\n", f"```text\n{signature(name, item)}\n```\n", docstring(item)]
            if dataclasses.is_dataclass(item) and any("help" in f.metadata for f in dataclasses.fields(item)):
                parts.append(fields_table(item))
            elif isinstance(item, type):
                parts += [method_table(item)]
    return "\n".join(part for part in parts if part)


def signature(name: str, item: Callable) -> str:
    """Return how a name is called; the fields of a request are listed in a table instead."""
    if dataclasses.is_dataclass(item) and any("help" in f.metadata for f in dataclasses.fields(item)):
        required = [f.name for f in dataclasses.fields(item) if f.name in ("slice", "arch")]
        return f"{name}(*, {', '.join(required)}, …)"
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(item)))
    text = re.sub(r"\b(?:[A-Za-z_]\w*\.)+([A-Za-z_]\w*)", r"\1", text)  # types without their modules
    return f"{name}{re.sub(r'[(]self(, )?', '(', text).removesuffix(' -> None')}"


def docstring(item: object) -> str:
    """Return a docstring with its examples and sections as code, so that Markdown keeps their lines."""
    blocks = re.split(r"\n\n+", inspect.getdoc(item) or "")
    verbatim = (">>>", "Args:", "Raises:", "Attributes:", "Returns:")
    shown = (f"```text\n{b}\n```" if b.startswith(verbatim) else " ".join(b.split()) for b in blocks)
    return "\n\n".join(shown) + "\n"


def fields_table(item: type) -> str:
    fields = [f for f in dataclasses.fields(item) if "help" in f.metadata]
    shown = ("" if f.default in (None, (), dataclasses.MISSING) else json.dumps(f.default) for f in fields)
    rows = (
        (code(f.name), code(default), meaning(f, default)) for f, default in zip(fields, shown, strict=True)
    )
    return table(("argument", "default", "meaning"), rows)


def meaning(field: dataclasses.Field, default: str) -> str:
    """Return the help of a field, without the default that the column beside it shows already."""
    text = field.metadata["help"]
    return re.sub("; [^;]* if not given$", "", text) if default else text


def method_table(item: type) -> str:
    """Return the public methods that a class defines itself, with the first line of each docstring."""
    rows = [
        (code(signature(name, method)), (inspect.getdoc(method) or "").split("\n\n")[0].replace("\n", " "))
        for name, method in vars(item).items()
        if not name.startswith("_") and isinstance(method, types.FunctionType)
    ]
    return table(("method", "meaning"), rows) if rows else ""
