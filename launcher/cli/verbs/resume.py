"""`resnet-launch resume NAME`: continue from the last checkpoint."""

from __future__ import annotations

import click

from launcher.cli import options
from launcher.cli.verbs import suspend


@click.command(
    "resume", cls=options.Command, params=suspend.PARAMS, example="resnet-launch resume resnet152-v4-32"
)
def command(
    name: str | None,
    yes: str | None,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Resume a suspended run: new pods continue from its last checkpoint."""
    suspend.set_suspended(name, yes, False, as_json, context, kubeconfig, namespace)
