"""``resnet-train``: use, compare and convert trained networks on one machine."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys

from trainer import paths
from trainer.arguments import Parser
from trainer.config import DataConfig, ModelConfig, parse_setting, resolve
from trainer.devices.attached import prefer_cpu
from trainer.errors import ERROR, ConfigError, DataError, TrainError, printable_json, reason
from trainer.registry import LIBRARIES
from trainer.rundir import reachable
from trainer.runtime.accelerators import use_cpu_without_others
from trainer.runtime.streams import quieten, reserve_stdout

EXAMPLES = """examples, from pictures in photos/train/CLASS/ and photos/val/CLASS/:
  resnet-train train --run-dir runs/first --data photos --arch resnet-tiny --batch 4 --steps 4
  resnet-train predict runs/first cat.jpg photos/
  resnet-train predict runs/first cat.jpg --explain --out cat.html
  resnet-train evaluate runs/first --data photos
  resnet-train report runs/first --out first.html
  resnet-train export runs/first first.onnx --to onnx
  resnet-train export runs/first first.pth --to torchvision
  resnet-train import resnet18.pth resnet18.safetensors --from torchvision --arch resnet18
  resnet-train train --run-dir runs/tuned --data photos --arch resnet-tiny --batch 4 --steps 4 \\
    --set train.init=runs/first
  resnet-train compare runs/first runs/tuned
"""
# Arguments that are paths -> what messages call them; --data is a name or a path.
PATHS = {"network": "RUN", "file": "FILE", "out": "OUT", "classes": "--classes"}
TARGETS = ("safetensors", "indices", *LIBRARIES, "onnx")


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit code: 0 done, 1 failed, 2 wrong request.

    ``train`` does not return; the process ends with an exit code of the trainer.
    """
    quieten(os.environ)
    use_cpu_without_others(os.environ)
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["train"]:
        from trainer.__main__ import main as train

        sys.argv[1:] = arguments[1:]
        train()
    prefer_cpu(os.environ)
    reserve_stdout()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        args = parser().parse_args(arguments)
        _make_absolute(args)
        for name in PATHS:
            reachable.require(getattr(args, name, None) or "")
        VERBS[args.verb](args)
    except TrainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except BrokenPipeError:  # `| head` closes the pipe early
        sys.stderr.close()
        return 1
    except OSError as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        return 1
    return 0


def _make_absolute(args: argparse.Namespace) -> None:
    """Make every path of a request absolute, except the images, whose names are printed as they are typed."""
    for name, field in PATHS.items():
        if getattr(args, name, None) is not None:
            setattr(args, name, paths.absolute(field, getattr(args, name)))


