"""`resnet-launch completion SHELL`: complete verbs, flags, slices and networks."""

from __future__ import annotations

import click

from launcher.cli import options

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=options.Command, example='eval "$(resnet-launch completion bash)"')
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that makes a shell complete verbs, flags, slices and networks."""
    from click.shell_completion import get_completion_class

    from launcher.cli import COMPLETE, group

    completion = get_completion_class(shell)
    assert completion is not None  # click supports all three shells
    click.echo(completion(group, {}, "resnet-launch", COMPLETE).source())
