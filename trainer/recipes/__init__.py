"""Training recipes: one module each, whose docstring states command, slice, time, accuracy and source.

A recipe is a dict ``SETTINGS`` of values by ``section.field``. Flags and ``--set`` take precedence over it.
"""

import difflib
import importlib
import pkgutil
from typing import Any

from trainer.config import DataConfig
from trainer.errors import ConfigError

RECIPES = tuple(sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__)))

# The recipe of a dataset when the request names none.
DEFAULTS = {"digits": "digits", "fashion-mnist": "fashion", "synthetic": "smoke"}
AT_A_PATH = "classic-90"  # the recipe of images in a folder or a bucket


def default(dataset: str | None) -> str:
    """Return the default recipe of a dataset: a name, a path or gs://…; None is the default dataset.

    An unknown name gets "smoke", because the dataset itself is refused later.
    """
    name = dataset or DataConfig().name
    return DEFAULTS.get(name, AT_A_PATH if "/" in name else "smoke")


def load(name: str) -> dict[str, Any]:
    """Return the settings of a recipe by ``section.field``.

    Raises:
      ConfigError: no recipe has this name; the hint names the closest one.
    """
    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, n=1, cutoff=0.5)
        text = f"recipe: must be one of {', '.join(RECIPES)}, got '{name}'"
        raise ConfigError(text, f"did you mean {close[0]}?" if close else None)
    return dict(importlib.import_module(f"{__name__}.{name.replace('-', '_')}").SETTINGS)
