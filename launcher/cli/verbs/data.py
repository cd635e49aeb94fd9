"""`resnet-launch data VERB …`: datasets; the verbs are those of `python -m trainer.data`."""

from __future__ import annotations

import click

from launcher import extras
from launcher.check import input_demand
from launcher.cli import trainer_program
from launcher.errors import Problem, RequestError
from launcher.hardware import slices

DEMAND_FLAGS = ("--slice", "--arch")


@click.command(
    "data",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> int:
    """Pack, check and measure datasets."""
    verb_and_flags = [*arguments] or ["--help"]
    if verb_and_flags[0] == "bench":
        verb_and_flags = with_need(verb_and_flags)
    extras.require("train", f"`data {verb_and_flags[0]}`")
    return trainer_program.run("data", "trainer.data", verb_and_flags)


def with_need(arguments: list[str]) -> list[str]:
    """The arguments of `bench` with --slice and --arch replaced by --need and --for.

    Raises:
      RequestError: --arch stands without --slice, or one of them is unknown.
    """
    values, others = {}, []
    remaining = iter(arguments)
    for argument in remaining:
        flag, equals, value = argument.partition("=")
        if flag in DEMAND_FLAGS:
            values[flag] = value if equals else next(remaining, "")
        else:
            others.append(argument)
    if not values:
        return others
    if "--slice" not in values:
        raise RequestError(Problem("slice", "must be used with --arch", "--slice v5e-16 --arch resnet50"))
    arch = values.get("--arch", "resnet50")
    shape = slices.parse(values["--slice"])
    need = input_demand.images_per_second_per_host(shape, arch)
    return [*others, "--need", f"{need:.0f}", "--for", f"{shape.name} with {arch}"]
