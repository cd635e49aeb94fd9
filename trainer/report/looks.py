"""Where a network looked in pictures, and the section of the page that shows it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

# From what counts least to what counts most. Lightness rises, so that the order is seen without colour.
COLOURS = ("#00000a", "#3b0f5c", "#8c2369", "#d44842", "#f8a015", "#fcffa4")
EXPLAINED = {
    "Grad-CAM": "Light parts speak for the class that the network predicts (Grad-CAM).",
    "attention rollout": "The light parts reach the head, whatever the class (attention rollout).",
}
EMPTY = {
    "Grad-CAM": "nothing in it speaks for the class",
    "attention rollout": "looked at all parts alike",
}
PLACES = (("upper left", "top", "upper right"), ("left", "centre", "right"))
PLACES += (("lower left", "bottom", "lower right"),)


@dataclass(frozen=True, kw_only=True)
class Look:
    """Where a network looked in one image.

    Attributes:
      overlay: PNG file: the image in grey under the colours of the map.
      text: where the map is lightest, for those who do not see it.
    """

    overlay: bytes
    text: str


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A classified picture and where the network looked.

    Attributes:
      name: the picture as it was typed or listed.
      image: PNG file.
      top: (class, probability from 0 to 1) of the most probable classes, the first one first.
      look: where the network looked.
    """

    name: str
    image: bytes
    top: Sequence[tuple[str, float]]
    look: Look


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Pictures with where the network looked.

    Attributes:
      method: "Grad-CAM" or "attention rollout".
      pictures: those that are drawn.
      more: number of classified pictures that are not drawn.
    """

    method: str
    pictures: Sequence[Explained]
    more: int = 0


def described(values: np.ndarray, method: str) -> str:
    """Return where a map is lightest, in words.

    Args:
      values: [rows, columns] float32, 0 to 1.
      method: "Grad-CAM" or "attention rollout".
    """
    if not values.any():
        return EMPTY[method]
    place = np.unravel_index(values.argmax(), values.shape)
    row, column = (int(3 * (i + 0.5) / count) for i, count in zip(place, values.shape, strict=True))
    return f"looked most at the {PLACES[row][column]}"


def section(explanation: Explanation) -> str:
    """Return the section as HTML."""
    figures = "".join(map(_figure, explanation.pictures))
    count = len(explanation.pictures)
    title = f"Where the network looked: {count} picture{'' if count == 1 else 's'}"
    more = f'<p class="muted">Classified and not drawn: {explanation.more:,}</p>' if explanation.more else ""
    return (
        f"<section><h2>{title}</h2>{legend(explanation.method)}"
        f'<div class="looks">{figures}</div>{more}</section>'
    )


def legend(method: str) -> str:
    """Return the line that says what the colours of a method mean, as HTML."""
    return (
        f'<p class="muted">{EXPLAINED[method]} <span class="scale">least'
        f'<i style="background:linear-gradient(to right,{",".join(COLOURS)})"></i>most</span></p>'
    )


def source(image: bytes) -> str:
    """Return a PNG file as a data URL, for the page."""
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def _figure(picture: Explained) -> str:
    (best, probability), *others = picture.top
    rest = ", ".join(f"{escape(name)}: {share * 100:.1f} %" for name, share in others)
    lines = [f"<b>{escape(best)}</b> ({probability * 100:.1f} %)", rest, escape(picture.look.text)]
    lines.append(f'<span class="muted">{escape(picture.name)}</span>')
    return (
        f'<figure><div class="pair"><img src="{source(picture.image)}" alt="">'
        f'<img src="{source(picture.look.overlay)}" alt="{escape(picture.look.text)}"></div>'
        f"<figcaption>{'<br>'.join(filter(None, lines))}</figcaption></figure>"
    )
