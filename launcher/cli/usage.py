"""Errors of click about a command line, in the form of the launcher's own errors."""

from __future__ import annotations

import re

import click

from launcher.errors import closest

LISTED = "resnet-launch list shows the runs of the namespace"
EXTRA = re.compile(r"Got unexpected extra arguments? \((?P<words>.*)\)$")


def explain(error: click.ClickException) -> tuple[str, str]:
    """Return (message, hint) for an error of click: the argument or flag, what it must be, what came."""
    context = getattr(error, "ctx", None)
    command = context.command if context else click.Command(None)
    verb = "resnet-launch" + (f" {command.name}" if command.name not in (None, "default", "group") else "")
    example = getattr(command, "example", "")
    if isinstance(error, click.NoSuchOption):
        known = [name for option in command.params for name in option.opts if name.startswith("--")]
        hint = closest(error.option_name, known) or f"{verb} --help lists the flags"
        return f"flag: must be a flag of {verb}, got {error.option_name!r}", hint
    if isinstance(error, click.BadParameter) and error.param:  # a missing one too
        return _parameter(error, error.param), LISTED if error.param.name == "name" else example
    if isinstance(error, click.BadOptionUsage):
        return f"{error.option_name.lstrip('-')}: must have a value, got none", example
    if match := EXTRA.match(error.format_message()):
        most = sum(isinstance(param, click.Argument) for param in command.params)
        limit = f"at most {most}" if most else "flags only"
        return f"arguments: must be {limit} for {verb}, got {match['words']!r} too", example
    return error.format_message(), ""


def _parameter(error: click.BadParameter, param: click.Parameter) -> str:
    """Return the message for a missing or wrong value of an argument or a flag."""
    name = (param.name or "").replace("_", "-")
    choices = list(getattr(param.type, "choices", ()))
    wanted = f"must be {', '.join(choices[:-1])} or {choices[-1]}" if choices else "must be given"
    if isinstance(error, click.MissingParameter):
        return f"{name}: {wanted}" + (", got none" if choices else "")
    value = re.match(r"('.*?') is not ", error.message)
    return f"{name}: {wanted}, got {value[1]}" if choices and value else f"{name}: {error.message}"
