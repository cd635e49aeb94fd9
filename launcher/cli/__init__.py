"""The command: `resnet-launch VERB …`. No verb means submit.

A verb is a module of this package with a `command`; it is imported when it is typed, so that `--help` and
`render` never load the Kubernetes client.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from typing import Any

import click

from launcher.errors import LauncherError, closest
from launcher.version import __version__

# verb: what it does, in one imperative line
VERBS = {
    "submit": "Submit a run to a cluster.",
    "list": "List the runs of a namespace.",
    "status": "Show what a run does, and why it waits or failed.",
    "logs": "Print what its hosts print.",
    "wait": "Wait until it is over; the exit code says how.",
    "suspend": "Give its hardware back and keep the run.",
    "resume": "Go on from its last checkpoint.",
    "delete": "End it and wait until it is gone.",
    "diff": "Show what a new render would change.",
    "check": "Compile it here, predict its speed, ask the cluster what it lacks.",
    "render": "Print the manifests of a run; needs no cluster.",
    "local": "Run the same JobSet as processes on this machine.",
    "data": "Pack, check and measure datasets.",
    "slices": "List the hardware that a run can have.",
    "config": "Show each setting and where it comes from.",
    "completion": "Print the completion script of a shell.",
}
HIDDEN = {"default": "Submit, or print the manifests where no cluster is configured."}
COMPLETE = "_RESNET_LAUNCH_COMPLETE"  # set while a shell asks for completions


class Verbs(click.Group):
    """The verbs, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS]  # `list` is a verb's module once that is imported

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
    options_metavar="[--slice SLICE --arch ARCH …]",
    subcommand_metavar="[VERB …]",
    epilog="`resnet-launch VERB --help` has each verb's flags; without a verb they are those of submit.",
)
@click.version_option(__version__, message="resnet-launch %(version)s")
def group() -> None:
    """Train a ResNet on a slice of a Kubernetes cluster.

    \b
    Example: resnet-launch --slice v4-32 --arch resnet152
    """


def main(argv: list[str] | None = None) -> int:
    """Runs one command line; 0 done, 1 the action failed, 2 the request was wrong."""
    words = [*(sys.argv[1:] if argv is None else argv)]
    if COMPLETE in os.environ:
        _complete_without_verb(os.environ)
    cut = words.index("--") if "--" in words else len(words)
    words, trainer_words = words[:cut], words[cut + 1 :]
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        words.insert(0, "default")
    try:
        return _run(words, trainer_words)
    except SystemExit as stop:  # click ends so when it has answered a shell
        return int(stop.code or 0)
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        return report(error)


def _complete_without_verb(environ: MutableMapping[str, str]) -> None:
    """Makes a line that starts with a flag one of the verb that it means, as `main` does when it is run."""
    name, *rest = environ.get("COMP_WORDS", "").split() or [""]
    if rest and rest[0].startswith("-"):
        environ["COMP_WORDS"] = " ".join([name, "default", *rest])
        if environ.get("COMP_CWORD", "").isdecimal():  # a position in bash and zsh, a word in fish
            environ["COMP_CWORD"] = str(int(environ["COMP_CWORD"]) + 1)


def _run(words: list[str], trainer_words: list[str]) -> int:
    code = group.main(words or ["--help"], "resnet-launch", standalone_mode=False, obj=tuple(trainer_words))
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def report(error: Exception) -> int:
    """Prints `error:` and `hint:` lines on stderr and gives the exit code."""
    if isinstance(error, LauncherError):
        problems, code = error.messages(), error.exit_code
    elif isinstance(error, click.ClickException):
        problems, code = [_usage(error)], 2
    elif isinstance(error, click.Abort):
        problems, code = [("interrupted", "")], 1
    else:
        fault = f"this is a fault of resnet-launch: {type(error).__name__}: {error}"
        problems, code = [(fault, "the same command with --debug says where")], 1
    for message, hint in problems:
        print(f"error: {message}", *([f"hint: {hint}"] if hint else []), sep="\n", file=sys.stderr)
    return code


def _usage(error: click.ClickException) -> tuple[str, str]:
    """click's words for a wrong flag, in ours."""
    if isinstance(error, click.NoSuchOption):
        command = error.ctx.command if error.ctx else group
        known = [name for option in command.params for name in option.opts if name.startswith("--")]
        verb = f" {command.name}" if command.name not in (None, "default", "group") else ""
        hint = closest(error.option_name, known) or f"resnet-launch{verb} --help lists the flags"
        return f"flag: must be a flag of resnet-launch{verb}, got {error.option_name!r}", hint
    return error.format_message(), ""
