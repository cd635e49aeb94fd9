"""`resnet-launch completion SHELL`: completion of verbs, flags, slices and networks."""

from __future__ import annotations

import click

from launcher.cli import options


@click.command("completion", cls=options.Command, example='eval "$(resnet-launch completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what the shell has to read to complete verbs, flags, slices and networks."""
    from click.shell_completion import get_completion_class

    from launcher.cli import COMPLETE, group

    found = get_completion_class(shell)
    assert found is not None  # click has all three
    click.echo(found(group, {}, "resnet-launch", COMPLETE).source())
