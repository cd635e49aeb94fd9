"""`resnet-launch data VERB …`: datasets; the verbs are those of `python -m trainer.data`."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys

import click

from launcher import contract
from launcher.check import input_demand
from launcher.errors import ActionError, Problem, RequestError
from launcher.hardware import slices

NEEDS = ("--slice", "--arch")


@click.command(
    "data",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def command(words: tuple[str, ...]) -> int:
    """Pack, check and measure datasets."""
    given = [*words] or ["--help"]
    if given[0] == "bench":
        given = with_need(given)
    if importlib.util.find_spec("trainer") is None or importlib.util.find_spec("array_record") is None:
        why = "the trainer's packages are not installed here, and they read and write the data"
        raise ActionError(why, "pip install 'resnet-launch[train]'")
    environment = {**os.environ, contract.variable("program"): "resnet-launch data"}
    process = subprocess.Popen([sys.executable, "-m", "trainer.data", *given], env=environment)
    # The terminal sends Ctrl-C to both; the one that works decides how to end.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def with_need(words: list[str]) -> list[str]:
    """`--slice` and `--arch` turned into what the chips of one such host take."""
    named, rest = {}, []
    pending = iter(words)
    for word in pending:
        flag, equals, value = word.partition("=")
        if flag in NEEDS:
            named[flag] = value if equals else next(pending, "")
        else:
            rest.append(word)
    if not named:
        return rest
    if "--slice" not in named:
        raise RequestError(Problem("slice", "must go with --arch", "--slice v5e-16 --arch resnet50"))
    arch = named.get("--arch", "resnet50")
    shape = slices.parse(named["--slice"])
    need = input_demand.images_per_second(shape, arch)
    return [*rest, "--need", f"{need:.0f}", "--for", f"{shape.name} with {arch}"]
