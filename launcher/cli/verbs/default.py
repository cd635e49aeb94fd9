"""`resnet-launch --slice … --arch …` without a verb: submit."""

from __future__ import annotations

import shlex
from typing import Any

import click

from launcher.cli import options
from launcher.cli.verbs import submit
from launcher.cluster import kubeconfig
from launcher.errors import ActionError


@click.command(
    "default",
    cls=options.Command,
    params=submit.PARAMS,
    example="resnet-launch --slice v4-32 --arch resnet152",
)
@click.pass_context
def command(ctx: click.Context, **flags: Any) -> Any:
    """Submit a run to the current context. Exit code 1 where no context is configured."""
    if not (flags["context"] or flags["kubeconfig"] or kubeconfig.is_configured()):
        fields = [*options.ALL, *(f"no_{name}" for name in options.WITHOUT)]
        options.request({name: value for name, value in flags.items() if name in fields})
        arguments = [*options.again(flags), *(["--", *ctx.obj] if ctx.obj else [])]
        raise ActionError(
            "nothing was submitted: no Kubernetes context is configured",
            f"resnet-launch render {shlex.join(arguments)}",
        )
    return ctx.invoke(submit.command, **flags)
