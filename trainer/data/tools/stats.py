"""A summary of a dataset: images per class, sizes of images, and a contact sheet of examples."""

from dataclasses import asdict
from typing import Any

import cv2
import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import BadImage, Encoded
from trainer.data.formats.dataset import Dataset
from trainer.data.formats.detect import check_classes, open_split
from trainer.data.images import crop, decode
from trainer.errors import DataError

SAMPLE = 500  # images per split that are opened for the median sizes
LISTED = 5  # damaged images that are named
COLUMNS, ROWS, SIDE, LINE = 10, 6, 128, 18  # of the contact sheet; SIDE and LINE (of text) in pixels
MAX_LETTERS = 18  # of a class name that fit below its image


def describe(dataset: Dataset, config: DataConfig) -> dict[str, Any]:
    """Counts, damaged examples and median sizes of every split, as JSON values.

    ``checked`` images of a split were decoded, ``damaged`` of them failed, and ``bad`` names some of these.
    ``unlabelled`` counts over all images. ``problem`` is why a split cannot be used, if so.
    ``images_a_class`` is [least, median, most]; ``median_pixels`` is [width, height]. ``classes`` are those
    of the training split.
    """
    summary: dict[str, Any] = {
        "path": dataset.place.path,
        "kind": dataset.kind,
        "classes": 0,
        "unused": list(dataset.unused),
        "splits": {},
    }
    for split in dataset.splits:
        data = open_split(dataset, split, config)
        labels, unlabelled = _labels(data)
        counts = np.bincount(labels, minlength=len(data.class_names))
        spread = [counts.min(), np.median(counts), counts.max()] if counts.size else []
        pixels, size, bad = _sizes(data, config)
        if split == "train" or "train" not in dataset.splits:
            summary["classes"] = len(data.class_names)
        summary["splits"][split] = {
            "called": dataset.splits[split],
            "held_out": dataset.held_out and split != "train",
            "images": data.size,
            "checked": min(data.size, SAMPLE),
            "damaged": len(bad),
            "bad": bad[:LISTED],
            "unlabelled": unlabelled,
            "images_a_class": [int(count) for count in spread],
            "empty_classes": [data.class_names[int(label)] for label in np.flatnonzero(counts == 0)],
            "median_pixels": pixels,
            "median_bytes": size,
            "passed_over": asdict(data.passed_over),
            "problem": _problem(dataset, split, data, bad),
        }
    return summary


def _problem(dataset: Dataset, split: str, data: Encoded, bad: list[str]) -> str:
    """Why the split cannot be trained on or evaluated on; empty where it can."""
    try:
        check_classes(dataset, split, data)
    except DataError as error:
        return str(error)
    if len(bad) == min(data.size, SAMPLE):
        return f"data: none of {len(bad)} images of split '{split}' can be read; the first is {bad[0]}"
    return ""


def _labels(data: Encoded) -> tuple[np.ndarray, int]:
    """Valid labels [n] int32 of the examples, and the number of examples without one."""
    if data.labels is not None:
        valid = data.labels[(data.labels >= 0) & (data.labels < len(data.class_names))]
        return valid, data.size - len(valid)
    labels = []
    for index in range(data.size):
        try:
            labels.append(data.read(index)[1])
        except BadImage:
            continue
    return np.array(labels, np.int32), data.size - len(labels)


def _sizes(data: Encoded, config: DataConfig) -> tuple[list[int], int, list[str]]:
    """Medians of [width, height] and of bytes, and the damaged images: of SAMPLE images of the split."""
    shapes, sizes, bad = [], [], []
    for index in _spread(data.size, SAMPLE):
        try:
            image, _ = data.read(index)
            raw = isinstance(image, np.ndarray)
            pixels = image if raw else decode.upright(image, config.max_pixels)
        except BadImage as error:
            bad.append(f"{data.name(index)}: {error}")
            continue
        shapes.append(pixels.shape[1::-1])
        sizes.append(pixels.nbytes if raw else len(image))
    if not sizes:
        return [], 0, bad
    return np.median(np.array(shapes), axis=0).astype(int).tolist(), int(np.median(sizes)), bad


def _spread(size: int, most: int) -> list[int]:
    """Up to ``most`` positions, evenly spread over 0..size-1."""
    return np.unique(np.linspace(0, size - 1, min(most, size)).astype(int)).tolist() if size else []


def contact_sheet(dataset: Dataset, split: str, config: DataConfig) -> np.ndarray:
    """A picture [H, W, 3] uint8 of examples from all over the split, each above its class name."""
    data = open_split(dataset, split, config)
    examples = _spread(data.size, ROWS * COLUMNS)
    rows = -(-len(examples) // COLUMNS)
    sheet = np.full((rows * (SIDE + LINE), COLUMNS * SIDE, 3), 255, np.uint8)
    for tile_number, index in enumerate(examples):
        top, left = tile_number // COLUMNS * (SIDE + LINE), tile_number % COLUMNS * SIDE
        tile, text = np.zeros((SIDE, SIDE, 3), np.uint8), "damaged"
        try:
            image, label = data.read(index)
            decode.crop_into(image, lambda h, w: crop.centre_box(h, w, 1.0), tile, config.max_pixels)
            text = str(data.class_names[label])
        except BadImage:
            pass
        sheet[top : top + SIDE, left : left + SIDE] = tile
        name = text.encode("ascii", "replace").decode()[:MAX_LETTERS]  # OpenCV's fonts are ASCII only
        baseline = (left + 3, top + SIDE + 13)
        cv2.putText(sheet, name, baseline, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return sheet


def save_sheet(sheet: np.ndarray, path: str) -> None:
    """Write a PNG or JPEG file, by the suffix of its name; raises DataError."""
    try:
        written = cv2.imwrite(path, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    except cv2.error:
        written = False
    if not written:
        raise DataError(f"--sheet: must be a .png or .jpg file in a folder that exists, got {path!r}")
