"""The mistakes of a network on the test split, and the section of the page that shows them."""

from dataclasses import dataclass
from html import escape

import numpy as np

from trainer.report import looks
from trainer.report.looks import Look

MATRIX_CLASSES = 20  # with more classes, a table of the most confused pairs replaces the matrix
PAIRS = 20  # rows of that table


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A test image with the wrong class predicted.

    Attributes:
      image: PNG file.
      truth: name of the true class.
      predicted: name of the predicted class.
      probability: softmax probability of the predicted class, 0 to 1.
      name: file or record of the image.
      look: where the network looked for the predicted class; None: that was not asked for.
    """

    image: bytes
    truth: str
    predicted: str
    probability: float
    name: str
    look: Look | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorAnalysis:
    """The predictions of a network on the test split.

    Attributes:
      class_names: names of the classes, in the order of their labels.
      confusion: [true class, predicted class] int64, number of test images.
      mistakes: wrong predictions, highest probability first.
      damaged: number of test images that could not be read, and are not counted.
      method: how the looks of the mistakes were computed; empty: they have none.
    """

    class_names: list[str]
    confusion: np.ndarray
    mistakes: list[Mistake]
    damaged: int = 0
    method: str = ""

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy, 0 to 1."""
        return float(np.trace(self.confusion) / self.confusion.sum())


def section(analysis: ErrorAnalysis | str) -> str:
    """Return the section as HTML.

    Args:
      analysis: may be the reason why there is none.
    """
    if isinstance(analysis, str):
        reason = f'<p class="muted">No confusion matrix: {escape(analysis)}</p>'
        return f"<section><h2>Mistakes</h2>{reason}</section>"
    total = int(analysis.confusion.sum())
    wrong = total - int(np.trace(analysis.confusion))
    note = ""
    if analysis.damaged:
        note = f'<p class="muted">Damaged test images that are not counted: {analysis.damaged:,}</p>'
    small = len(analysis.class_names) <= MATRIX_CLASSES
    return (
        f"<section><h2>Mistakes of the best checkpoint: {wrong:,} of {total:,} test images</h2>{note}"
        f'<div class="scroll">{_matrix(analysis) if small else _pairs(analysis)}</div></section>'
        f"{_pictures(analysis)}"
    )


def _matrix(analysis: ErrorAnalysis) -> str:
    names = [escape(name) for name in analysis.class_names]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for truth, name in enumerate(names):
        class_total = max(int(analysis.confusion[truth].sum()), 1)
        cells = "".join(
            f'<td style="--share:{number / class_total:.3f}"{" class=right" if predicted == truth else ""}>'
            f"{number or ''}</td>"
            for predicted, number in enumerate(analysis.confusion[truth].tolist())
        )
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    return (
        '<table class="confusion"><caption class="muted">rows: true class; columns: predicted class'
        f"</caption><tr><th></th>{head}</tr>{''.join(rows)}</table>"
    )


def _pairs(analysis: ErrorAnalysis) -> str:
    wrong = analysis.confusion - np.diag(np.diag(analysis.confusion))
    most = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    rows = []
    for truth, predicted in zip(*np.unravel_index(most, wrong.shape), strict=True):
        if number := int(wrong[truth, predicted]):
            rows.append(
                f"<tr><td>{escape(analysis.class_names[truth])}</td><td>{escape(analysis.class_names[predicted])}</td>"
                f'<td class="number">{number:,} of {int(analysis.confusion[truth].sum()):,}</td></tr>'
            )
    return (
        '<table class="pairs"><tr><th>true class</th><th>predicted class</th>'
        f'<th class="number">images</th></tr>{"".join(rows)}</table>'
    )


def _pictures(analysis: ErrorAnalysis) -> str:
    if not analysis.mistakes:
        return ""
    figures = "".join(map(_figure, analysis.mistakes))
    legend = looks.legend(analysis.method) if analysis.method else ""
    kind = "mistakes pairs" if analysis.method else "mistakes"
    title = "<h2>Most confident mistakes</h2>"
    return f'<section>{title}{legend}<div class="{kind}">{figures}</div></section>'


def _figure(mistake: Mistake) -> str:
    images = f'<img src="{looks.source(mistake.image)}" alt="">'
    if mistake.look:
        over = f'<img src="{looks.source(mistake.look.overlay)}" alt="{escape(mistake.look.text)}">'
        images = f'<div class="pair">{images}{over}</div>'
    return (
        f"<figure>{images}<figcaption><b>{escape(mistake.predicted)}</b> "
        f"({mistake.probability * 100:.1f} %)<br>true class: {escape(mistake.truth)}"
        f'<br><span class="muted">{escape(mistake.name)}</span></figcaption></figure>'
    )
