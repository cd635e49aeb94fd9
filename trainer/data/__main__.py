"""``python -m trainer.data VERB``: pack, verify, stats, stage and bench; `resnet-launch data` starts it.

Exit codes: 0 done, 1 it failed or something bad was found, 2 the request was wrong.
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

PROGRAM = os.environ.get(Variable.PROGRAM, "python -m trainer.data")  # what people typed to get here
DEFAULTS = DataConfig()
ABOUT = "Image folders, IDX, ArrayRecord (packed, TFDS), TFRecord and tar shards, on a disk or in a bucket."
KEEPS_DAMAGED = "damaged images that are left out before it ends"


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RequestError(message, f"{self.prog} --help")


def main(words: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        given = parser().parse_args(words)
        return given.run(given)
    except (RequestError, TrainError) as error:
        print(f"{ERROR}{error}", file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1
    except KeyboardInterrupt:
        print("error: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def parser() -> argparse.ArgumentParser:
    top = Parser(prog=PROGRAM, description=ABOUT)
    found = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    _pack(found)
    _verb(
        found,
        "verify",
        verbs.verify,
        "Read every image back and name each that is damaged or there twice.",
        "photos",
    )
    _stats(found)
    _verb(
        found,
        "stage",
        verbs.stage,
        "Fetch the shards of a bucket to this host ahead of a run.",
        "gs://my-bucket/photos",
    )
    _bench(found)
    return top


def _verb(found, name: str, run: Callable, text: str, example: str) -> argparse.ArgumentParser:
    """A verb with the flags that all of them have."""
    verb = found.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: {PROGRAM} {name} {example}",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    verb.set_defaults(run=run)
    verb.add_argument("path", metavar="PATH", help="the dataset: a folder or gs://BUCKET/FOLDER")
    _number(verb, "--threads", 0, "N", "threads; 0: one a core", least=0)
    verb.add_argument("--stage", metavar="DIR", default=DEFAULTS.stage, help="where shards of a bucket go")
    _number(verb, "--stage-gib", DEFAULTS.stage_gib, "GIB", "what they may take there", least=0)
    return verb


def _pack(found) -> None:
    text = "Pack a dataset: sharded ArrayRecord of smaller images. Killed, the same command goes on."
    example = "photos gs://my-bucket/photos --short-side 256 --quality 90"
    verb = _verb(found, "pack", verbs.pack, text, example)
    verb.add_argument("target", metavar="TARGET", help="an empty folder or gs://BUCKET/FOLDER")
    _number(verb, "--short-side", 256, "PIXELS", "larger images are made smaller", least=8)
    _number(verb, "--quality", 90, "1..100", "of the JPEGs that are made", most=100)
    _number(verb, "--raw", None, "PIXELS", "keep pixels instead of JPEGs, of such a short side", least=8)
    _number(verb, "--shard-images", 4096, "N", "images a shard")
    _number(verb, "--max-bad", 0, "N", KEEPS_DAMAGED, least=0)


def _stats(found) -> None:
    text = "Show counts, sizes and, as a picture, examples."
    verb = _verb(found, "stats", verbs.stats, text, "photos --sheet photos.png")
    verb.add_argument("--sheet", metavar="FILE", help="write a contact sheet (.png, .jpg)")
    verb.add_argument("--split", default="train", choices=("train", "test"), help="of the contact sheet")
    verb.add_argument("--json", action="store_true", help="print JSON")


def _bench(found) -> None:
    text = "Measure this host's rate, and whether the chips of a slice would starve."
    verb = _verb(found, "bench", verbs.bench, text, "photos --slice v5e-16 --arch resnet50")
    _number(verb, "--seconds", 5.0, "S", "of each measurement", least=0.1)
    _number(verb, "--image-size", 224, "PIXELS", "a side of what the network sees", least=8)
    _number(verb, "--need", 0.0, "N", "images/s that the chips of a host take", least=0)
    verb.add_argument("--for", dest="what", metavar="TEXT", default="the slice", help="whose need that is")
    verb.add_argument("--json", action="store_true", help="print JSON")


def _number(
    verb, flag: str, default, metavar: str, text: str, least: float = 1, most: float = math.inf
) -> None:
    """A flag whose number lies in a range; a whole one unless its default is a fraction."""

    def number(given: str) -> int | float:
        try:
            value = (float if isinstance(default, float) else int)(given)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, got {given!r}") from None
        if not least <= value <= most or value == math.inf:
            limit = f"at least {least}" if most == math.inf else f"{least} to {most}"
            raise argparse.ArgumentTypeError(f"must be {limit}, got {given}")
        return value

    verb.add_argument(flag, type=number, default=default, metavar=metavar, help=text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
