"""The measurements as a table of plain text."""

import math
from collections.abc import Sequence

import numpy as np

from trainer.lesson.study import Trained, ratio

HEADER = (
    "network",
    "layers",
    "gradient at first step",
    "gradient after training",
    "training loss",
    "training accuracy",
    "test accuracy",
)
OVERFLOWS, UNDERFLOWS = "overflows", "underflows"  # a gradient that a float32 cannot hold
NOTE = (
    "gradient: norm at the first block, as a multiple of that at the last; loss and training accuracy: mean "
    "of the last tenth of the steps; overflows, underflows: more, or less, than a float32 can hold"
)


def cells(result: Trained) -> tuple[str, ...]:
    """Return the row of a network, as ``HEADER`` names its columns."""
    return (
        result.kind.name,
        f"{result.layers:,}",
        gradient(result.first, result.began_finite),
        gradient(result.last, result.is_finite),
        f"{result.loss:.3f}" if math.isfinite(result.loss) else "not finite",
        _percent(result.accuracy),
        _percent(result.test_accuracy),
    )


def gradient(norms: np.ndarray, is_finite: bool = True) -> str:
    """Return the ratio of the gradients at the first and at the last block in words.

    Args:
      norms: [blocks] float64.
      is_finite: whether the loss of the step was; a gradient of one that was not says nothing.
    """
    return cannot_hold(norms, is_finite) or f"{ratio(norms):.2g}"


def cannot_hold(norms: np.ndarray, is_finite: bool) -> str:
    """Return how the gradient of a block leaves the range of a float32; empty: none does.

    Args:
      norms, is_finite: as for ``gradient``.
    """
    if not is_finite or not np.isfinite(norms).all():
        return OVERFLOWS
    return "" if norms.all() else UNDERFLOWS


def table(results: Sequence[Trained]) -> str:
    """Return the table, in order of kind and depth."""
    ordered = sorted(results, key=lambda each: [other.kind.name for other in results].index(each.kind.name))
    rows = [HEADER, *map(cells, ordered)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = []
    for row in rows:
        texts = [text.rjust(width) for text, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *texts[1:]]))
    return "\n".join([*lines, "", NOTE])


def _percent(share: float) -> str:
    return f"{share:.1%}" if math.isfinite(share) else "-"
