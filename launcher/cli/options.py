"""The fields of TrainingJob as flags, and the flags of a command line as a TrainingJob."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from launcher.errors import Problem, RequestError
from launcher.hardware import catalogue
from launcher.request import imports, sources, summary
from launcher.request.job import TrainingJob
from launcher.request.readers import Reader, Wrong

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from launcher.request.packed_code import PackedCode


class Command(click.Command):
    """A verb whose help starts with an example and lists its flags under headings."""

    def __init__(self, name: str, *, example: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.example = example

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments = [p.make_metavar(ctx) for p in self.get_params(ctx) if isinstance(p, click.Argument)]
        usage = " ".join([ctx.command_path, *arguments, "[FLAGS]"])
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


SHORT = {"namespace": ("-n",)}  # field -> its short flag, as kubectl has it


class Flag(click.Option):
    """The flag of one field. TrainingJob checks its text, so that all problems are reported together."""

    def __init__(self, name: str, text: str = "") -> None:
        field = sources.FIELDS[name]
        switch, repeated = isinstance(field.default, bool), sources.is_repeated(name)
        default = field.default
        shown = f"; {default} if not given" if default not in (None, ()) and not switch else ""
        super().__init__(
            [
                "--" + name.replace("_", "-") + (f"/--no-{name.replace('_', '-')}" if switch else ""),
                *SHORT.get(name, ()),
            ],
            help=(text or field.metadata["help"]) + shown + ("; may be repeated" if repeated else ""),
            metavar=field.metadata["metavar"] or None,
            is_flag=switch,
            default=None,
            multiple=repeated,
        )
        self.heading = field.metadata["group"]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the names of slices, networks, datasets or recipes that begin with `incomplete`."""
        from click.shell_completion import CompletionItem

        if self.name == "slice":
            names = [*(s.name for s in catalogue.slices()), "cpu-2x1", "local-gpu"]
        else:
            key = {"arch": "archs", "data": "datasets", "recipe": "recipes"}.get(self.name or "")
            names = imports.names(cast(Any, key)) if key else []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def flags(names: Iterable[str], texts: Mapping[str, str] | None = None) -> list[click.Parameter]:
    """Return the flags of these fields, for the `params` of a command.

    Args:
      texts: field -> help that replaces its own, which speaks of a cluster.
    """
    params: list[click.Parameter] = []
    for name in names:
        params.append(Flag(name, (texts or {}).get(name, "")))
        if name in WITHOUT:
            params.append(_without(name))
    return params


WITHOUT = {  # fields that a flag --no-FIELD switches off, and its help
    "queue": "submit to no queue, although the team's defaults name one",
    "fabric": "the same as --fabric none",
}


def _without(name: str) -> click.Parameter:
    option: Any = click.Option([f"--no-{name}"], is_flag=True, help=WITHOUT[name])
    option.heading = sources.FIELDS[name].metadata["group"]
    return option


ALL = [name for name in sources.FIELDS if name != "args"]


def values(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the values of flags, environment and resnet-launch.yaml, merged without asking a cluster."""
    return sources.merge(*sources_of(flags))[0]


def job(flags: dict[str, Any], *more: sources.Source, importing: bool = False) -> TrainingJob:
    """Return the job of a command line and print its warnings on stderr.

    Values without a flag come from the environment, from resnet-launch.yaml, then from the sources `more`.
    With `importing` the caller imports the modules that the request names, and nothing warns of them.
    """
    job = request(flags, *more)
    announce(flags)
    warn(job, importing=importing)
    return job


def announce(flags: dict[str, Any], fields: Iterable[str] = ALL) -> None:
    """Print on stderr which resnet-launch.yaml is used, and for which of these fields."""
    for source in sources.of_one_program(sources_of(flags)):
        names = [name.replace("_", "-") for name in source.values if name in fields]
        if names and source.where not in ("flag", "environment"):
            print(f"using {source.where} for {', '.join(names)}", file=sys.stderr)


def place(name: str, flags: dict[str, Any], *more: sources.Source) -> str:
    """Return where the value of a field that is not repeated comes from; empty for a flag or a default."""
    origins = (source for source in [*sources_of(flags), *more] if name in source.values)
    origin = next(origins, None)
    return origin.place(name) if origin and origin.where != "flag" else ""


def request(flags: dict[str, Any], *more: sources.Source) -> TrainingJob:
    """Return the job of a command line without its warnings; as `job` otherwise."""
    origins = [sources.load(source) for source in [*sources_of(flags), *more]]
    values, _ = sources.merge(*origins)
    with located(origins):
        if isinstance(values.get("code"), str):
            values["code"] = pack(values["code"])
        values = sources.with_recipe(values)
        return TrainingJob(**values, args=trainer_arguments())


def pack(directory: str) -> PackedCode:
    """Return the code of a directory. Raises RequestError where it cannot be packed."""
    from launcher.code import archive

    return archive.pack(directory)


@contextmanager
def located(origins: Iterable[sources.Source]) -> Iterator[None]:
    """Add to each RequestError from the block where the wrong values stand."""
    try:
        yield
    except RequestError as error:
        raise RequestError(*sources.located(error.problems, origins)) from None


def again(flags: dict[str, Any]) -> list[str]:
    """Return the fields among parsed flags as arguments of another command line."""
    arguments = [f"--no-{name}" for name in WITHOUT if flags.get(f"no_{name}")]
    for name, value in flags.items():
        if name not in ALL or value in (None, ()):
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            arguments += [
                part
                for item in (value if isinstance(value, tuple) else [value])
                for part in (f"--{flag}", item)
            ]
    return arguments


def warn(job: TrainingJob, *, importing: bool = False) -> None:
    """Print the warnings of a job on stderr; with `importing` the caller imports its modules."""
    for line in summary.warnings(job, importing=importing):
        print(f"warning: {line}", file=sys.stderr)


def sources_of(flags: dict[str, Any]) -> list[sources.Source]:
    """Return flags, environment and resnet-launch.yaml as sources, the strongest first.

    Raises:
      RequestError: --queue and --no-queue were given, or the same of --fabric, or the file may not be used.
    """
    flags = dict(flags)
    for name, off in (("queue", sources.NOTHING), ("fabric", "none")):
        if flags.pop(f"no_{name}", False):
            if flags.get(name):
                raise RequestError(Problem(f"no-{name}", f"must not be used with --{name} {flags[name]}"))
            flags[name] = off
    strongest = [sources.flags(flags), sources.environment(os.environ)]
    try:
        directory = Path.cwd()
    except OSError:  # it has been deleted
        return strongest
    nearest = sources.nearest(directory)
    return strongest + ([nearest] if nearest else [])


def trainer_arguments() -> tuple[str, ...]:
    """Return the arguments after `--` on the command line."""
    return click.get_current_context().obj or ()


class Checked(click.ParamType):
    """The type of a parameter that a reader checks and converts."""

    name = "text"

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return check(param.name if param and param.name else "value", self.reader, value)


def check(field: str, reader: Reader, value: Any) -> Any:
    """Return a value as a reader converts it.

    Raises:
      RequestError: the reader refuses the value; the error names the field.
    """
    try:
        return reader(value)
    except Wrong as wrong:
        raise RequestError(Problem(field, str(wrong), wrong.hint)) from None
