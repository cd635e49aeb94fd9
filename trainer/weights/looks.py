"""Pictures of where a network looked, for its page."""

from typing import Any

import cv2
import numpy as np

from trainer.report.looks import Explained, Explanation, Look, described
from trainer.weights import drawing
from trainer.weights.explanation import Explainer

PICTURES = 24  # drawn on a page
SIDE_PIXELS = 192  # of a picture of these
ENLARGED_PIXELS = 160  # small images are enlarged to at least this, so that the map over them is smooth


class Looks:
    """Collects pictures with where the network looked.

    Args:
      explainer: maps of the network.
    """

    def __init__(self, explainer: Explainer):
        self._explainer = explainer
        self._drawn: list[Explained] = []
        self._more = 0

    def add(self, image: np.ndarray, label: int, row: dict[str, Any]) -> None:
        """Draw a classified picture; those after the first 24 are only counted.

        Args:
          image: [image_size, image_size, C] uint8.
          label: number of its most probable class.
          row: {image, top}, as ``predict`` yields it.
        """
        if len(self._drawn) == PICTURES:
            self._more += 1
            return
        side = min(max(len(image), ENLARGED_PIXELS), SIDE_PIXELS)
        enlarged = cv2.resize(image, (side, side), interpolation=cv2.INTER_NEAREST)
        shown = image if len(image) >= side else enlarged.reshape(side, side, -1)
        top = [(each["class"], each["probability"]) for each in row["top"]]
        look = look_at(self._explainer, image, label, side)
        self._drawn.append(Explained(name=row["image"], image=drawing.png(shown, side), top=top, look=look))

    def explanation(self) -> Explanation:
        """Return what was collected."""
        return Explanation(method=self._explainer.method, pictures=self._drawn, more=self._more)


def look_at(explainer: Explainer, image: np.ndarray, label: int, side: int) -> Look:
    """Return where a network looks in an image.

    Args:
      explainer: maps of the network.
      image: [image_size, image_size, C] uint8.
      label: number of the class that it predicts.
      side: pixels of a side of the picture.
    """
    values = explainer(image, label)  # [rows, columns]
    return Look(overlay=drawing.overlay(image, values, side), text=described(values, explainer.method))
