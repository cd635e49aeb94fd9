"""The flags of the trainer: from words to a TrainConfig."""

import argparse

from trainer import recipes
from trainer.config import TrainConfig, parse_setting, resolve
from trainer.errors import ConfigError

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
