"""contract.json: everything that both packages know, collected from the trainer's declarations."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any

from trainer import imports, recipes
from trainer.arguments import FLAGS
from trainer.check import result
from trainer.config import schema
from trainer.errors import ERROR, HINT, ExitCode
from trainer.metrics.lines import LINES
from trainer.models import cifar, network
from trainer.registry import ARCHS, DATASETS, GFLOP_PER_IMAGE, MB_PER_IMAGE, MODEL_AXIS
from trainer.rundir.changes import IDENTITY
from trainer.rundir.events import EVENTS
from trainer.runtime.environment import Variable

Json = dict[str, Any]


def text() -> str:
    """Return the text of contract.json."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def document() -> Json:
    """Return what the launcher knows of the trainer; its types are in launcher.contract."""
    return {
        "archs": list(ARCHS),
        "mb_per_image": MB_PER_IMAGE,
        "gflop_per_image": GFLOP_PER_IMAGE,
        "families": {arch: family for arch, (family, _) in ARCHS.items()},
        "model_axis": MODEL_AXIS,
        "network_settings": network_settings(),
        "layers_per_step": layers_per_step(),
        "datasets": list(DATASETS),
        "imports": {"object": imports.OBJECT, "module": imports.MODULE, "groups": imports.GROUPS},
        "recipes": {name: recipes.load(name) for name in recipes.RECIPES},
        "recipe_families": {name: family for name in recipes.RECIPES if (family := recipes.family(name))},
        "published": {name: row for name in recipes.RECIPES if (row := recipes.published(name))},
        "default_recipes": recipes.DEFAULTS,
        "path_recipe": recipes.AT_A_PATH,
        "flags": {flag: {"field": field, "help": help} for flag, (field, help) in FLAGS.items()},
        "fields": schema(),
        "identity": sorted(IDENTITY),
        "exit_codes": {
            code.name.lower(): {"code": int(code), "meaning": code.meaning, "then": code.then}
            for code in ExitCode
        },
        "environment": {
            variable.name.lower(): {"name": str(variable), "help": variable.meaning} for variable in Variable
        },
        "events": {
            name: {"help": first_line(event), "milestone": event.MILESTONE, "fields": members(event)}
            for name, event in EVENTS.items()
        },
        "lines": {kind: {"help": first_line(line), "fields": members(line)} for kind, line in LINES.items()},
        "heads": {"error": ERROR, "hint": HINT, "progress": result.PROGRESS},
        "check": {"steps": list(result.STEPS), "result": members(result.CheckResult)},
    }


def network_settings() -> list[Json]:
    """Return groups of networks that honour the same settings of the section `model`."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for arch in ARCHS:
        groups.setdefault(tuple(sorted(network.find(arch).settings)), []).append(arch)
    return [
        {"archs": archs, "settings": [f"model.{name}" for name in names]} for names, archs in groups.items()
    ]


def layers_per_step() -> dict[str, int]:
    """Return network -> s of the depths sn + 2 that model.depth may choose."""
    kinds = {arch: sizes["kind"] for arch, (family, sizes) in ARCHS.items() if family == "cifar"}
    return {arch: cifar.STAGES * cifar.LAYERS_PER_BLOCK[kind] for arch, kind in kinds.items()}


def first_line(declared: type) -> str:
    return (declared.__doc__ or "").splitlines()[0]


def members(declared: type) -> Json:
    """Return field -> type, help and `optional`, for a dataclass or TypedDict."""
    hints = typing.get_type_hints(declared, include_extras=True)
    hints = {name: hint for name, hint in hints.items() if typing.get_origin(hint) is not typing.ClassVar}
    if dataclasses.is_dataclass(declared):
        names = [field.name for field in dataclasses.fields(declared)]
        absent = {f.name for f in dataclasses.fields(declared) if f.default is not dataclasses.MISSING}
    else:
        names, absent = list(hints), getattr(declared, "__optional_keys__", frozenset())
    return {name: _member(hints[name], name in absent) for name in names}


def _member(hint: Any, absent: bool) -> Json:
    help = ""
    while typing.get_origin(hint) in (typing.Annotated, typing.NotRequired):
        if typing.get_origin(hint) is typing.Annotated:
            hint, help = hint.__origin__, hint.__metadata__[0]
        else:
            [hint] = typing.get_args(hint)
    row = _type(hint) | ({"help": help} if help else {})
    return row | ({"optional": True} if absent else {})


def _type(hint: Any) -> Json:
    if isinstance(hint, types.UnionType):
        [hint] = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    if typing.is_typeddict(hint):
        return {"type": "object", "fields": members(hint)}
    if typing.get_origin(hint) is list:
        return {"type": "list", "items": _type(typing.get_args(hint)[0])}
    if typing.get_origin(hint) is dict:
        return {"type": "map", "values": _type(typing.get_args(hint)[1])}
    return {"type": hint.__name__}
