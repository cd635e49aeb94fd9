"""The measurements as one self-contained page with pictures."""

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from trainer.lesson.findings import find, hidden, shown
from trainer.lesson.networks import KINDS, Kind
from trainer.lesson.study import Size, Trained
from trainer.lesson.text import HEADER, NOTE, cannot_hold, cells
from trainer.report.bars import Group, bars
from trainer.report.chart import Line, chart, powers_of_ten
from trainer.report.document import document

HIGHEST = 4.0  # loss that is drawn; guessing among ten digits has 2.3
SMOOTHED = 20  # a point of the loss is the mean of a twentieth of all steps


def render(results: Sequence[Trained], size: Size) -> str:
    """Return the page as HTML.

    Args:
      results: the networks of a study, of every kind and depth.
      size: how large the study was.
    """
    parts = [
        _header(size),
        _list("What the numbers say", shown(results)),
        _degradation(results, size),
        _pictures(
            "Gradient by block, in the first step",
            "Norm of the gradient of the loss with respect to the input of each block, as a multiple of that "
            "at the last block. Block 1 is next to the image. A kind without a line has a gradient that a "
            "float32 cannot hold.",
            [
                _gradients(results, layers, lambda each: (each.first, each.began_finite))
                for layers in size.layers
            ],
        ),
        _pictures(
            "Gradient by block, after training",
            "The same in the last step.",
            [_gradients(results, layers, lambda each: (each.last, each.is_finite)) for layers in size.layers],
        ),
        _pictures(
            "Training loss by step",
            f"Each point is the mean of a twentieth of the steps. {HIGHEST:g} stands for all higher losses. "
            "A line ends where the training was not finite.",
            [_losses(results, layers) for layers in size.layers],
        ),
        _list("What the pictures do not show", hidden(results, size)),
        _table(results),
    ]
    return document("Why residual networks train", "".join(parts))


def _header(size: Size) -> str:
    rates = ", ".join(f"{kind.name} {_rates(kind, size)}" for kind in KINDS)
    facts = {
        "layers": ", ".join(f"{n:,}" for n in size.layers),
        "channels": f"{size.width}",
        "images per step": f"{size.batch}",
        "steps": ", ".join(dict.fromkeys(str(size.steps_of(n)) for n in size.layers)),
    }
    items = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    return (
        "<h1>Why residual networks train</h1>"
        '<div class="muted">Five kinds of networks on 1,437 hand-written digits, by resnet-train depth. '
        f"SGD with momentum 0.9, gradients clipped to a norm of 1; learning rates: {escape(rates)}.</div>"
        f'<dl class="facts">{items}</dl>'
    )


def _rates(kind: Kind, size: Size) -> str:
    return " and ".join(dict.fromkeys(f"{kind.rate(layers):g}" for layers in size.layers))


def _list(title: str, sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<section><h2>{escape(title)}</h2><ul>{items}</ul></section>" if items else ""


def _pictures(title: str, text: str, figures: Sequence[str]) -> str:
    body = "".join(figures) or '<p class="muted">No kind has a finite value.</p>'
    return (
        f'<section><h2>{escape(title)}</h2><p class="muted">{escape(text)}</p>'
        f'<div class="charts">{body}</div></section>'
    )


def _degradation(results: Sequence[Trained], size: Size) -> str:
    """Return one bar per kind and depth, in a picture for each number of steps."""
    figures = []
    for steps in dict.fromkeys(size.steps_of(layers) for layers in size.layers):
        depths = [layers for layers in size.layers if size.steps_of(layers) == steps]
        groups = [
            Group(
                name=kind.name,
                values=[(f"{n:,} layers", _loss(find(results, kind.name, n))) for n in depths],
                missing="not finite",
            )
            for kind in KINDS
        ]
        if any(math.isfinite(value) for group in groups for _, value in group.values):
            figures.append(bars(f"Training loss after {steps} steps", groups))
    text = (
        "Lower is better. Where a bar rises with depth, more layers made the same network worse at its task."
    )
    return _pictures("Degradation", text, figures)


def _loss(result: Trained | None) -> float:
    return result.loss if result else math.nan


def _gradients(
    results: Sequence[Trained], layers: int, of: Callable[[Trained], tuple[np.ndarray, bool]]
) -> str:
    lines = []
    for number, kind in enumerate(KINDS, 1):
        if not (result := find(results, kind.name, layers)):
            continue
        norms, is_finite = of(result)
        missing = cannot_hold(norms, is_finite)
        points = [] if missing else [(i, math.log10(n / norms[-1])) for i, n in enumerate(norms, 1)]
        lines.append(Line(name=kind.name, points=points, colour=number, missing=missing))
    return chart(f"{layers:,} layers", lines, powers_of_ten, axis="block")


def _losses(results: Sequence[Trained], layers: int) -> str:
    lines = []
    for number, kind in enumerate(KINDS, 1):
        result = find(results, kind.name, layers)
        losses = [loss for loss in result.losses if math.isfinite(loss)] if result else []
        size = max(len(losses) // SMOOTHED, 1)
        points = [
            (min(i + size, len(losses)), min(float(np.mean(losses[i : i + size])), HIGHEST))
            for i in range(0, len(losses), size)
        ]
        missing = "" if points or not result else "not finite"
        lines.append(Line(name=kind.name, points=points, colour=number, missing=missing))
    return chart(f"{layers:,} layers", lines)


def _table(results: Sequence[Trained]) -> str:
    head = "".join(
        f'<th class="number">{escape(text)}</th>' if i else f"<th>{escape(text)}</th>"
        for i, text in enumerate(HEADER)
    )
    rows = []
    for kind in KINDS:
        for result in (each for each in results if each.kind.name == kind.name):
            first, *others = cells(result)
            rows.append(
                f"<tr><td>{escape(first)}</td>"
                + "".join(f'<td class="number">{escape(text)}</td>' for text in others)
                + "</tr>"
            )
    return (
        f'<section><h2>All numbers</h2><div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table>'
        "</div>"
        f'<p class="muted">{escape(NOTE)}</p></section>'
    )
