"""TrainingJob's fields as flags, and a command line's flags as a TrainingJob."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from launcher import contract
from launcher.errors import Problem, RequestError
from launcher.hardware import catalogue
from launcher.request import sources, summary
from launcher.request.job import TrainingJob
from launcher.request.readers import Reader, Wrong

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
        field = sources.FIELDS[name]
        switch, repeated = isinstance(field.default, bool), sources.is_repeated(name)
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
            found = contract.document()[known] if known else []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def flags(names: Iterable[str]) -> list[click.Parameter]:
    """The flags of these fields, for a command's `params`."""
    return [Flag(name) for name in names]


ALL = [name for name in sources.FIELDS if name != "args"]


def values(given: dict[str, Any]) -> dict[str, Any]:
    """What a command line, the environment and the file say, before any cluster is asked."""
    return sources.merge(*sources_of(given))[0]


def job(given: dict[str, Any], *more: sources.Source) -> TrainingJob:
    """The job of a command line, with what environment, file and ``more`` add; its warnings go to stderr."""
    values, _ = sources.merge(*sources_of(given), *more)
    if isinstance(values.get("patch"), str):
        values["patch"] = sources.read("patch", Path(values["patch"]))
    built = TrainingJob(**values, args=trainer_words())
    warn(built)
    return built


def warn(job: TrainingJob) -> None:
    """Prints what a person should know before the run starts."""
    for line in summary.warnings(job):
        print(f"warning: {line}", file=sys.stderr)


def sources_of(given: dict[str, Any]) -> list[sources.Source]:
    """Flags, environment and file, in the order in which they win."""
    path = sources.find_file(Path.cwd())
    found = [sources.flags(given), sources.environment(os.environ)]
    return found + ([sources.file(path)] if path else [])


def trainer_words() -> tuple[str, ...]:
    """What the command line has after `--`."""
    return click.get_current_context().obj or ()


class Checked(click.ParamType):
    """What a reader makes of a word."""

    name = "text"

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return check(param.name if param and param.name else "value", self.reader, value)


def check(field: str, reader: Reader, value: Any) -> Any:
    """What a reader makes of a value; raises RequestError with the field's name."""
    try:
        return reader(value)
    except Wrong as wrong:
        raise RequestError(Problem(field, str(wrong), wrong.hint)) from None
