"""The trainer's flags, and how they become a TrainConfig."""

import argparse
from pathlib import Path

from trainer import paths, recipes
from trainer.config import TrainConfig, parse_setting, resolve
from trainer.errors import ConfigError
from trainer.registry import DATASETS
from trainer.runtime.messages import warn
from trainer.usage import explain, flags_of

# Settings with a flag of their own: the launcher renders these flags, and ``--set`` for every other setting.
FLAGS = {
    "--arch": ("model.arch", "network architecture: a name or package.module:name"),
    "--data": ("data.name", "dataset: a name, a folder, gs://… or package.module:name"),
    "--batch": ("train.batch", "global batch: examples per step, over all hosts"),
    "--epochs": ("train.epochs", "passes over the training data"),
    "--steps": ("train.steps", "optimizer updates, instead of --epochs"),
    "--profile": ("log.profile_steps", "steps to trace with xprof into the run directory, such as 100-104"),
    "--log-format": ("log.format", "form of the log lines: auto, logfmt or json"),
    "--seed": ("train.seed", "random seed of the parameters, the data order and the augmentation"),
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors name the argument, what it must be and what came."""

    def error(self, message: str):
        raise ConfigError(*explain(message, self.prog, flags_of(self)))


def parse(arguments: list[str]) -> TrainConfig:
    """Parse the flags; the recipe's settings come first, then flags, then each ``--set`` in order.

    Raises:
      ConfigError: names the flag or setting, what was expected and what it got.
    """
    args = vars(parser().parse_args(arguments))
    flags = {field: args[field] for field, _ in FLAGS.values() if args[field] is not None}
    settings = dict(parse_setting(text) for text in args["set"])
    dataset = (flags | settings).get("data.name")
    warn_of_folder(dataset)
    place = dataset and paths.dataset("data.name", dataset, DATASETS)
    recipe = args["recipe"] or recipes.default(place)
    run_dir = paths.absolute("--run-dir", args["run_dir"])
    named = flags | settings
    config = resolve(args["name"], run_dir, recipes.title(recipe), recipes.load(recipe), named)
    recipes.check_family(recipe, config.model.arch)
    return config


def warn_of_folder(dataset: str | None) -> None:
    """Warn where the name of a dataset is the name of a folder here too: the dataset is meant."""
    if dataset in DATASETS and Path(dataset).is_dir():
        warn(f"data.name: '{dataset}' is the dataset of that name; the folder here is './{dataset}'")


def parser() -> Parser:
    """Return the parser of ``python -m trainer``."""
    parser = Parser(prog="python -m trainer", description="Train a network on all devices of a run.")
    parser.add_argument("--name", default="run", help="name of the run")
    parser.add_argument(
        "--run-dir", required=True, help="run directory, where everything is written: a path or gs://…"
    )
    parser.add_argument(
        "--recipe",
        default="",
        help=f"recipe: {', '.join(recipes.RECIPES)}, FILE.yaml or package.module "
        "(default: that of the dataset)",
    )
    for flag, (field, text) in FLAGS.items():
        parser.add_argument(flag, dest=field, metavar=flag[2:].upper().replace("-", "_"), help=text)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="change a setting; `resnet-launch config --train` lists them",
    )
    return parser