def _verb(verbs: argparse._SubParsersAction[Parser], name: str, text: str) -> Parser:
    """Add the parser of a verb, whose help begins with what it does and ends with its examples."""
    commands = EXAMPLES.replace("\\\n  ", "").splitlines()  # without continued lines
    examples = [line for line in commands if f"resnet-train {name} " in line]
    return verbs.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog="\n".join(["example:", *examples]) if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parser() -> Parser:
    """Return the parser of ``resnet-train`` with its verbs and their flags."""
    parser = Parser(
        prog="resnet-train",
        description="Use, compare and convert trained networks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _verb(verbs, "train", "train on this machine's devices, with the flags of python -m trainer")
    verb = _verb(
        verbs,
        "predict",
        "classify images; prints one line of JSON per image, and continues after one that cannot be read",
    )
    verb.add_argument("network", metavar="RUN", help="directory of a run, or a weights file")
    _add_classes(verb)
    verb.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="picture, folder of pictures, or - for stdin: a picture, or a list of files with one per line",
    )
    verb.add_argument(
        "--top", type=int, default=5, metavar="N", help="number of classes per image (default: 5)"
    )
    verb.add_argument(
        "--explain",
        action="store_true",
        help="also write a page that shows where the network looked in the first 24 pictures",
    )
    verb.add_argument(
        "--out",
        metavar="FILE",
        help="page that --explain writes (default: report.html in the run directory)",
    )
    verb.add_argument(
        "--data",
        metavar="DATA",
        help="dataset for the mistakes on that page (default: the run's, if on this machine)",
    )
    verb = _verb(verbs, "evaluate", "measure the accuracy on the test split of a dataset; prints JSON")
    verb.add_argument("network", metavar="RUN", help="directory of a run, or a weights file")
    verb.add_argument(
        "--data",
        metavar="DATA",
        help="dataset: a name, a folder or gs://… (default: the run's, if on this machine)",
    )
    _add_classes(verb)
    verb = _verb(verbs, "report", "write a page with a run's curves, goodput and mistakes")
    verb.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="directories of runs, or folders with runs at most four levels below: paths or gs://…",
    )
    verb.add_argument(
        "--out",
        metavar="FILE",
        help="page to write; for several runs a folder of pages (default: report.html in each run directory)",
    )
    verb.add_argument(
        "--data",
        metavar="DATA",
        help="dataset with the images of the mistakes (default: the run's, if on this machine)",
    )
    verb.add_argument(
        "--arch",
        metavar="PACKAGE.MODULE:NAME",
        help="network of the run, if it is of an own module: the report imports it only where you name it",
    )
    verb.add_argument(
        "--json", action="store_true", help="print the run's figures as JSON instead of writing the page"
    )
    verb.add_argument(
        "--explain", action="store_true", help="show where the network looked when it made its mistakes"
    )
    verb = _verb(verbs, "compare", "print what differs between runs, in settings and in results")
    verb.add_argument("runs", nargs="+", metavar="RUN", help="directories of runs, paths or gs://…")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb = _verb(verbs, "import", "convert the weights of another library")
    verb.add_argument(
        "file", metavar="FILE", help="weights or training checkpoint to convert, of torch.save or safetensors"
    )
    verb.add_argument("out", metavar="OUT", help=".safetensors file to write")
    verb.add_argument(
        "--from",
        dest="library",
        required=True,
        choices=LIBRARIES,
        help="library whose names the weights have",
    )
    verb.add_argument("--arch", required=True, metavar="ARCH", help="network architecture of the weights")
    verb.add_argument(
        "--image-size",
        type=int,
        default=224,
        metavar="PIXELS",
        help="height and width of its images in pixels (default: 224)",
    )
    verb.add_argument(
        "--set", action="append", default=[], metavar="model.FIELD=VALUE", help="setting of that network"
    )
    verb.add_argument(
        "--state",
        metavar="NAME",
        help="which network of a training checkpoint, such as state_dict_ema or model_ema "
        "(default: the one that is not an average)",
    )
    _add_classes(verb)
    verb = _verb(verbs, "export", "write the best checkpoint of a run for other programs")
    verb.add_argument("network", metavar="RUN", help="directory of a run, or a weights file")
    verb.add_argument(
        "out",
        metavar="OUT",
        help="file to write; its suffix says the format: .safetensors, .onnx, or .pth for a library",
    )
    verb.add_argument(
        "--to",
        dest="target",
        required=True,
        choices=TARGETS,
        help="format or library to write for; indices: safetensors "
        "with the places and values of what is not zero, for a network of sparse.method",
    )
    _add_classes(verb)
    _add_depth(verbs)
    return parser


