"""`resnet-launch suspend NAME`: give the hardware back, keep the run."""

from __future__ import annotations

import json

import click

from launcher.cli import options, target

PARAMS = [target.name(), *target.flags(), target.as_json()]


@click.command("suspend", cls=options.Command, params=PARAMS, example="resnet-launch suspend resnet152-v4-32")
def command(
    name: str, context: str | None, kubeconfig: str | None, namespace: str | None, as_json: bool
) -> None:
    """Suspend a run: its pods save their state and go, the run stays and can be resumed."""
    switch(name, True, as_json, context, kubeconfig, namespace)


def switch(
    name: str,
    suspended: bool,
    as_json: bool,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
) -> None:
    """Suspends or resumes a run. Raises ActionError for a run that is over."""
    from launcher.errors import ActionError
    from launcher.runs import diagnosis, lookup

    cluster = target.cluster(context, kubeconfig, namespace)
    jobset = lookup.find(cluster, name)
    over = next((c for c in ("Completed", "Failed") if diagnosis.condition(jobset, c)), None)
    if over:
        raise ActionError(
            f"run {name!r} is {over.lower()}", f"resnet-launch delete {name}, then submit again"
        )
    changed = lookup.set_suspended(cluster, jobset, suspended)
    state = "suspended" if suspended else "resumed"
    if as_json:
        click.echo(json.dumps({"name": name, "suspended": suspended, "changed": changed}, indent=2))
    else:
        click.echo(f"{name} {state}" if changed else f"{name} was {state} already")
