"""`resnet-launch slices [NAME]`: list the catalogue of hardware."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import click

from launcher.cli import options, table
from launcher.hardware import catalogue, slices
from launcher.hardware.slices import Slice
from launcher.request import custom_slices

COLUMNS = ("name", "hosts", "chips", "devices", "topology", "machine", "fabric")

GENERATION = ("name", "slices", "chips", "machine", "example")


def generation_row(listed: list[Slice]) -> dict[str, Any]:
    """Return the line of one generation: how many slices it has, and their range of chips."""
    least, most = (extreme(listed, key=lambda s: s.chips) for extreme in (min, max))
    chips = str(least.chips) if least.chips == most.chips else f"{least.chips} to {most.chips}"
    example = next((s for s in listed if s.hosts > 1), most)
    machines = list(dict.fromkeys(s.machine for s in listed if s.machine)) or [None]
    return {
        "name": least.generation,
        "slices": len(listed),
        "chips": chips,
        "machine": machines[0] if len(machines) == 1 else f"{machines[0]} and {len(machines) - 1} more",
        "example": example.name,
    }


def row(s: Slice) -> dict[str, Any]:
    """Return the fields and computed properties of a slice, for `--json`."""
    computed = ("chips", "devices", "devices_per_host", "resource", "node_selector", "tolerations")
    return dataclasses.asdict(s) | {name: getattr(s, name) for name in computed}


def own_slices() -> dict[str, Slice]:
    """Return the slices that resnet-launch.yaml describes under `slices:`, by name."""
    described = {name: facts for source in options.sources_of({}) for name, facts in source.slices.items()}
    return {name: custom_slices.shape(name, facts) for name, facts in described.items()}


@click.command("slices", cls=options.Command, example="resnet-launch slices v4-32 --json")
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="list every slice of every generation")
@click.option("--json", "as_json", is_flag=True, help="print JSON; of every slice where no NAME is given")
def command(name: str | None, every: bool, as_json: bool) -> None:
    """List the generations, the slices of one generation (v5p), or one slice (v4-32).

    The number in a name counts TensorCores for v4, v5p and tpu7x, chips for v5e and v6e, and GPUs for GPU
    slices. cpu-<hosts>x<devices per host> is a group of CPU hosts. v4:4x4x16 asks for a topology. Slices that
    resnet-launch.yaml describes under `slices:` are listed too.
    """
    if name is None and not every and not as_json:
        rows = [*catalogue.generations(), *([[*own.values()]] if (own := own_slices()) else [])]
        click.echo("\n".join(table.lines(GENERATION, map(generation_row, rows))))
        print(
            "resnet-launch slices NAME lists the slices of a generation, --all all of them", file=sys.stderr
        )
        return
    generation = catalogue.generation(name) if name else None
    own = own_slices()
    if name and not generation:
        listed = [own[name] if name in own else slices.parse(name)]
        document: Any = row(listed[0])
    else:
        listed = [*catalogue.slices(generation), *(own.values() if generation is None else ())]
        document = [row(s) for s in listed]
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo("\n".join(table.lines(COLUMNS, map(row, listed))))
