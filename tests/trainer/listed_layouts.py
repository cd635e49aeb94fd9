"""The digits of `layouts` as image files that lists label: CSV, ImageNet of Kaggle, Food-101, no split."""

import csv
from pathlib import Path

from layouts import CLASSES, SPLITS, examples


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _table(path: Path, rows: list[tuple[str, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def imagenet(root: Path) -> Path:
    """As the archive of Kaggle's competition unpacks: with boxes, a test folder without labels, words."""
    images = root / "ILSVRC/Data/CLS-LOC"
    for number, (image, label) in enumerate(examples("train")):
        _write(images / "train" / CLASSES[label] / f"{label}_{number:04d}.JPEG", image)
    rows = [("ImageId", "PredictionString")]
    for number, (image, label) in enumerate(examples("val")):
        name = f"ILSVRC2012_val_{number:08d}"
        _write(images / "val" / f"{name}.JPEG", image)
        rows.append((name, f"{CLASSES[label].replace(' ', '_')} 85 1 499 272 "))
    _table(root / "LOC_val_solution.csv", [rows[0], *reversed(rows[1:])])
    _write(images / "test" / "ILSVRC2012_test_00000001.JPEG", examples("val")[0][0])
    for path in (images / "train").iterdir():
        path.rename(path.with_name(path.name.replace(" ", "_")))
    words = "".join(f"{name.replace(' ', '_')} crane, bird\n" for name in CLASSES)
    _write(root / "LOC_synset_mapping.txt", words.encode())
    (root / "ILSVRC/Annotations").mkdir()
    return root


def food101(root: Path) -> Path:
    for split, name in (("train", "train"), ("val", "test")):
        lines = []
        for number, (image, label) in enumerate(examples(split)):
            lines.append(f"{CLASSES[label]}/{split}{number:04d}")
            _write(root / "images" / CLASSES[label] / f"{split}{number:04d}.jpg", image)
        _write(root / "meta" / f"{name}.txt", "\n".join(reversed(lines)).encode())
    _write(root / "meta/classes.txt", ("\n".join(CLASSES) + "\n").encode())
    _write(root / "meta/labels.txt", ("\n".join(CLASSES) + "\n").encode())
    return root


def csv_per_split(root: Path) -> Path:
    """train.csv and test.csv with paths below one folder of images."""
    for split, name in (("train", "train"), ("val", "test")):
        rows: list[tuple[str, ...]] = [("filename", "label")]
        for number, (image, label) in enumerate(examples(split)):
            _write(root / "images" / f"{split}-{number:04d}.png", image)
            rows.append((f"{split}-{number:04d}.png", CLASSES[label]))
        _table(root / f"{name}.csv", rows)
    return root


def csv_of_all(root: Path) -> Path:
    """labels.csv with a column of splits, and names without suffixes."""
    rows: list[tuple[str, ...]] = [("split", "image_id", "class_name", "width")]
    for split in SPLITS:
        for number, (image, label) in enumerate(examples(split)):
            _write(root / split / f"{number:04d}.png", image)
            rows.append((split, f"{split}/{number:04d}", CLASSES[label], "32"))
    _table(root / "labels.csv", rows)
    return root


def csv_inside(root: Path) -> Path:
    """metadata.csv in the folder of each split, as ImageFolder of Hugging Face reads it."""
    for split, name in (("train", "train"), ("val", "validation")):
        rows: list[tuple[str, ...]] = [("file_name", "label")]
        for number, (image, label) in enumerate(examples(split)):
            _write(root / name / f"{number:04d}.png", image)
            rows.append((f"{number:04d}.png", CLASSES[label]))
        _table(root / name / "metadata.csv", rows)
    return root


def csv_of_numbers(root: Path) -> Path:
    """Numbers as labels, semicolons, no header; classes.txt has the names."""
    for split, name in (("train", "training_labels"), ("val", "valid_labels")):
        lines = []
        for number, (image, label) in enumerate(examples(split)):
            _write(root / f"{split}_images" / f"{split}{number:04d}.png", image)
            lines.append(f"{split}{number:04d}.png;{label}\r\n")
        _write(root / f"{name}.csv", "".join(lines).encode("utf-8-sig"))
    _write(root / "classes.txt", ("\n".join(CLASSES) + "\n").encode())
    return root


LAYOUTS = {
    "imagenet": imagenet,
    "food-101": food101,
    "csv per split": csv_per_split,
    "csv of all": csv_of_all,
    "csv inside": csv_inside,
    "csv of numbers": csv_of_numbers,
}
