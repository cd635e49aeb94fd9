"""``resnet-train depth``: the study, its table and its page."""

import sys
from collections.abc import Sequence
from pathlib import Path

from trainer.errors import ConfigError, TrainError
from trainer.lesson import findings, page, text
from trainer.lesson.networks import KINDS
from trainer.lesson.progress import Bar
from trainer.lesson.study import QUICK, Size, check_layers, study
from trainer.weights import outputs


def run(out: str, layers: str, quick: bool) -> None:
    """Train the networks, print the table and write the page.

    Args:
      out: page to write, whole or not at all.
      layers: depths, separated by commas.
      quick: fewer channels, images and steps.

    Raises:
      ConfigError: the page's name or a depth is wrong, which is seen before any training.
      TrainError: the page cannot be written, or a person stopped the command.
    """
    outputs.check_name(out, "report")
    depths = read_layers(layers)
    size = Size(layers=depths, **(QUICK if quick else {}))
    bar = Bar(size.total, len(depths) * len(KINDS))
    try:
        results = study(size, bar.advance)
    except KeyboardInterrupt:
        networks = f"{bar.finished} of {len(depths) * len(KINDS)} networks"
        raise TrainError(f"interrupted after {networks}; {out} was not written") from None
    finally:
        bar.close()
    print(text.table(results))
    for sentence in findings.shown(results):
        print(f"- {sentence}")
    print("not shown by this:")
    for sentence in findings.hidden(results, size):
        print(f"- {sentence}")
    sys.stdout.flush()
    with outputs.replaced(out) as temporary:
        Path(temporary).write_text(page.render(results, size), encoding="utf-8")
    print(out)


def read_layers(layers: str) -> Sequence[int]:
    """Return the depths of ``--layers``, from the least.

    Raises:
      ConfigError: one is no number, or no network of the lesson has it.
    """
    try:
        depths = sorted(int(part) for part in layers.split(","))
    except ValueError:
        raise ConfigError(
            f"--layers: must be numbers of layers, separated by commas, got {layers!r}", "--layers 20,56"
        ) from None
    check_layers(depths)
    return depths
