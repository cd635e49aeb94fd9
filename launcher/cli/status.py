"""`resnet-launch status NAME`: what a run does, and why it waits or failed."""

from __future__ import annotations

import json
from typing import Any

import click

from launcher.cli import options, table, target


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
    from launcher import run

    found = run.status(target.cluster(context, kubeconfig, namespace), name)
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(page(found)))


def page(found: dict[str, Any]) -> list[str]:
    """The same as lines for a person."""
    restarts, pods = found["restarts"], found["pods"]
    rows = [
        ("phase", found["phase"]),
        ("slice", f"{found['slice']}, {found['hosts']} hosts, {found['arch']}"),
        ("pods", ", ".join(f"{count} {phase}" for phase, count in pods.items()) or "none"),
        ("restarts", f"{restarts['total']}, of which {restarts['counted']} of {restarts['max']} counted"),
        ("age", table.age(found["created"])),
        ("run dir", found["run_dir"]),
    ]
    rows += [("why", text) for text in found["why"]]
    if failed := found["failed"]:
        rows.append(
            ("failed first", f"{failed['pod']}: exit code {failed['exit_code']}, {failed['meaning']}")
        )
        rows += [("", f"  {line}") for line in failed["message"].splitlines()[-12:]]
    rows += _training(found["progress"], found["evaluation"])
    if found["startup_seconds"]:
        spent = ", ".join(f"{to} {took:g} s" for to, took in found["startup_seconds"].items())
        rows.append(("start-up", spent))
    return [found["name"], *(f"  {key:13} {text}" for key, text in rows)]


def _training(progress: dict[str, Any], evaluation: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if progress:
        text = f"{progress['step']} of {progress['steps']}, loss {progress['loss']:.4f}"
        rows.append(("step", text))
    if "images_per_second" in progress:
        wait = f"{progress['data_wait']:.1%} of it waiting for data"
        rows.append(("throughput", f"{progress['images_per_second']:,.0f} images/s, {wait}"))
        rows.append(("time left", table.seconds(progress["eta_seconds"])))
    if evaluation:
        rows.append(("accuracy", f"{evaluation['accuracy']:.2%} at step {evaluation['step']}"))
    return rows