def _add_depth(verbs: argparse._SubParsersAction[Parser]) -> None:
    verb = verbs.add_parser(
        "depth",
        help="train plain and residual networks of 20 to 1,002 layers, and show why residual ones train",
        description="Train plain and residual networks of several depths on hand-written digits, print their "
        "gradients, losses and accuracies, and write a page with pictures: why residual networks train.",
        epilog="examples:\n  resnet-train depth\n  resnet-train depth --quick --out depth.html",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument(
        "--quick",
        action="store_true",
        help="fewer channels, images and steps: minutes become seconds per network",
    )
    verb.add_argument(
        "--layers",
        default="20,56,110,1002",
        metavar="N,N",
        help="numbers of layers, 2n + 2 each (default: 20,56,110,1002)",
    )
    verb.add_argument(
        "--out", default="depth.html", metavar="FILE", help="page to write (default: depth.html)"
    )


def _add_classes(verb: Parser) -> None:
    text = "names of the classes, in the order of the logits: one per line, or a JSON list"
    verb.add_argument("--classes", metavar="FILE", help=text)


def predict(args: argparse.Namespace) -> None:
    from trainer import pages
    from trainer.weights import inference, pictures

    if args.top < 1:
        raise ConfigError(f"--top: must be at least 1, got {args.top}")
    if not args.explain and (flag := next((name for name in ("out", "data") if getattr(args, name)), None)):
        raise ConfigError(f"--{flag}: must be beside --explain, got none", "--explain writes a page")
    weights = _load_weights(args)
    page = pages.ExplainedPage(args, weights) if args.explain else None
    named, answered, failed = pictures.named(args.images, sys.stdin.buffer), 0, 0
    watch = [page.looks.add] if page else []
    for result in inference.predict(weights, named, args.top, DataConfig().max_pixels, *watch):
        if isinstance(result, DataError):
            failed += 1
            _print_status(f"{ERROR}{result}")
        else:
            answered += 1
            print(printable_json(json.dumps(result, ensure_ascii=False)), flush=True)
    if page and answered:
        page.write()
    if failed:
        raise DataError(f"{failed:,} of {answered + failed:,} pictures could not be classified")


def evaluate(args: argparse.Namespace) -> None:
    from etils import epath

    from trainer import pages
    from trainer.rundir import directory
    from trainer.weights import inference

    if not pages.is_file(args.network):
        data = pages.data_of(directory.read(epath.Path(args.network)), args.data)
    elif args.data:
        data = pages.dataset(args.data)
    else:
        raise ConfigError("--data: must be a dataset for a weights file, got none")
    print(json.dumps(inference.evaluate(_load_weights(args), data)))


def report(args: argparse.Namespace) -> None:
    from etils import epath

    from trainer import pages
    from trainer.board import folders
    from trainer.rundir import record
    from trainer.weights import outputs

    if args.json and args.explain:
        raise ConfigError("--explain: must be without --json, which writes no page, got both")
    if args.out and os.path.splitext(args.out)[1] and not epath.Path(args.out).is_dir():
        outputs.check_suffix(args.out, "report")
    roots = [paths.absolute("RUN", run) for run in args.runs]
    for root in roots:
        reachable.require(root)
    addresses = list(dict.fromkeys(address for root in roots for address in folders.runs_of(root)))
    if args.json:
        results = [record.load(epath.Path(address)).result() for address in addresses]
        print(json.dumps(results[0] if len(results) == 1 else results))
        return
    failed = 0
    places = pages.places(args.out, addresses)
    for address, out in zip(addresses, places, strict=True):
        try:
            run = record.load(epath.Path(address))
            place = pages.place(out, address)
            pages.save(place, pages.run_page(run, args.data, args.arch, args.explain), out)
            print(place, flush=True)
        except TrainError as error:
            if len(addresses) == 1:
                raise
            failed += 1
            _print_status(f"{ERROR}{address}: {error}")
    if failed:
        raise DataError(f"{failed:,} of {len(addresses):,} runs have no page")


def compare(args: argparse.Namespace) -> None:
    from trainer.board import comparison, folders
    from trainer.board.row import row

    if len(args.runs) < 2:
        raise ConfigError(f"RUN: must be two runs or more, got {len(args.runs)}")
    addresses = [paths.absolute("RUN", run) for run in args.runs]
    for address in addresses:
        reachable.require(address)
    rows = [row(folders.one(address)) for address in addresses]
    if args.json:
        document = {
            "runs": [{key: value for key, value in row.items() if key != "curves"} for row in rows],
            "settings": comparison.settings(rows),
            "results": comparison.results(rows),
        }
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(comparison.lines(rows)))


def import_weights(args: argparse.Namespace) -> None:
    from trainer.weights import class_names, outputs, torch_import

    outputs.check_name(args.out, "safetensors")
    if args.image_size < 1:
        raise ConfigError(f"--image-size: must be at least 1, got {args.image_size}")
    settings = dict(parse_setting(text) for text in args.set)
    model: ModelConfig = resolve("", "", "", {"model.arch": args.arch}, settings).model
    names = class_names.read(args.classes) if args.classes else None
    imported = torch_import.load_torch(
        args.file, model, args.image_size, args.state or "", names, args.library
    )
    weights = imported.weights
    weights.save(args.out)
    for note in imported.notes:
        _print_status(f"{args.file}: {note}")
    _print_status(f"{args.out}: {weights.model.arch}, {len(weights.class_names)} classes")


def export(args: argparse.Namespace) -> None:
    from trainer.weights import outputs, torch_import
    from trainer.weights.onnx import write_onnx

    outputs.check_name(args.out, args.target)
    weights = _load_weights(args)
    if args.target == "onnx":
        write_onnx(weights, args.out)
    elif args.target in ("safetensors", "indices"):
        weights.save(args.out, as_indices=args.target == "indices")
    else:
        torch_import.save_torch(weights, args.out, args.target)
        _print_status(
            f"{torch_import.sidecar(args.out)}: its class names, mean, deviation, image size and crop"
        )
    _print_status(f"{args.out}: {weights.model.arch}, {len(weights.class_names)} classes, for {args.target}")


def depth(args: argparse.Namespace) -> None:
    from trainer.lesson import command

    command.run(args.out, args.layers, args.quick)


def _load_weights(args: argparse.Namespace):
    """Return the weights of a run or a file, with the names of ``--classes``."""
    from trainer.weights import class_names, inference

    names = class_names.read(args.classes) if args.classes else None
    weights = inference.load_weights(args.network)
    return weights if names is None else class_names.renamed(weights, names)


def _print_status(text: str) -> None:
    print(text, file=sys.stderr)


VERBS = {
    "predict": predict,
    "evaluate": evaluate,
    "report": report,
    "compare": compare,
    "import": import_weights,
    "export": export,
    "depth": depth,
}
