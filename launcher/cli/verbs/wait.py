"""`resnet-launch wait NAME`: wait until a run is over."""

from __future__ import annotations

import json

import click

from launcher.cli import options, target


@click.command(
    "wait",
    cls=options.Command,
    params=[target.name(), target.timeout("7d"), *target.flags(), target.as_json()],
    example="resnet-launch wait resnet152-v4-32 --timeout 2h",
)
def command(
    name: str,
    timeout: int,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    as_json: bool,
) -> int:
    """Wait until a run is over, and say on stderr what it waits for.

    A run that cannot start until somebody changes something, such as an image that does not exist, is not
    waited for. Exit code 0: completed, 1: failed, deleted, no such run, or it cannot start, 3: not over in
    time, 4: not known.
    """
    from launcher.errors import ActionError
    from launcher.runs import diagnosis, ending, lookup, waiting, watch

    with watch.end_not_known(name, ActionError):
        cluster = target.cluster(context, kubeconfig, namespace)
    with watch.end_not_known(name):
        lookup.find(cluster, name)
        update = waiting.Waiting(cluster, name, lambda text: click.echo(text, err=True)).update
        jobset = watch.until_over(cluster, name, timeout, update)
    failed = diagnosis.condition(jobset, "Failed")
    phase = "Failed" if failed else "Completed"
    if as_json:
        click.echo(json.dumps({"name": name, "phase": phase, "restarts": lookup.restarts(jobset)}, indent=2))
    else:
        click.echo(f"{name} {phase.lower()}" + (f": {diagnosis.failure(jobset)}" if failed else ""))
        for line in ending.lines(cluster, name):
            click.echo(line, err=True)
    return 1 if failed else 0
