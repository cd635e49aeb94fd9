"""TrainingJob's fields as flags, and a command line's flags as a TrainingJob."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from launcher.hardware import catalogue
from launcher.request import advice, trainer_settings
from launcher.request import sources as config
from launcher.request.job import TrainingJob

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Command(click.Command):
    """A verb whose help starts with an example and lists flags under headings."""

    def __init__(self, name: str, *, example: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.example = example

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        words = [p.make_metavar(ctx) for p in self.get_params(ctx) if isinstance(p, click.Argument)]
        usage = " ".join([ctx.command_path, *words, "[FLAGS]"])
        formatter.write(f"Usage: {usage}\n\nExample: {self.example}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and not isinstance(param, click.Argument):
                headings.setdefault(getattr(param, "heading", "Other"), []).append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class Flag(click.Option):
    """An option of one field; its text is checked by TrainingJob, so that every problem is found at once."""

    def __init__(self, name: str) -> None:
        field = config.FIELDS[name]
        switch, repeated = isinstance(field.default, bool), config.is_repeated(name)
        default = field.default
        shown = f"; {default} if not given" if default not in (None, ()) and not switch else ""
        super().__init__(
            ["--" + name.replace("_", "-") + (f"/--no-{name.replace('_', '-')}" if switch else "")],
            help=field.metadata["help"] + shown + ("; may be repeated" if repeated else ""),
            metavar=field.metadata["metavar"] or None,
            is_flag=switch,
            default=None,
            multiple=repeated,
        )
        self.heading = field.metadata["group"]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Slices, networks, datasets and recipes by name."""
        from click.shell_completion import CompletionItem

        if self.name == "slice":
            found = [*(s.name for s in catalogue.slices()), "cpu-2x1", "local-gpu"]
        else:
            known = {"arch": "archs", "data": "datasets", "recipe": "recipes"}.get(self.name or "")
            found = trainer_settings.document()[known] if known else []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def flags(names: Iterable[str]) -> list[click.Parameter]:
    """The flags of these fields, for a command's `params`."""
    return [Flag(name) for name in names]


ALL = [name for name in config.FIELDS if name != "args"]


def values(given: dict[str, Any]) -> dict[str, Any]:
    """What a command line, the environment and the file say, before any cluster is asked."""
    return config.merge(*sources(given))[0]


def job(given: dict[str, Any], *more: config.Source) -> TrainingJob:
    """The job of a command line, with what environment, file and ``more`` add; its warnings go to stderr."""
    values, _ = config.merge(*sources(given), *more)
    if isinstance(values.get("patch"), str):
        values["patch"] = config.read("patch", Path(values["patch"]))
    built = TrainingJob(**values, args=trainer_words())
    warn(built)
    return built


def warn(job: TrainingJob) -> None:
    """Prints what a person should know before the run starts."""
    for line in advice.warnings(job):
        print(f"warning: {line}", file=sys.stderr)


def sources(given: dict[str, Any]) -> list[config.Source]:
    """Flags, environment and file, in the order in which they win."""
    path = config.find_file(Path.cwd())
    found = [config.flags(given), config.environment(os.environ)]
    return found + ([config.file(path)] if path else [])


def trainer_words() -> tuple[str, ...]:
    """What the command line has after `--`."""
    return click.get_current_context().obj or ()
