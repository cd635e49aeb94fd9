"""Situations in which the data verbs print a hint, each on a small dataset."""

import shlex

import array_layouts
import layouts
from cases import Case, swap

from trainer.data.__main__ import main


def photos(folder):
    layouts.folder(folder / "photos")


def damaged(folder):
    photos(folder)
    image = next((folder / "photos" / "train").rglob("*.*g"))
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])


def damaged_and_packed(folder):
    damaged(folder)
    assert main(["pack", str(folder / "photos"), str(folder / "packed"), "--max-bad", "1"]) == 0


CASES = [
    Case(
        "trainer/data/tools/pack_shards.py",
        "--max-bad 100 with the same command leaves up to 100 out; `data verify` names all",
        "pack {}/photos {}/packed",
        lambda arguments, hint: [*arguments, *shlex.split(hint)[:2]],
        damaged,
    ),
    Case(
        "trainer/data/tools/pack.py",
        "--max-bad {}, or another folder",
        "pack {}/photos {}/packed --max-bad 0",
        swap,
        damaged_and_packed,
    ),
    Case(
        "trainer/data/tools/pack.py",
        "--max-bad {}, or another folder",
        "pack {}/photos {}/packed --max-bad 0",
        lambda arguments, hint: [*arguments[:2], f"{arguments[2]}-2", "--max-bad", "1"],
        damaged_and_packed,
    ),
    Case(
        "trainer/data/tools/pack.py",
        "name another folder",
        "pack {}/photos {}/photos",
        lambda arguments, hint: [*arguments[:2], f"{arguments[2]}-packed"],
        photos,
    ),
    Case(
        "trainer/data/formats/idx.py",
        "--set data.subset={}; the data verbs take --subset {}",
        "stats {}/data",
        lambda arguments, hint: [*arguments, *shlex.split(hint.rpartition("take ")[2])],
        lambda folder: array_layouts.emnist(folder / "data", "letters", "digits"),
    ),
    Case(
        "trainer/data/formats/detect.py",
        "name the folder within: {}",
        "stats {}/outer",
        lambda arguments, hint: ["stats", hint.partition(": ")[2]],
        lambda folder: layouts.folder(folder / "outer" / "photos"),
    ),
]
