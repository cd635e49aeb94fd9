"""`resnet-launch data VERB …`: datasets; the verbs are those of `python -m trainer.data`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import click

from launcher import contract, extras
from launcher.check import input_demand
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
    environment = {**os.environ, contract.variable("program"): "resnet-launch data"}
    # -P: no module of the current directory takes the place of an installed one.
    process = subprocess.Popen([sys.executable, "-P", "-m", "trainer.data", *verb_and_flags], env=environment)
    # The terminal sends Ctrl-C to both processes; the trainer's decides how to end.
    previous_handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, previous_handler)


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
