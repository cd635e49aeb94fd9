"""`resnet-launch status NAME`: the state of a run, and why it waits or failed."""

from __future__ import annotations

import json
from typing import Any

import click

from launcher import contract
from launcher.cli import options, table, target

LAST_LINES = 12  # shown of the message of the pod that failed first


@click.command(
    "status",
    cls=options.Command,
    params=[target.name(), *target.flags(), target.as_json()],
    example="resnet-launch status resnet152-v4-32",
)
def command(
    name: str, context: str | None, kubeconfig: str | None, namespace: str | None, as_json: bool
) -> None:
    """Show a run's phase, pods, restarts, step, throughput and time left, and why it waits or failed."""
    from launcher.runs.status import status

    run = status(target.cluster(context, kubeconfig, namespace), name)
    click.echo(json.dumps(run, indent=2) if as_json else "\n".join(page(run)))


def page(run: dict[str, Any]) -> list[str]:
    """Return the lines to print for a run's status."""
    restarts, pods = run["restarts"], run["pods"]
    slices = f"{run['slices']} x {run['slice']}" if run["slices"] > 1 else run["slice"]
    rows = [
        ("phase", run["phase"]),
        ("slice", f"{slices}, {run['hosts']} hosts, {run['arch']}"),
        ("pods", ", ".join(f"{count} {phase}" for phase, count in pods.items()) or "none"),
        ("restarts", f"{restarts['total']} ({restarts['counted']} of {restarts['max']} counted)"),
        ("age", table.age(run["created"])),
        ("run dir", run["run_dir"]),
    ]
    rows += [("why", text) for text in run["why"]]
    if failed := run["failed"]:
        code = "" if failed["exit_code"] is None else f"exit code {failed['exit_code']}, "
        rows.append(("failed first", f"{failed['pod']}: {code}{failed['meaning']}"))
        rows += [("", f"  {line}") for line in failed["message"].splitlines()[-LAST_LINES:]]
    elif failure := run["last_failure"]:
        rows.append(("last failure", f"{table.age(failure['at'])} ago: {failure['message']}"))
    rows += _training(run["progress"], run["evaluation"])
    if run["startup_seconds"]:
        milestones = ", ".join(
            f"{name.replace('_', ' ')} {seconds:g} s" for name, seconds in run["startup_seconds"].items()
        )
        rows.append(("start-up", milestones))
    return [run["name"], *(f"  {key:13} {text}" for key, text in rows)]


def _training(progress: contract.ProgressLine, evaluation: contract.EvaluateLine) -> list[tuple[str, str]]:
    rows = []
    if progress:
        loss = _number(progress.get("loss"), ".4f")
        rows.append(("step", f"{progress.get('step')} of {progress.get('steps')}, loss {loss}"))
    if "images_per_second" in progress:
        wait = f"{_number(progress.get('data_wait'), '.1%')} of the time waiting for data"
        rows.append(("throughput", f"{_number(progress['images_per_second'], ',.0f')} images/s, {wait}"))
    if isinstance(left := progress.get("eta_seconds"), (int, float)):
        rows.append(("time left", table.seconds(left)))
    if evaluation:
        accuracy = _number(evaluation.get("accuracy"), ".2%")
        rows.append(("accuracy", f"{accuracy} at step {evaluation.get('step')}"))
    return rows


def _number(value: Any, form: str) -> str:
    """Return a formatted number; a value that is no number, such as a loss of nan, as in the log."""
    return format(value, form) if isinstance(value, (int, float)) else str(value)
