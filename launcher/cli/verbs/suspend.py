"""`resnet-launch suspend NAME`: release the hardware and keep the run."""

from __future__ import annotations

import json

import click

from launcher.cli import options, target

PARAMS = [target.name(), *target.flags(), target.as_json()]


@click.command("suspend", cls=options.Command, params=PARAMS, example="resnet-launch suspend resnet152-v4-32")
def command(
    name: str, context: str | None, kubeconfig: str | None, namespace: str | None, as_json: bool
) -> None:
    """Suspend a run: its pods save a checkpoint and end, and the run can be resumed."""
    set_suspended(name, True, as_json, context, kubeconfig, namespace)


def set_suspended(
    name: str,
    suspended: bool,
    as_json: bool,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
) -> None:
    """Suspend or resume a run and print the result. Raises ActionError for a run that is over."""
    from launcher.errors import ActionError
    from launcher.runs import diagnosis, lookup

    cluster = target.cluster(context, kubeconfig, namespace)
    jobset = lookup.find(cluster, name)
    ended = next((kind for kind in ("Completed", "Failed") if diagnosis.condition(jobset, kind)), None)
    if ended:
        raise ActionError(
            f"run {name!r} is {ended.lower()}", f"resnet-launch delete {name}, then submit again"
        )
    changed = lookup.set_suspended(cluster, jobset, suspended)
    state = "suspended" if suspended else "resumed"
    if as_json:
        click.echo(json.dumps({"name": name, "suspended": suspended, "changed": changed}, indent=2))
    else:
        click.echo(f"{name} {state}" if changed else f"{name} was already {state}")
