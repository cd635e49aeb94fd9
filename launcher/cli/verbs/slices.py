"""`resnet-launch slices [NAME]`: the catalogue."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from launcher.cli import options
from launcher.hardware import catalogue, slices
from launcher.hardware.slices import Slice

COLUMNS = ("name", "hosts", "chips", "devices", "topology", "machine", "fabric")


def row(s: Slice) -> dict[str, Any]:
    """One slice with what is computed from it, for `--json`."""
    computed = ("chips", "devices", "devices_per_host", "resource", "node_selector", "tolerations")
    return dataclasses.asdict(s) | {name: getattr(s, name) for name in computed}


def lines(found: list[Slice]) -> list[str]:
    """A table with aligned columns."""
    cells = [list(COLUMNS)] + [[str(getattr(s, column) or "-") for column in COLUMNS] for s in found]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


@click.command("slices", cls=options.Command, example="resnet-launch slices v4-32 --json")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(name: str | None, as_json: bool) -> None:
    """List the slices of every generation, of one (v5p), or show one slice (v4-32).

    The number in a name counts TensorCores for v4, v5p and tpu7x, chips for v5e and v6e, GPUs for GPU
    slices; cpu-<hosts>x<devices a host> is a group of CPU hosts. Other shapes are spelled v4:4x4x16.
    """
    generation = catalogue.generation(name) if name else None
    if name and not generation:
        found = [slices.parse(name)]
        shown: Any = row(found[0])
    else:
        found = catalogue.slices(generation)
        shown = [row(s) for s in found]
    click.echo(json.dumps(shown, indent=2) if as_json else "\n".join(lines(found)))
