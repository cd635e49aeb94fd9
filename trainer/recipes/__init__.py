"""Training recipes: one module each, whose docstring states command, slice, time, accuracy and source.

A recipe is a dict ``SETTINGS`` of values by ``section.field``. Flags and ``--set`` take precedence over it.
Where it is published for one family of networks, ``FAMILY`` names that (a module of trainer.models).
"""

import difflib
import importlib
import json
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer import imports
from trainer.config import FIELDS, DataConfig
from trainer.errors import ConfigError, first_line
from trainer.registry import ARCHS

RECIPES = tuple(sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__)))

# The recipe of a dataset when the request names none.
DEFAULTS = {"digits": "digits", "fashion-mnist": "fashion", "synthetic": "smoke"}
AT_A_PATH = "classic-90"  # the recipe of images in a folder or a bucket, and of an own dataset
FILES = (".yaml", ".yml")
MAX_BYTES = 1 << 20  # of a file with a recipe


def default(dataset: str | None) -> str:
    """Return the default recipe of a dataset: a name, a path or gs://…; None is the default dataset.

    An unknown name gets "smoke", because the dataset itself is refused later.
    """
    name = dataset or DataConfig().name
    return DEFAULTS.get(name, AT_A_PATH if "/" in name or ":" in name else "smoke")


def load(name: str) -> dict[str, Any]:
    """Return the settings of a recipe by ``section.field``.

    Args:
      name: a name; FILE.yaml; JSON, as the launcher writes the settings of a file; or package.module, which
        is imported and has a dict ``SETTINGS``.

    Raises:
      ConfigError: no recipe has this name, and the hint names the closest one; or the settings of an own one
        cannot be read.
    """
    if name in RECIPES:
        return dict(importlib.import_module(f"{__name__}.{name.replace('-', '_')}").SETTINGS)
    if name.startswith("{"):
        return _settings("recipe", _json(name))
    if name.endswith(FILES):
        return _settings(f"recipe {name}", _yaml(name))
    module = imports.added("recipes", name)
    if imports.is_module(module):
        settings = getattr(imports.load_module("recipe", module), "SETTINGS", None)
        if not isinstance(settings, Mapping):
            raise ConfigError(f"recipe: {module} must have a dict SETTINGS, got {type(settings).__name__}")
        return _settings(f"recipe {module}", settings)
    close = difflib.get_close_matches(name, RECIPES, n=1, cutoff=0.5)
    text = f"recipe: must be one of {', '.join(RECIPES)}, FILE.yaml or package.module, got '{name}'"
    raise ConfigError(text, f"did you mean {close[0]}?" if close else None)


def family(name: str) -> str | None:
    """Return the family of networks that a recipe is published for; None: any, or an own recipe."""
    if name not in RECIPES:
        return None
    return getattr(importlib.import_module(f"{__name__}.{name.replace('-', '_')}"), "FAMILY", None)


def check_family(name: str, arch: str) -> None:
    """Raise ConfigError where a recipe is published for another family than that of the network.

    Args:
      name: as for ``load``.
      arch: a network of ours, or package.module:name, which takes any recipe.
    """
    wanted = family(name)
    if wanted is None or arch not in ARCHS or ARCHS[arch][0] == wanted:
        return
    own = ARCHS[arch][0]
    networks = [other for other, (module, _) in ARCHS.items() if module == wanted]
    fitting = next((recipe for recipe in RECIPES if family(recipe) == own), AT_A_PATH)
    raise ConfigError(
        f"recipe: {name} must be used with a network of {wanted} ({networks[0]}, …), got {arch} of {own}",
        f"--recipe {fitting} is for {arch}; {AT_A_PATH} is for any network",
    )


def published(name: str) -> dict[str, Any] | None:
    """Return the network of a recipe of this project and its published accuracy on ImageNet-1k.

    Both stand in its docstring: the network in the command, the accuracy as the first number of what is
    expected. Where that is a range, it is the lower end. None: the recipe is for another dataset.
    """
    text = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").__doc__ or ""
    command = re.search(r"^command: .* --arch (\S+) .*--data gs://BUCKET/imagenet$", text, re.M)
    top1 = re.search(r"^expected: +(\d+(?:\.\d+)?)(?: to \d+(?:\.\d+)?)? % top-1", text, re.M)
    return {"arch": command[1], "accuracy": round(float(top1[1]) / 100, 6)} if command and top1 else None


def title(name: str) -> str:
    """Return what a run records as the name of its recipe; arguments and errors are those of ``load``."""
    return str(_json(name).get("name", "own")) if name.startswith("{") else Path(name).name


def _settings(where: str, recipe: Mapping[Any, Any]) -> dict[str, Any]:
    """Return settings by ``section.field``, over those of the recipe that they name under ``recipe``."""
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        flat |= (
            {f"{key}.{leaf}": v for leaf, v in value.items()} if isinstance(value, Mapping) else {key: value}
        )
    flat.pop("name", None)
    base = flat.pop("recipe", None)
    if base is not None and base not in RECIPES:
        raise ConfigError(f"{where}: recipe must be one of {', '.join(RECIPES)}, got {base!r}")
    for key, value in flat.items():
        if key not in FIELDS:
            close = difflib.get_close_matches(str(key), FIELDS, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else "resnet-launch config --train lists the settings"
            raise ConfigError(f"{where}: {key!r} must be a setting such as optim.lr", hint)
        if not isinstance(value, str | int | float):
            raise ConfigError(f"{where}: {key} must be text, a number or true or false, got {value!r}")
    return (load(base) if base else {}) | flat


def _json(text: str) -> dict[str, Any]:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"recipe: must be JSON where it begins with {{: {first_line(error)}") from None


def _yaml(path: str) -> Mapping[Any, Any]:
    import yaml

    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ConfigError(f"recipe: {path} must be at most {MAX_BYTES >> 20} MiB")
        value = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"recipe: {path} must be a file that can be read, got {error.strerror}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"recipe: {path} must be YAML: {first_line(error)}") from None
    if not isinstance(value, Mapping):
        raise ConfigError(f"recipe: {path} must be a mapping such as optim.lr: 0.1")
    return value
