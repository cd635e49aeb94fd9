"""Every public name of the networks and of learning is typed, and says what it is and does."""

import importlib
import inspect
import pkgutil

import pytest

from trainer import learning, models

MODULES = sorted(
    module.name
    for package in (models, learning)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
)
# What Python writes into a NamedTuple or a dataclass is typed by its fields.
GENERATED = {"__new__", "__replace__"}


def public(module):
    """(name, object) for each public function, class and method that the module defines."""
    for name, value in vars(module).items():
        if name.startswith("_") or not callable(value) or getattr(value, "__module__", "") != module.__name__:
            continue
        yield name, value
        if inspect.isclass(value):
            for member, function in vars(value).items():
                function = getattr(function, "__func__", function)  # of a class or static method
                own = inspect.isfunction(function) and function.__module__ == module.__name__
                named = not member.startswith("_") or member in ("__call__", "__init__")
                if (
                    own
                    and named
                    and member not in GENERATED
                    and "<string>" not in function.__code__.co_filename
                ):
                    yield f"{name}.{member}", getattr(value, member)


def untyped(function):
    signature = inspect.signature(function)
    for name, parameter in signature.parameters.items():
        if name not in ("self", "cls") and parameter.annotation is inspect.Parameter.empty:
            yield name
    if signature.return_annotation is inspect.Signature.empty and function.__name__ != "__init__":
        yield "return"


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_typed_and_explained(module):
    problems = []
    for name, value in public(importlib.import_module(module)):
        if not inspect.isclass(value):
            problems += [f"{name}: {part} is not typed" for part in untyped(value)]
        text = inspect.getdoc(value) or ""
        generated = inspect.isclass(value) and text.startswith(f"{value.__name__}(")
        if not name.endswith("__init__") and (not text or generated):
            problems.append(f"{name}: no docstring")
    assert not problems
