"""Where a network errs, and the part of a report that shows it."""

import base64
from dataclasses import dataclass
from html import escape

import numpy as np

MATRIX_CLASSES = 20  # of more, a table of the pairs that are confused most often takes the matrix' place
PAIRS = 20


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """image: PNG. chance: what the network gave the class that it named, 0 to 1."""

    image: bytes
    truth: str
    named: str
    chance: float

    @property
    def source(self) -> str:
        """For the attribute of a picture in a page."""
        return f"data:image/png;base64,{base64.b64encode(self.image).decode()}"


@dataclass(frozen=True, kw_only=True)
class Insight:
    """confusion: [true class, named class] number of test examples. mistakes: the most certain first."""

    class_names: list[str]
    confusion: np.ndarray
    mistakes: list[Mistake]

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.confusion) / self.confusion.sum())


def section(found: Insight | str) -> str:
    """``found`` may be a sentence that says why there is nothing to show."""
    if isinstance(found, str):
        return (
            f'<section><h2>Mistakes</h2><p class="muted">No confusion matrix: {escape(found)}</p></section>'
        )
    total = int(found.confusion.sum())
    wrong = total - int(np.trace(found.confusion))
    small = len(found.class_names) <= MATRIX_CLASSES
    return (
        f"<section><h2>Mistakes of the best checkpoint: {wrong:,} of {total:,} test images</h2>"
        f'<div class="scroll">{_matrix(found) if small else _pairs(found)}</div></section>'
        f"{_pictures(found)}"
    )


def _matrix(found: Insight) -> str:
    names = [escape(name) for name in found.class_names]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for truth, name in enumerate(names):
        of_class = max(int(found.confusion[truth].sum()), 1)
        cells = "".join(
            f'<td style="--share:{number / of_class:.3f}"{" class=right" if named == truth else ""}>'
            f"{number or ''}</td>"
            for named, number in enumerate(found.confusion[truth].tolist())
        )
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    return (
        '<table class="confusion"><caption class="muted">rows: the true class; columns: what was named'
        f"</caption><tr><th></th>{head}</tr>{''.join(rows)}</table>"
    )


def _pairs(found: Insight) -> str:
    wrong = found.confusion - np.diag(np.diag(found.confusion))
    most = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    rows = []
    for truth, named in zip(*np.unravel_index(most, wrong.shape), strict=True):
        if number := int(wrong[truth, named]):
            rows.append(
                f"<tr><td>{escape(found.class_names[truth])}</td><td>{escape(found.class_names[named])}</td>"
                f'<td class="number">{number:,} of {int(found.confusion[truth].sum()):,}</td></tr>'
            )
    return (
        '<table class="pairs"><tr><th>true class</th><th>named</th><th class="number">images</th></tr>'
        f"{''.join(rows)}</table>"
    )


def _pictures(found: Insight) -> str:
    if not found.mistakes:
        return ""
    shown = "".join(
        f'<figure><img src="{mistake.source}" alt=""><figcaption><b>{escape(mistake.named)}</b> '
        f"({mistake.chance * 100:.1f} %)<br>is {escape(mistake.truth)}</figcaption></figure>"
        for mistake in found.mistakes
    )
    return f'<section><h2>Mistakes it was most certain of</h2><div class="mistakes">{shown}</div></section>'
