"""``python -m trainer.data VERB``: pack, verify, stats, stage and bench; `resnet-launch data` starts it.

Exit codes: 0 done, 1 the verb failed or the dataset has bad images, 2 the command line was wrong.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from trainer.config import DataConfig
from trainer.data import verbs
from trainer.data.verbs import RequestError
from trainer.errors import ERROR, TrainError
from trainer.runtime.environment import Variable
from trainer.runtime.streams import quieten, reserve_stdout
from trainer.usage import explain, flags_of

LAUNCHER = os.environ.get(Variable.PROGRAM)  # the command that started this one, as the user typed it
PROGRAM = LAUNCHER or "python -m trainer.data"
DEFAULTS = DataConfig()
DESCRIPTION = (
    "Pack, check, show and stage datasets: image folders, lists of images, CIFAR, IDX, ArrayRecord (packed "
    "or TFDS), TFRecord, Parquet and tar shards, on a disk or in a bucket."
)
# The launcher turns --slice and --arch into --need and --for; alone, this program knows no slices.
BENCH_EXAMPLE = "--slice v5e-16 --arch resnet50" if LAUNCHER else "--need 8820 --for v5e-16"


class Parser(argparse.ArgumentParser):
    """A parser that raises RequestError instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(*explain(message, self.prog, flags_of(self)))


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with the default of each flag that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        args = parser().parse_args(arguments)
        return args.run(args)
    except (RequestError, TrainError) as error:
        print(f"{ERROR}{error}", file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1
    except MemoryError:
        print(f"{ERROR}the dataset needs more memory than this host has", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"{ERROR}interrupted\nhint: run it again; pack and stage continue where they stopped",
            file=sys.stderr,
        )
        return 1
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def parser() -> argparse.ArgumentParser:
    """The parser of all verbs; ``run`` of its result is the function of the chosen verb."""
    top = Parser(prog=PROGRAM, description=DESCRIPTION)
    subparsers = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_pack(subparsers)
    _add_verb(
        subparsers,
        "verify",
        verbs.verify,
        "Read every image back and report those that are damaged or duplicated.",
        "photos",
    )
    _add_stats(subparsers)
    _add_verb(
        subparsers,
        "stage",
        verbs.stage,
        "Fetch the shards of a dataset in a bucket to this host before a run starts.",
        "gs://my-bucket/photos",
    )
    _add_bench(subparsers)
    return top


def _add_verb(subparsers, name: str, run: Callable, text: str, example: str) -> argparse.ArgumentParser:
    """Add a verb with the flags that every verb has."""
    verb = subparsers.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: {PROGRAM} {name} {example}",
        formatter_class=HelpFormatter,
    )
    verb.set_defaults(run=run)
    verb.add_argument("path", metavar="PATH", help="the dataset: a folder or gs://BUCKET/FOLDER")
    _add_number(verb, "--threads", 0, "N", "threads that read and decode; 0: one per core", least=0)
    stage_help = "folder on this host for the shards of a bucket; empty: ~/.cache/resnet-launch/data"
    verb.add_argument("--stage", metavar="DIR", default=DEFAULTS.stage, help=stage_help)
    gib_help = "most space that the shards may take in the --stage folder"
    _add_number(verb, "--stage-gib", DEFAULTS.stage_gib, "GIB", gib_help, least=0)
    subset_help = "which of several datasets at PATH, such as letters of EMNIST"
    verb.add_argument("--subset", metavar="NAME", default=DEFAULTS.subset, help=subset_help)
    share_help = "share of each class of the training split that is held out for evaluation"
    _add_number(verb, "--val-share", DEFAULTS.val_share, "SHARE", share_help, least=0, most=0.9)
    _add_number(verb, "--val-seed", DEFAULTS.val_seed, "N", "seed that chooses what is held out", least=0)
    return verb


def _add_pack(subparsers) -> None:
    text = (
        "Pack a dataset: smaller images in ArrayRecord shards. "
        "After an interruption, the same command continues where it stopped."
    )
    example = "photos gs://my-bucket/photos --short-side 256 --quality 90"
    verb = _add_verb(subparsers, "pack", verbs.pack, text, example)
    target_help = "where to write the packed dataset: an empty folder or gs://BUCKET/FOLDER"
    verb.add_argument("target", metavar="TARGET", help=target_help)
    _add_number(verb, "--short-side", 256, "PIXELS", "shrink larger images to this shorter side", least=8)
    _add_number(verb, "--quality", 90, "1..100", "quality of the JPEGs that are encoded", most=100)
    raw_help = "store pixels instead of JPEGs, shrunk to this shorter side"
    _add_number(verb, "--raw", None, "PIXELS", raw_help, least=8)
    _add_number(verb, "--shard-images", 4096, "N", "images per shard")
    _add_number(verb, "--max-bad", 0, "N", "damaged images to leave out before the pack fails", least=0)


def _add_stats(subparsers) -> None:
    text = "Show the counts and sizes of the images and, with --sheet, a contact sheet of examples."
    verb = _add_verb(subparsers, "stats", verbs.stats, text, "photos --sheet photos.png")
    verb.add_argument("--sheet", metavar="FILE", help="write a contact sheet (.png or .jpg)")
    split_help = "split that the contact sheet shows"
    verb.add_argument("--split", default="train", choices=("train", "test"), help=split_help)
    verb.add_argument("--json", action="store_true", help="print JSON")


def _add_bench(subparsers) -> None:
    text = "Measure the images/s that this host prepares, and whether they suffice for the chips of a slice."
    verb = _add_verb(subparsers, "bench", verbs.bench, text, f"photos {BENCH_EXAMPLE}")
    _add_number(verb, "--seconds", 5.0, "S", "duration of each measurement", least=0.1)
    _add_number(verb, "--image-size", 224, "PIXELS", "side of the images that the network sees", least=8)
    computed = ", which --slice and --arch compute" if LAUNCHER else ""
    need_help = f"images/s that the chips of one host consume{computed}; 0: measure only"
    _add_number(verb, "--need", 0.0, "N", need_help, least=0)
    if LAUNCHER:  # shown here; the launcher has replaced them by --need and --for
        verb.add_argument("--slice", metavar="SLICE", help="slice whose hosts the images must suffice for")
        verb.add_argument(
            "--arch", metavar="ARCH", help="network that its chips train; resnet50 if not given"
        )
    for_help = "name of the consumer in the output"
    verb.add_argument("--for", dest="consumer", metavar="TEXT", default="the slice", help=for_help)
    verb.add_argument("--json", action="store_true", help="print JSON")


def _add_number(
    verb: argparse.ArgumentParser,
    flag: str,
    default: float | None,
    metavar: str,
    text: str,
    least: float = 1,
    most: float = math.inf,
) -> None:
    """Add a flag whose number lies in ``least..most``: a float where the default is one, else an integer."""

    def number(text: str) -> int | float:
        try:
            value = (float if isinstance(default, float) else int)(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
        if not least <= value <= most or value == math.inf:
            limit = f"at least {least}" if most == math.inf else f"{least} to {most}"
            raise argparse.ArgumentTypeError(f"must be {limit}, got {text}")
        return value

    verb.add_argument(flag, type=number, default=default, metavar=metavar, help=text)


if __name__ == "__main__":
    quieten(os.environ)
    reserve_stdout()
    sys.exit(main(sys.argv[1:]))
