"""Recipes by name: one file each, whose docstring states command, slice, time and accuracy.

A recipe is a dict ``SETTINGS`` of ``section.field: value``. Flags and ``--set`` win over it.
"""

import difflib
import importlib
import pkgutil
from typing import Any

from trainer.config import DataConfig
from trainer.errors import ConfigError

RECIPES = tuple(sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__)))

# What a dataset is trained with when no recipe is named.
DEFAULTS = {"digits": "digits", "fashion-mnist": "fashion", "synthetic": "smoke"}
AT_A_PATH = "classic-90"  # for images at a path or in a bucket


def default(dataset: str | None) -> str:
    """The recipe of a dataset, for images at a path ImageNet's; an unknown name is refused later."""
    name = dataset or DataConfig().name
    return DEFAULTS.get(name, AT_A_PATH if "/" in name else "smoke")


def load(name: str) -> dict[str, Any]:
    """The settings of a recipe.

    Raises:
      ConfigError: no recipe has this name.
    """
    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, n=1, cutoff=0.5)
        text = f"recipe: must be one of {', '.join(RECIPES)}, got '{name}'"
        raise ConfigError(text, f"did you mean {close[0]}?" if close else None)
    return dict(importlib.import_module(f"{__name__}.{name.replace('-', '_')}").SETTINGS)
