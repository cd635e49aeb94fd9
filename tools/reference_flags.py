"""The reference pages of flags, read from the parsers of launcher (click) and trainer (argparse)."""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Iterable

import click
from markup import code, paragraphs, sentence, table


def resnet_launch() -> str:
    """Return the page of the launcher's flags, read from its click commands."""
    from launcher.cli import VERBS, options
    from launcher.cli.verbs.render import command as render

    run_flags = [flag for flag in options_of(render) if flag.name in options.ALL]
    parts = [
        "# Flags of resnet-launch\n",
        "Without a verb, `resnet-launch` takes the flags of `submit`. `--debug` with any verb shows a "
        "traceback. What stands after `--` goes to the trainer.\n",
        "## Flags of a run\n",
        "Verbs that build a run share these flags.\n",
    ]
    for heading in dict.fromkeys(flag.heading for flag in run_flags):  # type: ignore[attr-defined]
        group = [flag for flag in run_flags if flag.heading == heading]  # type: ignore[attr-defined]
        parts += [f"### {heading}\n", flag_table(group)]
    parts.append("## Verbs\n")
    for verb in VERBS:
        parts += [f"### {verb}\n", *verb_parts(verb, {flag.name for flag in run_flags})]
    return "\n".join(parts)


def verb_parts(verb: str, run_flags: set[str | None]) -> list[str]:
    """Return usage, description and flags of one verb."""
    command = importlib.import_module(f"launcher.cli.verbs.{verb}").command
    if verb == "data":
        return [
            "Runs `python -m trainer.data`: [its verbs and flags](resnet-train.md#python--m-trainerdata).\n"
        ]
    context = click.Context(command, info_name=f"resnet-launch {verb}")
    arguments = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    usage = " ".join(["resnet-launch", verb, *arguments, "[FLAGS]"])
    parts = [f"```text\n{usage}\n\n{command.example}\n```\n", paragraphs(inspect.cleandoc(command.help))]
    shared = [flag for flag in options_of(command) if flag.name in run_flags]
    own = [flag for flag in options_of(command) if flag.name not in run_flags]
    missing = sorted(str(name) for name in run_flags - {flag.name for flag in shared})
    if len(missing) < 3:
        but = " but " + " and ".join(code(f"--{name}") for name in missing) if missing else ""
        parts.append(f"Takes all [flags of a run](#flags-of-a-run){but}.\n")
    elif len(shared) > 2:
        names = ", ".join(code(flag.opts[0]) for flag in shared)
        parts.append(f"Takes these [flags of a run](#flags-of-a-run): {names}.\n")
    else:
        own = shared + own
    return [*parts, flag_table(own)] if own else parts


def options_of(command: click.Command) -> list[click.Option]:
    return [p for p in command.params if isinstance(p, click.Option) and not p.hidden]


def flag_table(flags: Iterable[click.Option]) -> str:
    return table(("flag", "meaning"), ((flag_name(flag), flag.help or "") for flag in flags))


def flag_name(flag: click.Option) -> str:
    value = "" if flag.is_flag else " " + (flag.metavar or flag.type.name.upper())
    return ", ".join(f"`{name}{value}`" for name in [*flag.opts, *flag.secondary_opts])


def resnet_train() -> str:
    """Return the page of the trainer's command lines, read from their argparse parsers."""
    from trainer import cli
    from trainer.arguments import parser as train_parser
    from trainer.data.__main__ import parser as data_parser

    parts = [
        "# Flags of resnet-train, trainer and trainer.data\n",
        "`resnet-train` uses and converts trained networks. `python -m trainer` runs in each pod, and "
        "`resnet-train train` is another name for it. `resnet-launch data` runs `python -m trainer.data`.\n",
    ]
    for program, parser in (("resnet-train", cli.parser()), ("python -m trainer.data", data_parser())):
        parts.append(f"## {program}\n")
        for name, verb, text in verbs_of(parser):
            parts += [f"### {program.split()[-1]} {name}\n", sentence(text), arguments_table(verb)]
    parts += ["## python -m trainer\n", arguments_table(train_parser())]
    return "\n".join(part for part in parts if part)


def verbs_of(parser: argparse.ArgumentParser) -> Iterable[tuple[str, argparse.ArgumentParser, str]]:
    """Yield name, parser and help of each verb."""
    [verbs] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    texts = {choice.dest: choice.help or "" for choice in verbs._choices_actions}
    for name, verb in verbs.choices.items():
        yield name, verb, texts[name]


def arguments_table(parser: argparse.ArgumentParser) -> str:
    """Return the arguments and flags of a parser; nothing where it has only --help."""
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    actions.sort(key=lambda action: bool(action.option_strings))  # arguments first
    rows = [(argument_name(action), argument_help(action)) for action in actions]
    return table(("argument or flag", "meaning"), rows) if rows else ""


def argument_name(action: argparse.Action) -> str:
    metavar = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    value = str(metavar or action.dest.upper())
    if not action.option_strings:
        return code(value + (" …" if action.nargs == "+" else ""))
    flag = action.option_strings[0]
    return code(flag if action.nargs == 0 else f"{flag} {value}")


def argument_help(action: argparse.Action) -> str:
    text = (action.help or "").strip()
    if action.required and action.option_strings:
        text = f"{text}; required" if text else "required"
    if action.nargs == 0 or action.default in (None, "", [], argparse.SUPPRESS) or "default:" in text:
        return text
    return f"{text}; default {action.default}"
