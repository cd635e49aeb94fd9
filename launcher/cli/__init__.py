"""The command `resnet-launch VERB …`; without a verb it submits.

Each verb is a module of launcher.cli.verbs with a `command`. It is imported when the verb is typed, so that
`--help` and `render` never load the Kubernetes client.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import click

from launcher.cli import terminal
from launcher.errors import LauncherError, closest
from launcher.version import __version__

# Verb -> what it does, as one imperative line.
VERBS = {
    "init": "Write resnet-launch.yaml, and list what a first run still needs.",
    "submit": "Submit a run to a cluster.",
    "list": "List the runs of a namespace.",
    "status": "Show what a run is doing, and why it waits or failed.",
    "watch": "Follow many runs on the screen: progress, speed, cost.",
    "logs": "Print the logs of a run's hosts.",
    "wait": "Wait until a run ends; the exit code says how it ended.",
    "suspend": "Release the hardware of a run and keep the run.",
    "resume": "Resume a suspended run from its last checkpoint.",
    "resize": "Go on with a run on another slice, or another number of slices.",
    "delete": "Delete a run and wait until it is gone.",
    "diff": "Show what a new render would change in a run.",
    "check": "Check a run before it starts: memory, speed, cluster.",
    "render": "Print the manifests of a run; needs no cluster.",
    "local": "Run the same JobSet as processes on this machine.",
    "data": "Pack, check and measure datasets.",
    "sweep": "Make a run of every combination of settings.",
    "board": "Write one page over many runs: table, curves, settings.",
    "pull": "Copy a run to this machine: metrics, report, a checkpoint.",
    "image": "Build the image of the pods without Docker.",
    "slices": "List the hardware that a run can use.",
    "config": "Show each setting and where its value comes from.",
    "completion": "Print the completion script for a shell.",
}
HIDDEN = {"default": "Submit a run to the current context."}
COMPLETE = "_RESNET_LAUNCH_COMPLETE"  # environment variable that a shell sets to ask for completions
MOST_CHARACTERS = 4000  # of a line of an error


class Verbs(click.Group):
    """The group of verbs; a verb's module is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS]  # not list(VERBS): `list` is a verb's module once that is imported

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS and cmd_name not in HIDDEN:
            return None
        import importlib

        return importlib.import_module(f"launcher.cli.verbs.{cmd_name}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args and args[0] not in VERBS and args[0] not in HIDDEN:
            hint = closest(args[0], VERBS) or f"the verbs are {', '.join(VERBS)}"
            raise LauncherUsage(f"verb: must be a verb or a flag, got {args[0]!r}", hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([*VERBS.items()])


class LauncherUsage(LauncherError):
    """The command line itself was wrong."""

    exit_code = 2


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    options_metavar="[--slice SLICE --arch ARCH|--command COMMAND …]",
    subcommand_metavar="[VERB …]",
    epilog="`resnet-launch VERB --help` lists the flags of a verb. Without a verb, submit's flags apply.",
)
@click.version_option(__version__, message="resnet-launch %(version)s")
def group() -> None:
    """Train a network, or run a program of your own, on a slice of a Kubernetes cluster.

    \b
    Example: resnet-launch --slice v4-32 --arch resnet152
    """


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code.

    0: done. 1: the action failed. 2: the request was wrong. 3: not over in time. 4: not known.
    """
    _print_what_the_terminal_can(sys.stdout, sys.stderr)
    if COMPLETE in os.environ:  # a shell reads the bytes, no terminal
        return _main(argv)
    with terminal.guarded():
        return _main(argv)


def _main(argv: list[str] | None) -> int:
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    if COMPLETE in os.environ:
        _complete_without_verb(os.environ)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    arguments, trainer_arguments = arguments[:end], arguments[end + 1 :]
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if arguments and arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version"):
        arguments.insert(0, "default")
    try:
        return _run(arguments, trainer_arguments)
    except SystemExit as stop:  # click exits after it has printed completions for a shell
        return int(stop.code or 0)
    except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        return report(error)


def _print_what_the_terminal_can(*streams: Any) -> None:
    """Replace characters that an encoding such as latin-1 lacks, instead of failing at the first one."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _complete_without_verb(environ: MutableMapping[str, str]) -> None:
    """Insert the verb `default` into a line to complete that starts with a flag, as `main` does."""
    program, *arguments = environ.get("COMP_WORDS", "").split() or [""]
    if arguments and arguments[0].startswith("-"):
        environ["COMP_WORDS"] = " ".join([program, "default", *arguments])
        if environ.get("COMP_CWORD", "").isdecimal():  # a position in bash and zsh, a word in fish
            environ["COMP_CWORD"] = str(int(environ["COMP_CWORD"]) + 1)


def _run(arguments: list[str], trainer_arguments: list[str]) -> int:
    code = group.main(
        arguments or ["--help"], "resnet-launch", standalone_mode=False, obj=tuple(trainer_arguments)
    )
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def report(error: Exception) -> int:
    """Print `error:` and `hint:` lines on stderr and return the exit code."""
    if isinstance(error, LauncherError):
        messages, code = error.messages(), error.exit_code
    elif isinstance(error, click.ClickException):
        from launcher.cli import usage

        messages, code = [usage.explain(error)], 2
    elif isinstance(error, click.Abort):
        interrupted = isinstance(error.__cause__, KeyboardInterrupt)  # else somebody answered no
        messages, code = [("interrupted" if interrupted else "nothing was done", "")], 4 if interrupted else 1
    else:
        bug = f"this is a bug in resnet-launch: {type(error).__name__}: {error}"
        messages, code = [(bug, "the same command with --debug prints the traceback")], 4
    for message, hint in messages:
        lines = [f"error: {message}", *([f"hint: {hint}"] if hint else [])]
        print(*map(_bounded, lines), sep="\n", file=sys.stderr)
    return code


def _bounded(line: str) -> str:
    """Return a line that fits on a screen; what it quotes may be as long as a file."""
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]} … ({len(line)} characters)"
