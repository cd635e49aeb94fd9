"""`resnet-launch status NAME`: what a run does, and why it waits or failed."""

from __future__ import annotations

import json
from typing import Any

import click

from launcher import contract
from launcher.cli import options, table, target

LAST_LINES = 12  # of the pod that failed first


@click.command(
    "status",
    cls=options.Command,
    params=[target.name(), *target.flags(), target.as_json()],
    example="resnet-launch status resnet152-v4-32",
)
def command(
    name: str, context: str | None, kubeconfig: str | None, namespace: str | None, as_json: bool
) -> None:
    """Show what a run does, pods, restarts, step, throughput, time left; and why it waits or failed."""
    from launcher.runs import status

    found = status.status(target.cluster(context, kubeconfig, namespace), name)
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(page(found)))


def page(found: dict[str, Any]) -> list[str]:
    """The same as lines for a person."""
    restarts, pods = found["restarts"], found["pods"]
    slices = f"{found['slices']} x {found['slice']}" if found["slices"] > 1 else found["slice"]
    rows = [
        ("phase", found["phase"]),
        ("slice", f"{slices}, {found['hosts']} hosts, {found['arch']}"),
        ("pods", ", ".join(f"{count} {phase}" for phase, count in pods.items()) or "none"),
        ("restarts", f"{restarts['total']}, of which {restarts['counted']} of {restarts['max']} counted"),
        ("age", table.age(found["created"])),
        ("run dir", found["run_dir"]),
    ]
    rows += [("why", text) for text in found["why"]]
    if failed := found["failed"]:
        code = "" if failed["exit_code"] is None else f"exit code {failed['exit_code']}, "
        text = f"{failed['pod']}: {code}{failed['meaning']}"
        rows.append(("failed first", text))
        rows += [("", f"  {line}") for line in failed["message"].splitlines()[-LAST_LINES:]]
    elif failure := found["last_failure"]:
        rows.append(("last failure", f"{table.age(failure['at'])} ago: {failure['message']}"))
    rows += _training(found["progress"], found["evaluation"])
    if found["startup_seconds"]:
        spent = ", ".join(
            f"{to.replace('_', ' ')} {took:g} s" for to, took in found["startup_seconds"].items()
        )
        rows.append(("start-up", spent))
    return [found["name"], *(f"  {key:13} {text}" for key, text in rows)]


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
    """A number as a person reads it; what is none, such as a loss of nan, as it stands in the log."""
    return format(value, form) if isinstance(value, (int, float)) else str(value)
