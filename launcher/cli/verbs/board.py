"""`resnet-launch board DIR…`: one page over many runs, of a folder or a bucket."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from launcher import extras
from launcher.check import prices
from launcher.check.prices import Prices
from launcher.cli import options, trainer_program
from launcher.hardware import facts


@click.command("board", cls=options.Command, example="resnet-launch board gs://my-bucket -o board.html")
@click.argument("folders", nargs=-1, required=True, metavar="DIR…")
@click.option("-o", "--out", metavar="FILE", help="page to write; board.html if not given")
@click.option(
    "--serve",
    metavar="PORT",
    help="serve the page on this machine instead, always as the runs are now; 0: a free port",
)
@click.option("--price", metavar="PRICE", help="price of one chip per hour, as for `check`; adds the cost")
@click.option("--text", is_flag=True, help="print a table and the means over seeds instead")
@click.option("--no-cache", is_flag=True, help="read every run again")
@click.option("--json", "as_json", is_flag=True, help="print the runs as JSON instead, without curves")
def command(
    folders: tuple[str, ...],
    out: str | None,
    serve: str | None,
    price: str | None,
    text: bool,
    no_cache: bool,
    as_json: bool,
) -> int:
    """Write one page over all runs below some folders.

    DIR is a folder or gs://… with run directories below it, at most four levels deep. The page holds a table
    to sort and filter, the curves of the chosen runs laid over each other, and their settings side by side.
    It needs no network. Runs that have not changed since the last call come from a cache.
    """
    arguments = [
        *(["--out", out] if out is not None else []),
        *(["--serve", serve] if serve is not None else []),
    ]
    arguments += ["--no-cache"] * no_cache + ["--json"] * as_json + ["--text"] * text
    return run(folders, arguments, prices.read(price))


def run(folders: Sequence[str], arguments: Sequence[str], chip_prices: Prices) -> int:
    """Start the trainer's board on these folders, with these flags, and return its exit code."""
    extras.require("train", "`board`")
    chips = json.dumps(kinds(chip_prices))
    return trainer_program.run("board", "trainer.board", [*arguments, "--chips", chips, "--", *folders])


def kinds(chip_prices: Prices) -> dict[str, dict[str, float]]:
    """Return JAX's kind of a device -> devices per chip and, where known, the price of a chip per hour."""
    result: dict[str, dict[str, float]] = {}
    for generation, row in facts.generations().items():
        for kind in row.get("kinds", ()):
            result[kind] = {"devices_per_chip": row.get("devices_per_chip", 1)}
            price = chip_prices.by_generation.get(generation, chip_prices.every)
            if price is not None:
                result[kind]["price"] = price
    return result
