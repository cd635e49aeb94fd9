"""``resnet-train``: what a person does with networks beside training them in pods."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from trainer.config import DataConfig, ModelConfig, TrainConfig, parse_setting, resolve
from trainer.errors import ConfigError, TrainError

EXAMPLES = """examples:
  resnet-train predict runs/resnet18 cat.jpg dog.jpg
  resnet-train evaluate runs/resnet18 --data fashion-mnist
  resnet-train report gs://bucket/resnet50 --out resnet50.html
  resnet-train import resnet50.pth resnet50.safetensors --from torchvision --arch resnet50
  resnet-train export runs/resnet50 resnet50.onnx --to onnx
  resnet-train train --run-dir runs/tuned --data gs://bucket/flowers --set train.init=resnet50.safetensors
"""
TARGETS = ("safetensors", "torchvision", "timm", "onnx")


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise ConfigError(message, f"{self.prog} --help")


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; 0 done, 1 it failed, 2 the request was wrong. ``train`` ends as the trainer does."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["train"]:
        from trainer.__main__ import main as train

        sys.argv[1:] = words[1:]
        train()
    try:
        given = parser().parse_args(words)
        VERBS[given.verb](given)
    except TrainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        return 1
    return 0


def parser() -> Parser:
    """The verbs and their flags."""
    parser = Parser(
        prog="resnet-train",
        description="Use, compare and convert trained networks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("train", help="train on this machine's devices, as a pod does")
    one = verbs.add_parser("predict", help="name what is in pictures, as JSON lines")
    one.add_argument("network", metavar="RUN", help="directory of a run, or a file of weights")
    one.add_argument("images", nargs="+", metavar="IMAGE", help="JPEG or PNG")
    one.add_argument("--top", type=int, default=5, metavar="N", help="classes for each (default: 5)")
    one = verbs.add_parser("evaluate", help="accuracy on the test split of a dataset, as JSON")
    one.add_argument("network", metavar="RUN", help="directory of a run, or a file of weights")
    one.add_argument("--data", metavar="DATA", help="dataset: a name or a path (default: the run's)")
    one = verbs.add_parser("report", help="write a page of a run's curves, time and mistakes")
    one.add_argument("run", metavar="RUN", help="directory of a run, also gs://…")
    one.add_argument("--out", metavar="FILE", help="(default: report.html in the run's directory)")
    one.add_argument("--json", action="store_true", help="print the run's figures instead, write nothing")
    one = verbs.add_parser("import", help="make a file of weights of another library's")
    one.add_argument("file", metavar="FILE", help=".pth or .safetensors")
    one.add_argument("out", metavar="OUT", help="file to write, .safetensors")
    one.add_argument("--from", dest="library", required=True, choices=("torchvision", "timm"))
    one.add_argument("--arch", required=True, metavar="ARCH", help="the network in it")
    one.add_argument("--image-size", type=int, default=224, metavar="PIXELS", help="(default: 224)")
    _settings(one, "model.… of that network")
    one = verbs.add_parser("export", help="write a run's best network for other programs")
    one.add_argument("network", metavar="RUN", help="directory of a run, or a file of weights")
    one.add_argument("out", metavar="OUT", help="file to write")
    one.add_argument("--to", dest="target", required=True, choices=TARGETS)
    return parser


def _settings(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", help=text)


def predict(given: argparse.Namespace) -> None:
    from trainer.weights import inference

    if given.top < 1:
        raise ConfigError(f"--top: must be at least 1, got {given.top}")
    for row in inference.predict(
        inference.find(given.network), given.images, given.top, DataConfig().max_pixels
    ):
        print(json.dumps(row, ensure_ascii=False), flush=True)


def evaluate(given: argparse.Namespace) -> None:
    from etils import epath

    from trainer.rundir import directory
    from trainer.weights import inference

    data = DataConfig()
    if not given.network.endswith(".safetensors"):
        data = directory.read(epath.Path(given.network)).data
    elif not given.data:
        raise ConfigError("--data: must be named for a file of weights, got none")
    if given.data:
        data = dataclasses.replace(resolve("", "", "", {"data.name": given.data}).data, root=data.root)
    print(json.dumps(inference.evaluate(inference.find(given.network), data)))


def report(given: argparse.Namespace) -> None:
    from etils import epath

    from trainer.report import page
    from trainer.rundir import record

    found = record.load(epath.Path(given.run))
    if given.json:
        print(json.dumps(found.result()))
        return
    out = epath.Path(given.out or epath.Path(given.run) / "report.html")
    if not out.parent.is_dir():
        raise ConfigError(f"--out: must be in a folder that is there, got {out}")
    out.write_text(page.render(found, _mistakes(found.config)))
    print(out)


def _mistakes(config: TrainConfig):
    """Of the best checkpoint, or a sentence why there are none: of neither the data need be here."""
    from trainer.weights import confusion, inference

    try:
        return confusion.look(inference.of_run(config), config.data)
    except TrainError as error:
        _say(f"warning: the report has no confusion matrix: {error}")
        return str(error).splitlines()[0]


def import_weights(given: argparse.Namespace) -> None:
    from trainer.weights.file import read_foreign

    settings = dict(parse_setting(text) for text in given.set)
    model: ModelConfig = resolve("", "", "", {"model.arch": given.arch}, settings).model
    found = read_foreign(given.file, model, given.image_size)
    found.save(given.out)
    _say(f"{given.out}: {found.model.arch}, {len(found.class_names)} classes")


def export(given: argparse.Namespace) -> None:
    from safetensors.numpy import save_file

    from trainer.weights import inference, torch_names
    from trainer.weights.onnx import write_onnx

    if not Path(given.out).absolute().parent.is_dir():
        raise ConfigError(f"{given.out}: must be in a folder that is there")
    found = inference.find(given.network)
    if given.target == "onnx":
        write_onnx(found, given.out)
    elif given.target == "safetensors":
        found.save(given.out)
    else:
        save_file(torch_names.write(found.model, found.arrays), given.out)
    _say(f"{given.out}: {found.model.arch}, {len(found.class_names)} classes, for {given.target}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)


VERBS = {
    "predict": predict,
    "evaluate": evaluate,
    "report": report,
    "import": import_weights,
    "export": export,
}
