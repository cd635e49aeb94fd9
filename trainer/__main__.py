"""``python -m trainer``: flags -> TrainConfig -> join -> train, and an exit code that means something."""

import time

STARTED = time.time()  # before the imports below, which take seconds

import argparse  # noqa: E402
import contextlib  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402

from trainer import recipes  # noqa: E402
from trainer.config import TrainConfig, parse_setting, resolve  # noqa: E402
from trainer.errors import ConfigError, ExitCode, TrainError  # noqa: E402
from trainer.metrics.lines import EventLine, logfmt  # noqa: E402
from trainer.rundir.events import Preempted  # noqa: E402
from trainer.runtime.exit import leave, part  # noqa: E402
from trainer.runtime.join import join, read_environment  # noqa: E402
from trainer.runtime.messages import complain  # noqa: E402
from trainer.runtime.preemption import EarlyExit  # noqa: E402
from trainer.runtime.watchdog import Watchdog  # noqa: E402

# Flags with a field of their own: the launcher renders these, and ``--set`` for everything else.
FLAGS = {
    "--arch": ("model.arch", "network"),
    "--data": ("data.name", "dataset"),
    "--batch": ("train.batch", "examples of one step, over all hosts"),
    "--epochs": ("train.epochs", "passes over the training data"),
    "--steps": ("train.steps", "optimizer updates, instead of epochs"),
    "--profile": ("log.profile_steps", "steps of an xprof trace in the run directory: 100-104"),
    "--seed": ("train.seed", "of the parameters, the data order and the augmentation"),
}


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise ConfigError(message, "python -m trainer --help")


def main() -> None:
    """Never returns; see runtime.exit.leave."""
    try:
        run(sys.argv[1:])
        code = ExitCode.FINISHED
    except SystemExit as stop:  # --help
        code = int(stop.code or 0)
    except TrainError as error:
        complain(str(error))
        code = error.exit_code
    except BaseException as error:
        traceback.print_exc()
        complain(f"{type(error).__name__}: {error}")
        code = ExitCode.RETRY
    if code in (ExitCode.FINISHED, ExitCode.PREEMPTED, ExitCode.FATAL):
        part()  # every host ends with this code, and none may be killed for another's leaving first
    leave(code)


def run(arguments: list[str]) -> None:
    """One pod's whole life, up to the exit code.

    Raises:
      TrainError: with the exit code that the pod must end with.
    """
    config = parse(arguments)
    job = read_environment(os.environ)
    early = EarlyExit(logfmt(EventLine.KIND, Preempted(step=0).row()))
    watchdog = Watchdog(config.train.first_step_seconds, config.train.hang_seconds)
    join(job, config.train.join_seconds)
    joined = time.time()

    from trainer.metrics.display import make_display
    from trainer.train import (
        train,  # its imports take seconds; a wrong flag or a lost peer needs none of them
    )

    early.stop()
    display = make_display()
    if config.log.metrics_port:
        import jax

        from trainer.metrics.prometheus import Exposition

        if jax.process_index() == 0:
            display = Exposition(display, config.log.metrics_port)
    with contextlib.ExitStack() as closing:
        closing.callback(display.close)
        train(config, job, display, watchdog, {"start": STARTED, "joined": joined}, closing)


def parse(arguments: list[str]) -> TrainConfig:
    """Reads the flags; the recipe's settings come first, then flags, then ``--set`` in order.

    Raises:
      ConfigError: names the flag or field, what was expected and what came.
    """
    parsed = vars(parser().parse_args(arguments))
    flags = {field: parsed[field] for field, _ in FLAGS.values() if parsed[field] is not None}
    settings = dict(parse_setting(text) for text in parsed["set"])
    chosen = flags | settings
    recipe = parsed["recipe"] or recipes.default(chosen.get("data.name"))
    return resolve(parsed["name"], parsed["run_dir"], recipe, recipes.load(recipe), flags, settings)


def parser() -> Parser:
    """The flags of the trainer."""
    parser = Parser(prog="python -m trainer", description="Train one ResNet on all devices of a job.")
    parser.add_argument("--name", default="run", help="name of the run")
    parser.add_argument("--run-dir", required=True, help="where everything is written: a path or gs://…")
    parser.add_argument(
        "--recipe", default="", help=f"one of {', '.join(recipes.RECIPES)}; default: the dataset's"
    )
    for flag, (field, text) in FLAGS.items():
        parser.add_argument(flag, dest=field, metavar=flag[2:].upper(), help=text)
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", help="any other field"
    )
    return parser


if __name__ == "__main__":
    main()
